"""The pages for which the whole book is looked at: what waits, what is due, where to look first,
what some runs changed. Each is what a command finds, calculated once.
"""

import dataclasses
import datetime as dt
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from engine.errors import InputError
from engine.extras import require_extra
from pipelines.browse.asked import PageRequest
from pipelines.browse.listing import Cell, Listing, Page, PageBlock
from pipelines.browse.rows import Cursor, parse_cursor
from pipelines.desk.database import Database, readable_by_duckdb
from pipelines.desk.opened_book import OpenedBook
from pipelines.diff.changes import Changes, changes
from pipelines.diff.output import tables as tables_of_changes
from pipelines.diff.output import terms as terms_of_changes
from pipelines.due.forecast import OVERDUE_DAYS, Due, forecast
from pipelines.due.output import sentences as sentences_of_due
from pipelines.due.output import tables as tables_of_due
from pipelines.pending.output import tables as tables_of_waiting
from pipelines.pending.summary import ROLES, total
from pipelines.pending.waiting import Pending, pending
from pipelines.remarks.looked_for import PATTERNS
from pipelines.remarks.noticed import Remark, look_through
from pipelines.remarks.output import first_rows, sums_of
from pipelines.shown.texts import Texts

PATTERN_NAMES: Final = tuple(pattern.name for pattern in PATTERNS)
MOST_WAITING_LOOKED_AT: Final = 10_000_000
"""Of more entries and declined rows, what waits takes more memory than pages should: some 200 bytes
a row.
"""
_MOST_OF_A_PATTERN: Final = 1_000
_MOST_PEOPLE: Final = 10_000


def waiting(asked: PageRequest) -> Page:
    """What waits after the last run, by reason, age and run, and row by row."""
    opened, t = asked.opened, asked.t
    looked_at = opened.entries + sum(record.counts.all_declined for record in opened.records)
    if looked_at > MOST_WAITING_LOOKED_AT:
        command = shlex.join(["mynapoint", "pending", str(opened.book.path)])
        said = [t("too_much", rows=looked_at), command]
        return Page("waiting", t("p_waiting"), [PageBlock(sentences=said)])
    found: Pending = asked.browsed.calculations.result("waiting", lambda: pending(opened))
    texts = Texts("pending", asked.lang)
    left = _left(found, asked)
    _note(asked, "waiting")
    facts = [(t("f_on"), str(found.as_of))]
    said = [texts("of_format_1", rows=found.of_format_1)] if found.of_format_1 else []
    said.append(texts("nothing" if total(left).is_empty() else "note"))
    blocks = [PageBlock(sentences=said)]
    blocks += [
        PageBlock(listings=[asked.listing(sums)])
        for sums in tables_of_waiting(_safe(left, asked), texts)
    ]
    rows = (_waiting_transactions, _waiting_enrollments, _waiting_events)
    blocks += [
        PageBlock(listings=[make(asked, getattr(left, role))])
        for role, make in zip(ROLES, rows, strict=True)
        if getattr(left, role).height
    ]
    return Page("waiting", t("p_waiting"), blocks, facts)


def _left(found: Pending, asked: PageRequest) -> Pending:
    """What waits, as the filters leave it."""
    filters = asked.filters
    wanted = {"service_id": filters.service, "run_id": filters.run, "reason": filters.reason}
    fits = {name: value for name, value in wanted.items() if value is not None}
    return replace(
        found,
        transactions=found.transactions.filter(**fits),
        enrollments=found.enrollments.filter(**fits),
        events=found.events.filter(**fits),
    )


def _safe(found: Pending, asked: PageRequest) -> Pending:
    """What waits with services that may be shown: in place of one there may be anything."""
    if asked.browsed.show_ids:
        return found
    service = pl.col("service_id")
    known = service.is_in(list(asked.browsed.registry)) | service.is_null()
    shown = pl.when(known).then(service).otherwise(pl.lit("…")).alias("service_id")
    return replace(
        found,
        transactions=found.transactions.with_columns(shown),
        enrollments=found.enrollments.with_columns(shown),
        events=found.events.with_columns(shown),
    )


def _waiting_transactions(asked: PageRequest, rows: pl.DataFrame) -> Listing:
    start = parse_cursor(asked.query.get("from")).row
    cells: list[Sequence[Cell]] = [
        (
            asked.link(row["run_id"], "runs", run=row["run_id"]),
            str(row["occurred_at"]),
            asked.service(row["service_id"]),
            asked.kind(row["kind"]),
            asked.transaction(row["service_id"], row["transaction_id"]),
            row["amount"],
            row["points_at_stake"],
            row["reason"],
            asked.account(row["service_id"], row["account_id"]),
        )
        for row in rows.slice(start, asked.rows).iter_rows(named=True)
    ]
    columns = asked.columns(
        *("run:code", "occurred_at:day", "service_id:code", "kind", "transaction_id:code"),
        *("amount_yen:number", "stake:number", "reason:code", "account_id:code"),
    )
    end = start + len(cells)
    following = None
    if end < rows.height:
        following = asked.filters.address("waiting", **{"from": str(Cursor(0, end))})
    return _listed(asked, "transactions", columns, cells, rows.height, following)


def _waiting_enrollments(asked: PageRequest, rows: pl.DataFrame) -> Listing:
    cells: list[Sequence[Cell]] = [
        (
            asked.link(row["run_id"], "runs", run=row["run_id"]),
            str(row["applied_at"]),
            asked.service(row["service_id"]),
            row["reason"],
            asked.reason(row["reason"]),
            asked.person(row["person_id"]),
            asked.account(row["service_id"], row["account_id"]),
        )
        for row in rows.head(asked.rows).iter_rows(named=True)
    ]
    columns = asked.columns(
        *("run:code", "applied_at:day", "service_id:code", "reason:code", "meaning"),
        *("person_id:code", "account_id:code"),
    )
    return _listed(asked, "enrollments", columns, cells, rows.height)


def _waiting_events(asked: PageRequest, rows: pl.DataFrame) -> Listing:
    cells: list[Sequence[Cell]] = [
        (
            asked.link(row["run_id"], "runs", run=row["run_id"]),
            asked.event(row["event_id"]),
            asked.kind(row["kind"]),
            asked.reason(row["reason"]),
        )
        for row in rows.head(asked.rows).iter_rows(named=True)
    ]
    columns = asked.columns("run:code", "event_id:code", "kind", "meaning")
    return _listed(asked, "events", columns, cells, rows.height)


def _listed(
    asked: PageRequest,
    role: str,
    columns: Any,  # noqa: ANN401 - columns of a listing
    cells: Sequence[Sequence[Cell]],
    height: int,
    following: str | None = None,
) -> Listing:
    note = asked.t("n_rows", shown=len(cells), total=height)
    caption = asked.t(f"t_waiting_{role}")
    return Listing(role, caption, columns, cells, note=note, following=following)


def _note(asked: PageRequest, page: str) -> None:
    """Logs a page whose rows name people, where it shows whom."""
    if asked.browsed.show_ids:
        asked.browsed.log.note(page, filters=asked.filters.given())


# --- From award to grant --------------------------------------------------------------------------


def due(asked: PageRequest) -> Page:
    """The bridge from award to grant on a day: by default the last run's day of booking."""
    opened, texts = asked.opened, Texts("due", asked.lang)
    calculations = asked.browsed.calculations
    on = opened.records[-1].booked_on
    if asked.filters.on is not None:
        on = dt.date.fromisoformat(asked.filters.on)
    found: Due = calculations.result(
        ("due", on),
        lambda: forecast(
            opened.book.path,
            on,
            by_day=True,
            overdue_days=OVERDUE_DAYS,
            runs=opened.runs,
            scratch=calculations.scratch,
        ),
    )
    service = asked.filters.service
    if service is not None:
        found = _of_service(found, service)
    blocks = [PageBlock(listings=[asked.listing(table)]) for table in tables_of_due(found, texts)]
    said = [asked.t("bridge"), *(() if service else sentences_of_due(found, texts))]
    facts = [(asked.t("f_on"), str(on))]
    return Page("due", asked.t("p_due"), [PageBlock(sentences=said), *blocks], facts)


def _of_service(found: Due, service: str) -> Due:
    """A service's part of the figures."""

    def part(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(pl.col("service_id") == service) if frame.width else frame

    return replace(
        found,
        services=part(found.services),
        days=part(found.days),
        withheld=part(found.withheld),
        unanswered=part(found.unanswered),
        debts=part(found.debts),
        misdirected=part(found.misdirected),
        late=part(found.late),
    )


# --- Where to look first --------------------------------------------------------------------------


def remarks(asked: PageRequest) -> Page:
    """Patterns to ask about, and when each was found."""
    opened, filters, t = asked.opened, asked.filters, asked.t
    calculations = asked.browsed.calculations
    sums, found = calculations.result("remarks", lambda: _looked(opened, calculations.scratch))
    _note(asked, "remarks")
    rows = [
        row
        for row in found
        if filters.pattern in (None, row["pattern"])
        and filters.service in (None, row["service_id"])
        and filters.run in (None, row["run_id"])
    ]
    cells: list[Sequence[Cell]] = [
        (
            row["pattern"],
            asked.link(row["run_id"], "runs", run=row["run_id"]) if row["run_id"] else None,
            None if row["service_id"] is None else asked.service(row["service_id"]),
            row["points"],
            row["detail"],
            *_whom(asked, row),
        )
        for row in rows[: asked.rows]
    ]
    columns = asked.columns(
        *("pattern:code", "run:code", "service_id:code", "points:number", "detail:number"),
        *("transaction_id:code", "person_id:code", "account_id:code"),
    )
    note = t("n_remarks", shown=len(cells), most=_MOST_OF_A_PATTERN)
    listing = Listing("remarks", t("t_remarks"), columns, cells, note=note)
    texts = Texts("remarks", asked.lang)
    patterns = asked.listing(sums_of(sums, texts))
    patterns = replace(
        patterns,
        rows=[
            [asked.link(remark.pattern.name, "remarks", pattern=remark.pattern.name), *row[1:]]
            for remark, row in zip(sums, patterns.rows, strict=True)
        ],
        note=texts("not_wrong"),
    )
    return Page(
        "remarks", t("p_remarks"), [PageBlock(listings=[patterns]), PageBlock(listings=[listing])]
    )


def _whom(asked: PageRequest, row: dict[str, Any]) -> Sequence[Cell]:
    service, transaction = row["service_id"], row["transaction_id"]
    person, account = row["person_id"], row["account_id"]
    return (
        None if None in (service, transaction) else asked.transaction(service, transaction),
        None if person is None else asked.person(person),
        None if None in (service, account) else asked.account(service, account),
    )


def _looked(opened: OpenedBook, scratch: Path | None) -> tuple[list[Remark], list[dict[str, Any]]]:
    require_extra("remarks", "desk", "duckdb")
    with tempfile.TemporaryDirectory(prefix="mynapoint-remarks-", dir=scratch) as folder:
        place = Path(folder) / "database"
        with readable_by_duckdb(opened.book.path), Database(place) as database:
            return look_through(opened, database), first_rows(database, _MOST_OF_A_PATTERN)


# --- What runs changed ----------------------------------------------------------------------------


def changed(asked: PageRequest) -> Page:
    """What the runs after one, up to another, changed; by default what the last run did."""
    opened, filters, t = asked.opened, asked.filters, asked.t
    after = opened.runs if filters.run is None else int(filters.run)
    before = after - 1 if filters.since is None else int(filters.since)
    columns = asked.columns(
        "person_id:code", "points_before:number", "points_after:number", "difference:number"
    )
    if before < 1 and filters.since is None:
        nobody = Listing("people", t("t_changed_people"), columns, [])
        return Page(
            "changed", t("p_changed"), [PageBlock("", [t("no_run_before")], listings=[nobody])]
        )
    if before >= after:
        raise InputError(
            f"since: run {before} does not come before run {after}",
            hint="choose an earlier run for it",
        )
    found = asked.browsed.calculations.result(
        ("changed", before, after), lambda: _changes(opened, before, after)
    )
    _note(asked, "changed")
    texts = Texts("diff", asked.lang)
    points = [
        texts("point", run=point.run_id, day=point.booked_on, sha256=point.chain_sha256)
        for point in (found.changes.before, found.changes.after)
    ]
    people = texts("people", people=found.people, gained=found.gained, lost=found.lost)
    blocks = [PageBlock(sentences=[*points, people])]
    blocks.append(PageBlock(t("h_changed_terms"), items=terms_of_changes(found.changes, texts)))
    blocks += [
        PageBlock(listings=[asked.listing(table)])
        for table in tables_of_changes(found.changes, texts)
    ]
    cells: list[Sequence[Cell]] = [
        (asked.person(person), before_, after_, after_ - before_)
        for person, before_, after_ in found.changes.people.head(asked.rows).iter_rows()
    ]
    note = t("n_rows", shown=len(cells), total=found.gained + found.lost)
    listing = Listing("people", t("t_changed_people"), columns, cells, note=note)
    title = texts("title", before=found.changes.before.run_id, after=found.changes.after.run_id)
    return Page("changed", title, [*blocks, PageBlock(listings=[listing])])


@dataclasses.dataclass(frozen=True, slots=True)
class _Changes:
    """What changed; of the people, those with the greatest differences."""

    changes: Changes
    people: int
    gained: int
    lost: int


def _changes(opened: OpenedBook, before: int, after: int) -> _Changes:
    first, second = (OpenedBook(opened.book, opened.records[:number]) for number in (before, after))
    found = changes(first, second)
    difference = pl.col("points_after") - pl.col("points_before")
    people = (
        found.people.filter(difference != 0)
        .sort(difference.abs(), "person_id", descending=[True, False])
        .head(_MOST_PEOPLE)
    )
    return _Changes(replace(found, people=people), found.people.height, found.gained, found.lost)
