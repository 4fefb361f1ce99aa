"""The rows that could not be decided again, because the book does not keep all of them.

Rows are counted by kind. All other rows were decided again, or could not have changed. In a run of
format 2 they are rows in conflict, which are kept as they came, and events that said once more what
had been accepted, which are only counted. A run of format 1 keeps little of what it turned away.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import polars as pl

from engine.booking.event_reasons import TOO_EARLY
from engine.io.book.format import RunTable
from engine.records import KINDS, RECOUNT, RoleName
from engine.rules.application import ACCOUNT_TAKEN, ALREADY_ENROLLED
from engine.rules.refunds import ORIGINAL_NOT_BOOKED, REFUND_EXCEEDS_ORIGINAL
from engine.rules.spending import NOT_ENROLLED, UNKNOWN_SERVICE
from pipelines.desk.opened_book import OpenedBook, book_readable
from pipelines.simulate.compare import by_account
from pipelines.simulate.terms import OtherTerms, announced_on

_ACCOUNT: Final = ("service_id", "account_id")
_KEY: Final = ("service_id", "transaction_id")
_BY_SERVICE: Final = (
    *(UNKNOWN_SERVICE, "basis_not_chosen", "service_closed_to_applications"),
    *("not_preregistered", ACCOUNT_TAKEN, ALREADY_ENROLLED, NOT_ENROLLED),
    *("before_application", "service_closed", "not_the_basis", "excluded_method"),
)


@dataclass(frozen=True, slots=True)
class Unknown:
    """Rows of one kind that could not be decided again.

    Attributes:
        kind: ``conflict``, ``application_conflict``, ``event``; of format 1 also ``transaction``
            and ``application``.
        yen: the rows' amounts; None where they have none that can be read.
    """

    kind: str
    rows: int
    yen: int | None = None


def unknown_rows(
    opened: OpenedBook, anew: OpenedBook, other: OtherTerms, waited: Mapping[int, int]
) -> tuple[Unknown, ...]:
    """The rows of a book that could not be decided again.

    ``waited`` says by run how many of its events had waited, delivered again or not.
    """
    with book_readable(opened.book):
        beside = _Beside(opened, anew)
        found = [
            Unknown("conflict", _conflicts(beside)),
            Unknown("application_conflict", _application_conflicts(beside)),
            Unknown("event", _events(beside, waited)),
            *_of_format_1(beside, other),
        ]
    return tuple(unknown for unknown in found if unknown.rows)


class _Beside:
    """A book and the same runs booked again: what differs, and from which run on."""

    def __init__(self, opened: OpenedBook, anew: OpenedBook) -> None:
        self.opened, self.anew = opened, anew

    @cached_property
    def conflicts(self) -> dict[RoleName, dict[int, int]]:
        """By role and run, how many rows were in conflict."""
        found: dict[RoleName, dict[int, int]] = {
            "transactions": {},
            "enrollments": {},
            "events": {},
        }
        roles = {
            (record.run_id, delivery.name): delivery.role
            for record in self.opened.records
            for delivery in record.inputs
        }
        # By whichever column's name the provider knows it.
        conflict = pl.col("errors").list.eval(pl.element().str.ends_with(":conflict")).list.any()
        rows = self.opened.table(RunTable.QUARANTINE).filter(conflict)
        for run, file, number in rows.group_by("run_id", "file").len().collect().iter_rows():
            of_role = found[roles[run, file]]
            of_role[int(run)] = of_role.get(int(run), 0) + number
        return found

    @cached_property
    def other_events(self) -> int | None:
        """The first run that accepted other events, or refused others for good."""
        sides = []
        for book in (self.opened, self.anew):
            taken = book.table(RunTable.ACCEPTED_EVENTS).select("run_id", "event_id")
            refused = book.table(RunTable.REJECTED_EVENTS).filter(
                ~pl.col("reason").is_in(list(TOO_EARLY))
            )
            sides.append(
                pl.concat(
                    [
                        taken.with_columns(reason=pl.lit(None, pl.String)),
                        refused.select("run_id", "event_id", "reason"),
                    ]
                )
            )
        return _first_difference(*sides)

    @cached_property
    def other_enrollments(self) -> int | None:
        """The first run that accepted other applications or took other events."""
        return self._other_enrollments()

    def _other_enrollments(self, accounts: pl.LazyFrame | None = None) -> int | None:
        tables = [book.table(RunTable.ACCEPTED) for book in (self.opened, self.anew)]
        if accounts is not None:
            tables = [table.join(accounts, on=_ACCOUNT, how="semi") for table in tables]
        sides = [table.select("run_id", "person_id", *_ACCOUNT) for table in tables]
        return min(filter(None, (_first_difference(*sides), self.other_events)), default=None)

    @cached_property
    def lost(self) -> int | None:
        """The first run after which a transaction is not booked that was booked by then."""
        booked, again = (
            by_account(book).select(*_ACCOUNT, "entries", "fingerprint")
            for book in (self.opened, self.anew)
        )
        both = booked.join(again, on=_ACCOUNT, how="full", coalesce=True, suffix="_again")
        same = pl.col("fingerprint").eq_missing(pl.col("fingerprint_again"))
        changed = both.filter(~same).select(_ACCOUNT)
        if changed.is_empty():
            return None
        moves = pl.when(pl.col("kind").is_in(KINDS)).then(1).otherwise(-1)
        sides = [
            book.ledger()
            .filter(pl.col("kind") != RECOUNT)
            .join(changed.lazy(), on=_ACCOUNT, how="semi")
            .select(
                *_KEY,
                run=pl.col("run_id").cast(pl.Int64),
                booked=moves * (book is self.opened),
                again=moves * (book is self.anew),
            )
            for book in (self.opened, self.anew)
        ]
        standing = (
            pl.concat(sides)
            .group_by(*_KEY, "run")
            .agg(pl.col("booked", "again").sum())
            .sort(*_KEY, "run")
            .with_columns(pl.col("booked", "again").cum_sum().over(_KEY))
        )
        first = standing.filter(pl.col("again") < pl.col("booked")).select(pl.col("run").min())
        return _number(first)

    @cached_property
    def other_joined_accounts(self) -> int | None:
        """The first run in which two numbers may be one account in one book alone: contents that
        differ in nothing else are the same then.
        """
        events = [book.table(RunTable.ACCEPTED_EVENTS) for book in (self.opened, self.anew)]
        replaced = pl.concat(events).filter(pl.col("kind") == "account_replaced")
        joined = pl.concat(
            replaced.select("service_id", account_id=name) for name in ("account_id", "other_id")
        )
        return self._other_enrollments(joined.unique()) if _count(replaced) else None


def _first_difference(first_rows: pl.LazyFrame, second_rows: pl.LazyFrame) -> int | None:
    """The first run that has a row in only one of the two frames."""
    columns = first_rows.collect_schema().names()
    only = [
        rows.join(other_rows, on=columns, how="anti", nulls_equal=True).select("run_id")
        for rows, other_rows in ((first_rows, second_rows), (second_rows, first_rows))
    ]
    return _number(pl.concat(only).select(pl.col("run_id").cast(pl.Int64).min()))


def _number(frame: pl.LazyFrame) -> int | None:
    value = frame.collect(engine="streaming").item()
    return None if value is None else int(value)


def _count(frame: pl.LazyFrame) -> int:
    return _number(frame.select(pl.len())) or 0


def _since(first: int | None, rows: Mapping[int, int]) -> dict[int, int]:
    return {run: count for run, count in rows.items() if first is not None and run >= first}


def _conflicts(beside: _Beside) -> int:
    """Rows in conflict that may stand alone now, and those whose key waited: where such a row is
    booked in this run, the run might have left it alone.
    """
    rows = beside.conflicts["transactions"]
    if not rows:
        return 0
    counted = _since(beside.lost, rows)
    counted |= _since(beside.other_joined_accounts, rows)
    counted |= {
        run: count for run, count in rows.items() if beside.anew.record(run).counts.reconsidered
    }
    return sum(counted.values())


def _application_conflicts(beside: _Beside) -> int:
    rows = beside.conflicts["enrollments"]
    return sum(_since(beside.other_enrollments, rows).values()) if rows else 0


def _events(beside: _Beside, waited: Mapping[int, int]) -> int:
    """Events in conflict, and those that were delivered again, accepted or waiting ones."""
    rows = dict(beside.conflicts["events"])
    for run, of_run in waited.items():
        counts = beside.opened.record(run).counts.events
        rows[run] = rows.get(run, 0) + counts.unchanged + of_run - counts.reconsidered
    return sum(_since(beside.other_events, rows).values()) if any(rows.values()) else 0


# --- Format 1 -------------------------------------------------------------------------------------


def _of_format_1(beside: _Beside, other: OtherTerms) -> Iterator[Unknown]:
    """What runs of format 1 turned away, and other terms or services might let in."""
    opened = beside.opened
    runs = [record.number for record in opened.records if record.format == 1]
    if not runs or all(_decides_the_same(opened, run, other) for run in range(1, opened.runs + 1)):
        return
    pairs = [(f"{run:06}", reason) for run in runs for reason in _let_in(beside, run, other)]
    wanted = pl.LazyFrame(pairs, schema={"run_id": pl.String, "reason": pl.String}, orient="row")
    rejected, declined = (
        opened.table(table).join(wanted, on=["run_id", "reason"], how="semi")
        for table in (RunTable.REJECTED, RunTable.DECLINED)
    )
    yield Unknown("application", _count(rejected))
    rows, yen = declined.select(pl.len(), pl.col("amount").sum()).collect(engine="streaming").row(0)
    yield Unknown("transaction", int(rows), int(yen))


def _let_in(beside: _Beside, number: int, other: OtherTerms) -> set[str]:
    """The reasons for which a run of format 1 turned rows away, and that may not hold any more:
    what waits is looked at by each later run, too.
    """
    opened, reasons = beside.opened, set[str]()
    then = opened.record(number).programme.terms
    for run in range(number, opened.runs + 1):
        now = other.terms_of(opened.programme(run), announced_on(opened, run))
        wider = {
            "before_window": now.window_first < then.window_first,
            "after_window": now.window_last > then.window_last,
            "applied_late": now.applications_last > then.applications_last,
            "card_applied_late": now.card_applications_last > then.card_applications_last,
        }
        reasons |= {reason for reason, is_wider in wider.items() if is_wider}
        if _has_other_services(opened, run, other):
            reasons |= set(_BY_SERVICE)
    if beside.other_enrollments is not None or reasons & {"applied_late", "card_applied_late"}:
        reasons |= {NOT_ENROLLED, ACCOUNT_TAKEN, ALREADY_ENROLLED}
    if reasons:
        # What such rows refund may be among the others.
        reasons |= {ORIGINAL_NOT_BOOKED, REFUND_EXCEEDS_ORIGINAL}
    return reasons


def _decides_the_same(opened: OpenedBook, number: int, other: OtherTerms) -> bool:
    """Whether each row of a run is booked or declined as it was: rate and cap do not matter."""
    now = other.terms_of(opened.programme(number), announced_on(opened, number))
    then = opened.record(number).programme.terms
    days = ("window_first", "window_last", "applications_last", "card_applications_last")
    same = all(getattr(now, day) == getattr(then, day) for day in days)
    return same and not _has_other_services(opened, number, other)


def _has_other_services(opened: OpenedBook, number: int, other: OtherTerms) -> bool:
    kept = opened.services(number).services
    return other.services is not None and other.services.services != kept
