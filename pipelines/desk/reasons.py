"""Reason codes in words, each with the clause of the notice that it rests on."""

from typing import NamedTuple

from engine.rules.clauses import clause_of
from pipelines.shown.texts import Lang, Texts


class Reason(NamedTuple):
    """Why a row earned nothing or an application was rejected.

    Attributes:
        code: the specification's.
        words: the same for people, in their language.
        clause: the notice's own words; None where it says nothing of it.
    """

    code: str
    words: str
    clause: str | None


def reason(code: str, lang: Lang) -> Reason:
    """A reason to decline a transaction or to reject an application."""
    return Reason(code, _words(code, lang) or code, clause_of(code))


def fault(error: str, lang: Lang) -> str:
    """A fault of a quarantined row, such as ``amount:malformed``, in words."""
    column, _, code = error.rpartition(":")
    if column == "row":
        return Texts("reasons", lang)("fault_row")
    return _words(f"fault_{code}", lang, column=column) or error


def _words(key: str, lang: Lang, **values: str) -> str | None:
    try:
        return Texts("reasons", lang)(key, **values)
    except KeyError:
        # A code of a later version's book is better shown than hidden.
        return None
