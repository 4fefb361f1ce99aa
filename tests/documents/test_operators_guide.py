"""The operator's guides: what they show can be typed; they name every error code."""

import re
import shlex
import shutil
import subprocess
import typing
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import store
from deliveries import ROOT

from engine.errors import ErrorCode, MynapointError
from pipelines.cli import call

GUIDES = {lang: ROOT / "docs" / f"operators-guide{lang}.md" for lang in ("", ".ja")}
OTHER_PROGRAMS = ("flock", "cp", "mv")
_PART = re.compile(
    r"<!-- file: (?P<file>\S+) -->\n```toml\n(?P<text>.*?)```|```console\n(?P<typed>.*?)```",
    re.DOTALL,
)


def steps(lang: str) -> list[tuple[str, str]]:
    """Files to write, by name and text, and lines to type, with an empty name."""
    found: list[tuple[str, str]] = []
    for part in _PART.finditer(GUIDES[lang].read_text(encoding="utf-8")):
        if part["file"]:
            found.append((part["file"], part["text"]))
        else:
            found += [("", line.removeprefix("$ ")) for line in part["typed"].splitlines()]
    return found


@pytest.fixture
def has_store() -> Iterator[bool]:
    """Whether there is an object store; it is the environment's then."""
    with ExitStack() as stack:
        if store.SERVER.exists():
            stack.enter_context(store.running_store())
        yield store.SERVER.exists()


@pytest.mark.skipif(shutil.which("flock") is None, reason="flock is not installed")
def test_all_that_the_guide_shows_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_store: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in steps(""):
        if name:
            (tmp_path / name).write_text(text, encoding="utf-8")
            continue
        line, _, expected = text.partition("   # exit ")
        program, *words = shlex.split(line)
        if program in OTHER_PROGRAMS:
            subprocess.run([program, *words], check=True)
            continue
        assert program == "mynapoint"
        if f"s3://{store.BUCKET}/" in line:
            if not has_store:
                continue
            for path in Path("in").rglob("*.*"):
                store.put(str(path), path)
        assert exit_code(words) == int(expected or 0), line


def exit_code(words: list[str]) -> int:
    try:
        return call(words)
    except MynapointError as error:
        return error.exit_code


def test_both_guides_show_the_same() -> None:
    assert steps("") == steps(".ja")
    assert len(steps("")) > 15


@pytest.mark.parametrize("lang", GUIDES)
def test_every_error_code_is_told_with_its_exit_code(lang: str) -> None:
    text = GUIDES[lang].read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| (\d+) \| ", text, re.MULTILINE)
    assert [code for code, _ in listed] == list(typing.get_args(ErrorCode))
    assert {code for code, exit_code in listed if exit_code == "3"} == {
        *("book_in_use", "book_damaged", "later_format", "copy_incomplete", "disk"),
        "internal_fault",
    }


def test_every_error_code_is_given_somewhere() -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("engine", "pipelines")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "errors.py" or folder != "engine"
    )
    code += (ROOT / "engine" / "errors.py").read_text(encoding="utf-8").partition("class ")[2]
    for name in typing.get_args(ErrorCode):
        assert f'"{name}"' in code, name


@pytest.mark.parametrize("lang", GUIDES)
def test_what_the_guide_points_to_is_there(lang: str) -> None:
    guide = GUIDES[lang]
    for target in re.findall(r"\]\(([^)#]+)\)", guide.read_text(encoding="utf-8")):
        assert (guide.parent / target).exists(), target
