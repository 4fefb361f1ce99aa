"""What the engine says in English, in the reader's language.

Errors, warnings and findings are made in English, where they are found, and kept so in records.
Each such sentence that is known stands once more in a file of texts, with names for what is filled
in, beside its Japanese.
"""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from pipelines.shown.texts import Lang, all_texts

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


def said(what: str, lang: Lang, topic: str = "said") -> str:
    """A sentence in a language; in English where it is not known in Japanese.

    ``topic`` is the file of texts that has it, without its ending.
    """
    return what if lang == "en" else _japanese(what, topic)


def _japanese(what: str, topic: str) -> str:
    for sentence in _sentences(topic):
        found = sentence.pattern.fullmatch(what)
        if found is not None:
            # What is filled in may be sentences, too.
            values = {
                name: "、".join(_japanese(part, topic) for part in value.split(_BETWEEN))
                for name, value in found.groupdict().items()
            }
            return sentence.japanese.format(**values)
    return what


@cache
def _sentences(topic: str) -> list[_Sentence]:
    found = []
    for sentence in all_texts(topic).values():
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
