"""Why a run is refused: its quarantined rows by kind, and where the first of each kind are."""

from collections import Counter
from enum import StrEnum
from typing import Final

import polars as pl

from engine.errors import InputError

_EXAMPLES: Final = 3


class Kind(StrEnum):
    """What is wrong with a quarantined row."""

    WITH_LEDGER = "in conflict with the ledger"
    WITH_ACCEPTED = "in conflict with what was accepted"
    WITHIN_DELIVERY = "in conflict within the delivery"
    UNREADABLE = "unreadable"


class QuarantinedRows:
    """Counts a run's quarantined rows by kind, and keeps where the first of each kind are."""

    def __init__(self) -> None:
        self._rows: Counter[Kind] = Counter()
        self._examples: dict[Kind, list[tuple[str, int]]] = {}

    def add(self, quarantined: pl.DataFrame, conflict: Kind) -> None:
        """Counts rows: ``file``, ``row``, ``errors``; conflicts among them are of one kind."""
        if quarantined.is_empty():
            return
        # A layout names the provider's own columns ahead of the code.
        in_conflict = pl.col("errors").list.eval(pl.element().str.ends_with(":conflict")).list.any()
        for kind, rows in (
            (conflict, quarantined.filter(in_conflict)),
            (Kind.UNREADABLE, quarantined.filter(~in_conflict)),
        ):
            self._rows[kind] += rows.height
            examples = self._examples.setdefault(kind, [])
            examples += rows.select("file", "row").head(_EXAMPLES - len(examples)).rows()

    def check(self, read: int, largest_share: float) -> None:
        """Refuses a run of whose rows too many go to quarantine.

        Raises:
            InputError: saying how many of each kind there are, and where the first are.
        """
        quarantined = self._rows.total()
        # The quotient of two whole numbers is rounded as the share on the command line is.
        if not read or quarantined / read <= largest_share:
            return
        kinds = "; ".join(
            f"{rows} {kind}{self._places(kind)}" for kind, rows in (+self._rows).items()
        )
        raise InputError(
            f"{quarantined} of {read} rows would go to quarantine, more than the share of "
            f"{largest_share} that may; nothing was booked: {kinds}",
            hint="have the delivery corrected, or raise --max-quarantined to set these rows aside",
        )

    def _places(self, kind: Kind) -> str:
        places = [f"{file} row {row}" for file, row in self._examples[kind]]
        more = ", …" if self._rows[kind] > len(places) else ""
        return f" ({', '.join(places)}{more})"
