"""Why a run is refused: its quarantined rows by kind, and where the first of each kind are."""

from collections import Counter
from enum import StrEnum
from typing import ClassVar, Final

import polars as pl

from engine.errors import ErrorCode, InputError

_EXAMPLES: Final = 3
_MOST_NAMED: Final = 3
_ROWS_IN_DETAILS: Final = 20


class Kind(StrEnum):
    """What is wrong with a quarantined row."""

    WITH_LEDGER = "in conflict with the ledger"
    WITH_ACCEPTED = "in conflict with what was accepted"
    WITHIN_DELIVERY = "in conflict within the delivery"
    WITH_ANSWERS = "in conflict with other answers"
    UNREADABLE = "unreadable"


class RefusedRunError(InputError):
    """Too many of a run's rows would go to quarantine."""

    usual_code: ClassVar[ErrorCode] = "too_many_quarantined"


class QuarantinedRows:
    """Counts a run's quarantined rows by kind, and keeps where the first of each kind are."""

    def __init__(self) -> None:
        self._rows: Counter[Kind] = Counter()
        self._examples: dict[Kind, list[tuple[str, int]]] = {}
        self._by_file: Counter[str] = Counter()
        self._faults: Counter[tuple[str, Kind, str]] = Counter()
        self._first: list[dict[str, object]] = []

    def add(self, quarantined: pl.DataFrame, conflict: Kind) -> None:
        """Counts rows: ``file``, ``row``, ``errors``; conflicts among them are of one kind."""
        if quarantined.is_empty():
            return
        # A layout names the provider's own columns ahead of the code.
        in_conflict = pl.col("errors").list.eval(pl.element().str.ends_with(":conflict")).list.any()
        conflicts = quarantined.select(in_conflict).to_series()
        for kind, of_kind in ((conflict, conflicts), (Kind.UNREADABLE, ~conflicts)):
            if not of_kind.any():
                continue
            rows = quarantined if of_kind.all() else quarantined.filter(of_kind)
            self._rows[kind] += rows.height
            examples = self._examples.setdefault(kind, [])
            examples += rows[["file", "row"]].head(_EXAMPLES - len(examples)).rows()
            for file, number in rows["file"].value_counts().iter_rows():
                self._by_file[file] += number
            faults = rows[["file", "errors"]].explode("errors").group_by("file", "errors")
            for file, fault, number in faults.len().iter_rows():
                self._faults[file, kind, fault] += number
            first = rows[["file", "row", "errors"]].head(_ROWS_IN_DETAILS - len(self._first))
            self._first += [row | {"kind": str(kind)} for row in first.to_dicts()]

    def check(self, read: int, largest_share: float, rows_allowed: int = 0) -> None:
        """Refuses a run of whose rows too many go to quarantine.

        Args:
            read: how many rows were read.
            largest_share: of them may go to quarantine.
            rows_allowed: so many may go there, whatever share they are.

        Raises:
            RefusedRunError: saying how many of each kind there are, and where the first are.
        """
        quarantined = self._rows.total()
        # The quotient of two whole numbers is rounded as the share on the command line is.
        if not read or quarantined <= rows_allowed or quarantined / read <= largest_share:
            return
        raise RefusedRunError(
            f"{quarantined} of {read} rows would go to quarantine, more than the share of "
            f"{largest_share} that may; nothing was booked: {self.told()}",
            hint="have the delivery corrected, or raise --max-quarantined to set these rows aside; "
            "--rejects DIR keeps all of them to be looked at",
            details=self._details(read, quarantined),
        )

    def told(self) -> str:
        """How many rows there are of each kind, of what files, and where the first are."""
        kinds = "; ".join(
            f"{rows} {kind}{self._faults_of(kind)}{self._places(kind)}"
            for kind, rows in (+self._rows).items()
        )
        return f"{kinds}{self._files()}"

    def _faults_of(self, kind: Kind) -> str:
        """What is wrong with unreadable rows, most frequent first; a conflict says it itself."""
        if kind is not Kind.UNREADABLE:
            return ""
        faults: Counter[str] = Counter()
        for (_, of_kind, fault), rows in self._faults.items():
            if of_kind is kind:
                faults[fault] += rows
        return f": {_most_frequent(faults)}"

    def _files(self) -> str:
        if len(self._by_file) < 2:
            return ""
        return f"; by file: {_most_frequent(self._by_file)}"

    def _details(self, read: int, quarantined: int) -> dict[str, object]:
        return {
            "rows_read": read,
            "rows_quarantined": quarantined,
            "kinds": {str(kind): rows for kind, rows in (+self._rows).items()},
            "faults": [
                {"file": file, "kind": str(kind), "fault": fault, "rows": rows}
                for (file, kind, fault), rows in sorted(self._faults.items())
            ],
            "first_rows": self._first,
        }

    def _places(self, kind: Kind) -> str:
        places = [f"{file} row {row}" for file, row in self._examples[kind]]
        more = ", …" if self._rows[kind] > len(places) else ""
        return f" ({', '.join(places)}{more})"


def _most_frequent(rows: Counter[str]) -> str:
    named = [f"{name} {number}" for name, number in _sorted_by_rows(rows)[:_MOST_NAMED]]
    more = len(rows) - len(named)
    return ", ".join([*named, *([f"{more} more"] if more else [])])


def _sorted_by_rows(rows: Counter[str]) -> list[tuple[str, int]]:
    """Names and their rows, most first, by name where there are as many."""
    return sorted(rows.items(), key=lambda item: (-item[1], item[0]))
