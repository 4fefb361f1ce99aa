"""What the engine says of a night in English, in another language.

Errors and warnings are made in English, and kept so in records: what is known of them stands in
`texts/said.toml`, by the English text that they match. What is not known stays as it is.
"""

import re
from collections.abc import Iterator
from functools import cache

from pipelines.shown.texts import Lang, all_texts

_BETWEEN = "; "


def said(text: str, lang: Lang) -> str:
    """A message of the engine in a language; English where there is no other text of it."""
    if lang == "en":
        return text
    for pattern, other in _known(lang):
        match = pattern.fullmatch(text)
        if match is not None:
            return other.format(
                **{name: _part(value, lang) for name, value in match.groupdict().items()}
            )
    return text


def _part(text: str, lang: Lang) -> str:
    """A value within a message, which may be a message, or several, itself."""
    return _BETWEEN.join(said(part, lang) for part in text.split(_BETWEEN))


@cache
def _known(lang: Lang) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple(_patterns(lang))


def _patterns(lang: Lang) -> Iterator[tuple[re.Pattern[str], str]]:
    for text in all_texts("said").values():
        pattern = re.sub(r"\\{([a-z_]+)\\}", r"(?P<\1>.+?)", re.escape(text["en"]))
        yield re.compile(pattern, re.DOTALL), text[lang]
