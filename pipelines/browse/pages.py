"""The pages of sums and rows: the overview, the runs, and the sections of a book."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import polars as pl

from pipelines.browse.asked import PageRequest
from pipelines.browse.counts import ACCEPTED
from pipelines.browse.listing import Cell, Link, Listing, ListingColumn, Page, PageBlock
from pipelines.browse.rows import parse_cursor
from pipelines.desk.reasons import fault
from pipelines.report.table import file_name
from pipelines.shown.head import head_facts

_SUMS: Final = ("rows", "amount_yen", "counted_yen", "awarded", "reversed")
_MOST_COUNTED: Final = 500


def overview(asked: PageRequest) -> Page:
    """The book at a glance, by service and by month."""
    opened, t = asked.opened, asked.t
    last = opened.records[-1]
    facts = [
        (t("f_book"), opened.book.path.resolve().name),
        (t("f_runs"), t("f_runs_value", runs=opened.runs, run=last.run_id, day=last.booked_on)),
        (t("f_programme"), last.programme.id),
        *(
            (name, str(value))
            for name, value in head_facts(opened.chain_sha256, opened.seals, t.lang)
        ),
        (t("f_verified"), t("f_verified_value")),
    ]
    blocks = [PageBlock(listings=[_control(asked)]), PageBlock(listings=[_by_service(asked)])]
    blocks.append(PageBlock(listings=[_by_month(asked)]))
    return Page("overview", t("p_overview"), blocks, facts)


def runs(asked: PageRequest) -> Page:
    """The runs, each with what it booked and turned away."""
    by_run = {row["run"]: row for row in _summed(asked, "run").iter_rows(named=True)}
    declined = asked.browsed.counts.rows("declined", asked.filters)
    quarantined = {record.run_id: record.counts.quarantined for record in asked.opened.records}
    rows: list[Sequence[Cell]] = []
    for record in asked.opened.records:
        run = record.run_id
        if asked.filters.run not in (None, run) or asked.filters.month not in (None, record.month):
            continue
        sums = by_run.get(run, dict.fromkeys(_SUMS, 0))
        rows.append(
            (
                asked.link(run, "entries", run=run),
                record.booked_on,
                asked.link(sums["rows"], "entries", run=run),
                sums["counted_yen"],
                *_points(sums),
                asked.link(declined.get(run, 0), "declined", run=run),
                asked.link(quarantined[run], "quarantined", run=run),
            )
        )
    columns = asked.columns(
        *("run:code", "booked_on:day", "entries:number", "counted_yen:number", "awarded:number"),
        *("reversed:number", "net:number", "declined:number", "quarantined:number"),
    )
    listing = Listing("runs", asked.t("t_runs"), columns, rows, note=asked.t("n_runs"))
    blocks = [PageBlock(listings=[listing])]
    if len(rows) == 1 and asked.filters.run is not None:
        blocks += _one_run(asked)
    return Page("runs", asked.t("p_runs"), blocks)


def _one_run(asked: PageRequest) -> Iterator[PageBlock]:
    """What a run read and who ran it."""
    record, t = asked.opened.record(int(asked.filters.run or "0")), asked.t
    if record.ran is not None:
        ran = record.ran
        yield PageBlock(
            sentences=[
                t(
                    "ran",
                    user=ran.user,
                    host=ran.host,
                    start=f"{ran.started_at:%Y-%m-%d %H:%M:%S}",
                    end=f"{ran.finished_at:%Y-%m-%d %H:%M:%S}",
                )
            ]
        )
    rows = [
        (file.role, file_name(file.name), file.rows, file.bytes, file.sha256)
        for file in record.inputs
    ]
    columns = asked.columns("role", "file:code+", "rows:number", "bytes:number", "sha256:code+")
    yield PageBlock(listings=[Listing("inputs", t("t_inputs"), columns, rows)])


def _control(asked: PageRequest) -> Listing:
    """Where the rows that the book's runs read went, by run records: the control totals."""
    records = [
        record
        for record in asked.opened.records
        if asked.filters.run in (None, record.run_id)
        and asked.filters.month in (None, record.month)
    ]
    counts, yen = [record.counts for record in records], [record.yen for record in records]
    rows: list[Sequence[Cell]] = []
    for name, page in (
        *(("read", "runs"), ("reconsidered", "runs"), ("booked", "entries")),
        *(("all_declined", "declined"), ("quarantined", "quarantined"), ("all_skipped", "runs")),
    ):
        of_rows, of_yen = ([getattr(split, name) for split in splits] for splits in (counts, yen))
        rows.append((asked.link(asked.t(f"ct_{name}"), page), sum(of_rows), sum(of_yen)))
    columns = asked.columns("place", "rows:number", "amount_yen:number")
    return Listing("control", asked.t("t_control"), columns, rows, note=asked.t("n_control"))


def _by_service(asked: PageRequest) -> Listing:
    sums = {row["service"]: row for row in _summed(asked, "service").iter_rows(named=True)}
    declined = dict(
        asked.browsed.counts.of("declined", asked.filters)
        .group_by("service")
        .agg(pl.col("rows").sum())
        .iter_rows()
    )
    rows: list[Sequence[Cell]] = []
    for service in sorted(sums.keys() | declined.keys(), key=lambda name: (name is None, name)):
        of = sums.get(service, dict.fromkeys(_SUMS, 0))
        name: Cell = asked.service_name(service)
        if service is not None:
            name = asked.link(asked.service_name(service), "runs", service=service)
        rows.append(
            (
                name,
                service,
                of["rows"],
                of["counted_yen"],
                *_points(of),
                asked.link(declined.get(service, 0), "declined", service=service),
            )
        )
    columns = asked.columns(
        *("service", "service_id:code", "entries:number", "counted_yen:number", "awarded:number"),
        *("reversed:number", "net:number", "declined:number"),
    )
    return _with_total("services", asked, columns, rows, texts=2)


def _by_month(asked: PageRequest) -> Listing:
    of_run = {record.run_id: record.month for record in asked.opened.records}
    by_month = (
        _summed(asked, "run")
        .with_columns(month=pl.col("run").replace_strict(of_run, return_dtype=pl.String))
        .group_by("month")
        .agg(pl.col(_SUMS).sum())
        .sort("month")
    )
    rows: list[Sequence[Cell]] = [
        (
            asked.link(row["month"], "runs", month=row["month"]),
            row["rows"],
            row["counted_yen"],
            *_points(row),
        )
        for row in by_month.iter_rows(named=True)
    ]
    columns = asked.columns(
        *("month", "entries:number", "counted_yen:number", "awarded:number", "reversed:number"),
        "net:number",
    )
    return _with_total("months", asked, columns, rows, texts=1)


def _with_total(
    name: str,
    asked: PageRequest,
    columns: tuple[ListingColumn, ...],
    rows: list[Sequence[Cell]],
    *,
    texts: int,
) -> Listing:
    if rows:
        values = [[cell.value if isinstance(cell, Link) else cell for cell in row] for row in rows]
        sums = [sum(column) for column in list(zip(*values, strict=True))[texts:]]
        rows = [*rows, (asked.t("total"), *[""] * (texts - 1), *sums)]
    return Listing(name, asked.t(f"t_{name}"), columns, rows, total=bool(rows))


def _summed(asked: PageRequest, by: str) -> pl.DataFrame:
    left = asked.browsed.counts.of("entries", asked.filters)
    return left.group_by(by).agg(pl.col(_SUMS).sum()).sort(by)


def _points(sums: Mapping[str, int]) -> tuple[int, int, int]:
    return sums["awarded"], sums["reversed"], sums["awarded"] - sums["reversed"]


# --- Sections: what there is of each kind, and the rows -------------------------------------------


def section(name: str) -> Callable[[PageRequest], Page]:
    """The page of a section: its rows by kind, reason, fault or outcome, and one by one."""

    def page(asked: PageRequest) -> Page:
        if asked.browsed.show_ids:
            # Its rows name people.
            asked.browsed.log.note(name, filters=asked.filters.given())
        blocks = [
            PageBlock(listings=[_counted(asked, name)]),
            PageBlock(listings=[_rows(asked, name)]),
        ]
        if name == "corrections":
            blocks.insert(1, PageBlock(listings=[_by_kind(asked)]))
        return Page(name, asked.t(f"p_{name}"), blocks)

    return page


# By section, the filter that its rows are counted by.
COUNTED_BY: Final = {
    "entries": "kind",
    "declined": "reason",
    "quarantined": "fault",
    "applications": "outcome",
    "corrections": "outcome",
}


def _counted(asked: PageRequest, name: str) -> Listing:
    by = COUNTED_BY[name]
    counts = (
        asked.browsed.counts.of(name, asked.filters, but=by)
        .group_by(by)
        .agg(pl.col("rows").sum())
        .sort("rows", by, descending=[True, False])
        .head(_MOST_COUNTED)
    )
    words: dict[str, Callable[[str], str]]
    words = {"kind": asked.kind, "fault": lambda code: fault(code, asked.lang)}
    rows = [
        (words.get(by, asked.reason)(code), asked.link(code, name, **{by: code}), times)
        for code, times in counts.iter_rows()
    ]
    columns = asked.columns("meaning", f"{by}:code", "rows:number")
    note = "" if by == "kind" else asked.t(f"n_{name}")
    return Listing(f"{name}_counted", asked.t(f"t_{name}_counted"), columns, rows, note=note)


def _by_kind(asked: PageRequest) -> Listing:
    """Corrections by kind, with the entries and points that they caused."""
    accepted = pl.col("outcome") == ACCEPTED
    rows = [
        (asked.kind(kind), *numbers)
        for kind, *numbers in asked.browsed.counts.of("corrections", asked.filters)
        .group_by("kind")
        .agg(
            pl.col("rows").filter(accepted).sum(),
            pl.col("rows").filter(~accepted).sum().alias("rejected"),
            pl.col("entries", "points").sum(),
        )
        .sort("kind")
        .iter_rows()
    ]
    columns = asked.columns(
        *("kind", "accepted:number", "rejected:number", "caused:number", "points:number")
    )
    note = asked.t("n_corrections_by_kind")
    caption = asked.t("t_corrections_by_kind")
    return Listing("corrections_by_kind", caption, columns, rows, note=note)


def _rows(asked: PageRequest, name: str) -> Listing:
    start = parse_cursor(asked.query.get("from"))
    found = asked.browsed.sections.page(name, asked.filters, start, asked.rows)
    columns, cells = _SHOWN[name]
    following = None
    if found.following is not None:
        following = asked.filters.address(name, **{"from": str(found.following)})
    total = sum(asked.browsed.counts.rows(name, asked.filters).values())
    key = "n_rows_of_faults" if name == "quarantined" else "n_rows"
    return Listing(
        name,
        asked.t(f"t_{name}"),
        asked.columns(*columns(asked)),
        [cells(asked, row) for row in found.rows],
        note=asked.t(key, shown=len(found.rows), total=total),
        following=following,
    )


Row = Mapping[str, Any]


def _run(asked: PageRequest, row: Row) -> Link:
    return asked.link(row["run_id"], "runs", run=row["run_id"])


def entry_row(asked: PageRequest, row: Row) -> Sequence[Cell]:
    """An entry in `COLUMNS_OF_ENTRIES`."""
    return (
        _run(asked, row),
        str(row["occurred_at"]),
        row["service_id"],
        asked.kind(row["kind"]),
        asked.transaction(row["service_id"], row["transaction_id"]),
        row["amount"],
        row["counted_amount"],
        row["points"],
        asked.person(row["person_id"]),
        asked.account(row["service_id"], row["account_id"]),
    )


def _declined(asked: PageRequest, row: Row) -> Sequence[Cell]:
    return (
        _run(asked, row),
        str(row["occurred_at"]),
        asked.service(row["service_id"]),
        asked.kind(row["kind"]),
        asked.transaction(row["service_id"], row["transaction_id"]),
        row["amount"],
        row["reason"],
        asked.account(row["service_id"], row["account_id"]),
    )


def _quarantined(asked: PageRequest, row: Row) -> Sequence[Cell]:
    faults = "; ".join(fault(error, asked.lang) for error in row["errors"])
    cells = (_run(asked, row), file_name(row["file"]), row["row"], faults)
    return (*cells, row["raw"]) if asked.browsed.show_ids else cells


def _application(asked: PageRequest, row: Row) -> Sequence[Cell]:
    return (
        _run(asked, row),
        str(row["applied_at"]),
        asked.service(row["service_id"]),
        row["outcome"],
        asked.reason(row["outcome"]),
        asked.person(row["person_id"]),
        asked.account(row["service_id"], row["account_id"]),
    )


def _correction(asked: PageRequest, row: Row) -> Sequence[Cell]:
    row = asked.safe(dict(row))
    names = ("person_id", "service_id", "account_id", "transaction_id", "other_id")
    return (
        _run(asked, row),
        asked.event(row["event_id"]),
        asked.kind(row["kind"]),
        asked.reason(row["outcome"]),
        ", ".join(str(row[name]) for name in names if row[name] is not None),
        None if row["effective_at"] is None else str(row["effective_at"]),
        row["authority"],
        row["note"],
    )


COLUMNS_OF_ENTRIES: Final = (
    *("run:code", "occurred_at:day", "service_id:code", "kind", "transaction_id:code"),
    *("amount_yen:number", "counted_yen:number", "points:number"),
    *("person_id:code", "account_id:code"),
)
_SHOWN: Final[Mapping[str, tuple[Any, Callable[[PageRequest, Row], Sequence[Cell]]]]] = {
    "entries": (
        lambda _: COLUMNS_OF_ENTRIES,
        entry_row,
    ),
    "declined": (
        lambda _: (
            *("run:code", "occurred_at:day", "service_id:code", "kind", "transaction_id:code"),
            *("amount_yen:number", "reason:code", "account_id:code"),
        ),
        _declined,
    ),
    "quarantined": (
        lambda asked: (
            *("run:code", "file:code", "row:number", "faults"),
            *(("raw:code+",) if asked.browsed.show_ids else ()),
        ),
        _quarantined,
    ),
    "applications": (
        lambda _: (
            *("run:code", "applied_at:day", "service_id:code", "outcome:code", "meaning"),
            *("person_id:code", "account_id:code"),
        ),
        _application,
    ),
    "corrections": (
        lambda _: (
            *("run:code", "event_id:code", "kind", "meaning", "concerns:code"),
            *("effective_at:day", "authority", "remark"),
        ),
        _correction,
    ),
}
