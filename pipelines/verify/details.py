"""What findings say, in the reader's language.

A finding says in English what is wrong, where it is found, in code and in SQL. Each such sentence
stands once more in ``verify_details.toml``, with names for what is filled in, beside its Japanese.
"""

import re
import string
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from pipelines.shown.texts import Lang

_BETWEEN: Final = "; "


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence with its gaps.

    Attributes:
        pattern: matches it, however it is filled in.
        letters: how many of its letters stand there always: of two that match, the longer is meant.
        japanese: with the same names.
    """

    pattern: re.Pattern[str]
    letters: int
    japanese: str


def detail(what: str, lang: Lang) -> str:
    """What a finding says; in English where a sentence is not known in Japanese."""
    return what if lang == "en" else _japanese(what)


def _japanese(what: str) -> str:
    for sentence in _sentences():
        found = sentence.pattern.fullmatch(what)
        if found is not None:
            # What is filled in may be sentences, too.
            values = {
                name: "、".join(map(_japanese, value.split(_BETWEEN)))
                for name, value in found.groupdict().items()
            }
            return sentence.japanese.format(**values)
    return what


@cache
def _sentences() -> list[_Sentence]:
    text = files("pipelines.shown.texts").joinpath("verify_details.toml").read_text("utf-8")
    found = []
    for sentence in tomllib.loads(text).values():
        parts = list(string.Formatter().parse(sentence["en"]))
        pattern = "".join(_pattern(parts))
        letters = sum(len(literal) for literal, *_ in parts)
        found.append(_Sentence(re.compile(pattern, re.DOTALL), letters, sentence["ja"]))
    return sorted(found, key=lambda sentence: -sentence.letters)


def _pattern(parts: list[tuple[str, str | None, str | None, str | None]]) -> Iterator[str]:
    for literal, name, *_ in parts:
        yield re.escape(literal)
        if name is not None:
            yield f"(?P<{name}>.+?)"
