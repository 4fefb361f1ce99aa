"""The programmes and terms of a book's runs, in words for people."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from engine.errors import InputError
from engine.terms.programme import load_programme
from pipelines.desk.opened_book import OpenedBook
from pipelines.shown.texts import Lang


@dataclass(frozen=True, slots=True)
class TermsUsed:
    """A programme and its announced terms, and the runs that awarded by them.

    Attributes:
        ships: whether the programme is, byte for byte, one that ships with mynapoint.
    """

    programme_id: str
    programme_sha256: str
    announced_on: str
    rate_numerator: int
    rate_denominator: int
    cap_yen: int
    ships: bool
    runs: list[str] = field(default_factory=list)

    def value(self) -> dict[str, Any]:
        """The terms for machines."""
        return asdict(self)


def terms_used(opened: OpenedBook, numbers: Iterable[int]) -> list[TermsUsed]:
    """The terms that some runs awarded by, in the order of their first run.

    Raises:
        BookError: a kept programme is missing, or not the one that its record names.
    """
    found: dict[tuple[str, str], TermsUsed] = {}
    for number in sorted(numbers):
        record, programme = opened.record(number), opened.programme(number)
        announced_on = record.programme.terms.announced_on.isoformat()
        terms = found.setdefault(
            (programme.sha256, announced_on),
            TermsUsed(
                programme.programme_id,
                programme.sha256,
                announced_on,
                programme.rate_numerator,
                programme.rate_denominator,
                programme.cap_yen,
                _ships(programme.programme_id, programme.sha256),
            ),
        )
        terms.runs.append(record.run_id)
    return list(found.values())


def _ships(programme_id: str, sha256: str) -> bool:
    try:
        return load_programme(programme_id).sha256 == sha256
    except InputError:
        return False


def rate(numerator: int, denominator: int, lang: Lang) -> str:
    """A rate as a percentage where it is a whole one, as a ratio elsewhere."""
    percent, rest = divmod(numerator * 100, denominator)
    if rest:
        return f"{numerator}/{denominator}"
    return f"{percent}%" if lang == "ja" else f"{percent} %"
