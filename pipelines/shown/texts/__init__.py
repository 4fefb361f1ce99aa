"""What operators and auditors read, in Japanese and in English, beside each other in one place.

One TOML file a command, `TOPIC.toml`; each text is a table with its `ja` and its `en`.
"""

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final, Literal, get_args

Lang = Literal["ja", "en"]
LANGS: Final[tuple[Lang, ...]] = get_args(Lang)


def lang_of_locale() -> Lang:
    """The language that the environment asks for; English unless it is Japanese."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return "ja" if value.startswith("ja") else "en"
    return "en"


class Texts:
    """The texts of one topic in one language."""

    def __init__(self, topic: str, lang: Lang) -> None:
        """`topic` is the name of a file in this folder, without its ending."""
        self.lang = lang
        self._texts = _load(topic)

    def __call__(self, key: str, /, **values: object) -> str:
        """The text, its `{names}` filled in as `str.format` does."""
        return self._texts[key][self.lang].format(**values)


def all_texts(topic: str) -> Mapping[str, Mapping[str, str]]:
    """All texts of a topic, by key and language."""
    return _load(topic)


@cache
def _load(topic: str) -> Mapping[str, Mapping[str, str]]:
    text = files(__package__).joinpath(f"{topic}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
