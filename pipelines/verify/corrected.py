"""Whose each account was, from run to run: what the accepted events made of the enrollments.

The arithmetic is SQL of its own; events are read as the engine reads them, from what the book keeps
of them. So a book whose entries and events disagree is found without its deliveries; that the
events were the right ones, only the deliveries prove.

A place in time is a number: twice the run's, as of its events, and one more as of its end.
"""

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from engine.booking.corrections import Account, Corrections, Moment
from engine.booking.standing import Owner, Standing
from engine.io.book.folder import Book
from engine.io.book.format import CORRECTIONS_FILE, RunTable
from engine.io.parquet import scan_parquet
from pipelines.desk.database import Database
from pipelines.verify.findings import NO_CHANGED_BYTE, Finding
from pipelines.verify.kept_runs import KeptRun

_HOLDERS: Final = {
    "service_id": "VARCHAR",
    "account_id": "VARCHAR",
    "since_time": "BIGINT",
    "until_time": "BIGINT",
    "enrollment": "VARCHAR",
    "person_id": "VARCHAR",
    "own_account_id": "VARCHAR",
    "since": "TIMESTAMP",
    "applied_at": "TIMESTAMP",
    "basis": "VARCHAR",
}
_STOPS: Final = {
    "enrollment": "VARCHAR",
    "since_time": "BIGINT",
    "until_time": "BIGINT",
    "stopped_from": "TIMESTAMP",
    "stopped_until": "TIMESTAMP",
}
_NAMED: Final = {
    "service_id": "VARCHAR",
    "transaction_id": "VARCHAR",
    "since_time": "BIGINT",
    "until_time": "BIGINT",
}
_EVENTS: Final = {"run": "BIGINT", "event_id": "VARCHAR"}
_KEYS: Final = {"service_id": "VARCHAR", "transaction_id": "VARCHAR"}
END: Final = 1 << 60
_NEVER: Final = dt.datetime(9999, 12, 31)


class _Spell(NamedTuple):
    """What held from a place in time on, until something else did."""

    key: tuple[Any, ...]
    values: tuple[Any, ...]


def load_corrections(book: Book, runs: Sequence[KeptRun], database: Database) -> Iterator[Finding]:
    """Makes the tables ``holder``, ``stop``, ``named``, ``event`` and ``left_alone``; gives what is
    wrong with what the runs kept of their events.

    ``holder`` has every account that events concern, with a row also for when nobody held it.
    """
    corrections = Corrections()
    events: list[tuple[int, str]] = []
    for run in runs:
        before = corrections
        try:
            corrections = _with_run(book, run, corrections)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            corrections = before
            what = "what the run's events changed cannot be read"
            yield Finding("events", NO_CHANGED_BYTE, run.file(CORRECTIONS_FILE), what)
        accepted = _accepted_events(book, run)
        if accepted != [taken.event.event_id for taken in corrections.taken[len(before.taken) :]]:
            what = "the run's accepted events are others than those that it kept as taken"
            yield Finding(
                "events", NO_CHANGED_BYTE, run.file(RunTable.ACCEPTED_EVENTS.file_name), what
            )
        events += [(run.number, event_id) for event_id in accepted]
    spells = _Spells(corrections)
    database.table("holder", _HOLDERS, spells.holders())
    database.table("stop", _STOPS, spells.stops())
    database.table("named", _NAMED, spells.named())
    database.table("event", _EVENTS, events)
    left_alone = corrections.left_alone
    database.table("left_alone", _KEYS, left_alone.transactions)
    database.table("left_alone_whole", {"whole": "BIGINT"}, [(int(left_alone.everything),)])


def _with_run(book: Book, run: KeptRun, before: Corrections) -> Corrections:
    name = run.file(CORRECTIONS_FILE)
    if name not in run.sound:
        return before
    return before.with_run(json.loads((book.path / name).read_text(encoding="utf-8")))


def _accepted_events(book: Book, run: KeptRun) -> list[str]:
    if RunTable.ACCEPTED_EVENTS not in run.tables:
        return []
    path = book.path / run.file(RunTable.ACCEPTED_EVENTS.file_name)
    return scan_parquet(path).select("event_id").collect()["event_id"].to_list()


class _Spells:
    """What held when, as rows of tables."""

    def __init__(self, corrections: Corrections) -> None:
        self._corrections = corrections
        moments = [taken.moment for taken in corrections.taken]
        moments += [enrollment.moment for enrollment in corrections.enrollments]
        times = sorted({time for run, phase, *_ in moments for time in (2 * run, 2 * run + 1)})
        self._standing = [(time, self._as_of(time)) for time in times]

    def _as_of(self, time: int) -> Standing:
        run, is_end = divmod(time, 2)
        moment: Moment = (run, 1, 0, END, END) if is_end else (run, 0, END, END, END)
        return Standing(self._corrections.taken, self._corrections.enrollments, moment)

    def _accounts(self) -> list[Account]:
        """Every account that events concern."""
        last = Standing(self._corrections.taken, self._corrections.enrollments)
        enrolled = {enrollment.account for enrollment in self._corrections.enrollments}
        replaced = {
            (taken.event.service_id or "", other or "")
            for taken in self._corrections.taken
            if taken.event.kind == "account_replaced"
            for other in (taken.event.account_id, taken.event.other_id)
        }
        return sorted(enrolled | replaced | set(last.joined_accounts))

    def holders(self) -> list[tuple[Any, ...]]:
        accounts = self._accounts()

        def held() -> Iterator[tuple[int, list[_Spell]]]:
            for time, standing in self._standing:
                yield time, [_held(standing, account) for account in accounts]

        rows = _spells_of(held())
        first = self._standing[0][0] if self._standing else 0
        nobody = (None,) * 6
        rows += [(*account, 0, first - 1, *nobody) for account in accounts]
        return rows

    def stops(self) -> list[tuple[Any, ...]]:
        def stopped() -> Iterator[tuple[int, list[_Spell]]]:
            for time, standing in self._standing:
                spells = []
                for enrollment in standing.in_force():
                    since: dt.datetime | None = None
                    for instant, stops in [*standing.stops_of(enrollment), (_NEVER, False)]:
                        if since is not None and not stops and since < instant:
                            spells.append(_Spell((_identity(enrollment.moment),), (since, instant)))
                        since = (since or instant) if stops else None
                yield time, spells

        return _spells_of(stopped())

    def named(self) -> list[tuple[Any, ...]]:
        """The transactions that events void by name."""
        return _spells_of(
            (time, [_Spell(key, ()) for key in sorted(standing.voided_transactions)])
            for time, standing in self._standing
        )


def _held(standing: Standing, account: Account) -> _Spell:
    owner: Owner | None = standing.owner(account)
    if owner is None:
        return _Spell(account, (None,) * 6)
    enrollment = owner.enrollment
    return _Spell(
        account,
        (
            _identity(enrollment.moment),
            standing.person_of(enrollment),
            enrollment.account_id,
            owner.since,
            enrollment.applied_at,
            enrollment.basis,
        ),
    )


def _identity(moment: Moment) -> str:
    return "-".join(map(str, moment))


def _spells_of(states: Iterator[tuple[int, list[_Spell]]]) -> list[tuple[Any, ...]]:
    """Each spell with the places in time from its first to its last."""
    begun: dict[_Spell, int] = {}
    rows: list[tuple[Any, ...]] = []
    for time, spells in states:
        now = set(spells)
        ended = [spell for spell in begun if spell not in now]
        rows += [(*spell.key, begun.pop(spell), time - 1, *spell.values) for spell in ended]
        for spell in spells:
            begun.setdefault(spell, time)
    rows += [(*spell.key, since, END, *spell.values) for spell, since in begun.items()]
    return rows
