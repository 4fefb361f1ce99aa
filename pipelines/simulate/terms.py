"""Which terms are simulated: a programme with some of its values changed."""

import datetime as dt
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.errors import InputError
from engine.terms.programme import Programme, Terms, load_programme, parse_programme
from engine.terms.services import Services, load_services
from pipelines.desk.opened_book import OpenedBook

_RATE: Final = re.compile(r"([0-9]{1,7})/([0-9]{1,7})", re.ASCII)
_CAP: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_SOURCE: Final = "mynapoint simulate"


@dataclass(frozen=True, slots=True)
class OtherTerms:
    """What is to be other than it was; None where nothing is.

    Attributes:
        programme: the programme; each run's own where it is None.
        rate: points per yen of counted spend, numerator and denominator.
        cap_yen: the most spending that counts.
        as_of: the day whose terms are in force. Where it is None, it is the programme's latest
            terms with another programme, and each run's own terms without.
        services: the registry; each run's own where it is None.
    """

    programme: Programme | None = None
    rate: tuple[int, int] | None = None
    cap_yen: int | None = None
    as_of: dt.date | None = None
    services: Services | None = None

    @classmethod
    def parsed(
        cls,
        *,
        programme: str | Path | None = None,
        rate: str | None = None,
        cap: str | None = None,
        as_of: dt.date | None = None,
        services: str | Path | None = None,
    ) -> "OtherTerms":
        """The terms that options ask for.

        Raises:
            InputError: naming the option that cannot be read.
        """
        return cls(
            None if programme is None else load_programme(programme),
            None if rate is None else _rate(rate),
            None if cap is None else _cap(cap),
            as_of,
            None if services is None else load_services(services),
        )

    @property
    def changes_something(self) -> bool:
        return self != OtherTerms()

    def programme_of(self, kept: Programme) -> Programme:
        """The programme to book by, where a run was booked by ``kept``.

        Raises:
            InputError: the rate or the cap is out of bounds.
        """
        programme = self.programme or kept
        if self.rate is None and self.cap_yen is None:
            return programme
        import tomli_w

        tables: dict[str, Any] = tomllib.loads(programme.text)
        if self.rate is not None:
            numerator, denominator = self.rate
            tables["rate"] = {
                "numerator": numerator,
                "denominator": denominator,
                "source": _SOURCE,
            }
        if self.cap_yen is not None:
            tables["cap"] = {"spending_yen": self.cap_yen, "source": _SOURCE}
        options = " ".join(
            option
            for option, given in (("--rate", self.rate), ("--cap", self.cap_yen))
            if given is not None
        )
        return parse_programme(tomli_w.dumps(tables), options)

    def day_of(self, announced_on: dt.date | None) -> dt.date | None:
        """The day whose terms are in force, where a run used those of ``announced_on``."""
        if self.as_of is not None or self.programme is not None:
            return self.as_of
        return announced_on

    def terms_of(self, kept: Programme, announced_on: dt.date | None) -> Terms:
        """The terms to book by.

        Raises:
            InputError: no terms were in force on that day.
        """
        return self.programme_of(kept).terms_as_of(self.day_of(announced_on))


def announced_on(opened: OpenedBook, number: int) -> dt.date:
    """The announcement whose terms a run used."""
    return opened.record(number).programme.terms.announced_on


def described(programme: Programme, terms: Terms) -> Mapping[str, object]:
    """Terms as they are shown."""
    return {
        "programme": programme.programme_id,
        "rate": f"{programme.rate_numerator}/{programme.rate_denominator}",
        "cap_yen": programme.cap_yen,
        "announced_on": terms.announced_on.isoformat(),
        "window_first": terms.window_first.isoformat(),
        "window_last": terms.window_last.isoformat(),
        "applications_last": terms.applications_last.isoformat(),
        "card_applications_last": terms.card_applications_last.isoformat(),
    }


def _rate(text: str) -> tuple[int, int]:
    match = _RATE.fullmatch(text)
    if not match:
        raise InputError(
            f"--rate: {text}: expected a ratio of whole numbers such as 30/100",
            hint="write 30/100 for 30 points for 100 yen",
        )
    return int(match[1]), int(match[2])


def _cap(text: str) -> int:
    if not _CAP.fullmatch(text):
        raise InputError(
            f"--cap: {text}: expected a whole number of yen",
            hint="write digits alone: 30000 for 30,000 yen",
        )
    return int(text)
