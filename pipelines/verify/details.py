"""What findings say, in the reader's language.

A finding says in English what is wrong, where it is found, in code and in SQL. Each such sentence
stands once more in ``verify_details.toml``, with names for what is filled in, beside its Japanese.
"""

from pipelines.shown.said import said
from pipelines.shown.texts import Lang


def detail(what: str, lang: Lang) -> str:
    """What a finding says; in English where a sentence is not known in Japanese."""
    return said(what, lang, "verify_details")
