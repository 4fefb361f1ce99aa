"""Every text that people read is there in both languages, with the same values to fill in."""

import string
import tomllib
from pathlib import Path

import pytest

import pipelines.shown.texts
from pipelines.shown.texts import LANGS, lang_of_locale

FILES = sorted(Path(pipelines.shown.texts.__file__).parent.glob("*.toml"))


def _names(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_text_stands_in_both_languages_and_takes_the_same_values(file: Path) -> None:
    for key, text in tomllib.loads(file.read_text(encoding="utf-8")).items():
        assert set(text) == set(LANGS), key
        assert _names(text["ja"]) == _names(text["en"]), key


@pytest.mark.parametrize(
    ("environment", "lang"),
    [
        ({}, "en"),
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "C", "LC_MESSAGES": "ja_JP"}, "ja"),
    ],
)
def test_the_locale_chooses_the_language(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], lang: str
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert lang_of_locale() == lang
