"""Applications as the runs took them, with the first instant whose spending counts."""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import polars as pl

from engine.io.book.format import RunTable
from engine.terms.services import Services
from pipelines.desk.opened_book import OpenedBook
from pipelines.explain.found_rows import Row, booked_on_of, rows_of
from pipelines.explain.story import Application, Declined

# Reasons that can only be understood with the application: its time, or what was chosen in it.
_DECIDED_BY_THE_APPLICATION: Final = ("before_application", "not_the_basis")


def applications_that_decided(
    opened: OpenedBook, declined: Sequence[Declined]
) -> list[Application]:
    """The accepted applications for which rows were declined."""
    accounts = {
        (refused.row["service_id"], refused.row["account_id"])
        for refused in declined
        if refused.reason in _DECIDED_BY_THE_APPLICATION
    }
    return applications_of(opened, accounts, [RunTable.ACCEPTED]) if accounts else []


def of_accounts(accounts: Iterable[tuple[str, str]]) -> pl.Expr:
    """Which rows are of one of these accounts."""
    return pl.any_horizontal(
        (pl.col("service_id") == service) & (pl.col("account_id") == account)
        for service, account in accounts
    )


_TABLES: Final = (RunTable.ACCEPTED, RunTable.REJECTED)


def applications_of(
    opened: OpenedBook, accounts: Collection[tuple[str, str]], tables: Sequence[RunTable] = _TABLES
) -> list[Application]:
    """The applications that name one of some accounts, in the order of the runs."""
    ids = sorted({account_id for _, account_id in accounts})
    return applications_in(opened, of_accounts(accounts), "account_id", ids, tables)


def applications_in(
    opened: OpenedBook,
    wanted: pl.Expr,
    column: str,
    ids: Sequence[str],
    tables: Sequence[RunTable] = _TABLES,
) -> list[Application]:
    """The applications that fit, in the order of the runs; each has one of some IDs in a column."""
    found = []
    rows = [
        row
        for table in tables
        for row in rows_of(opened.table_with(table, column, ids).filter(wanted))
    ]
    for row in rows:
        run = row.pop("run_id")
        counts_from = None
        if "reason" not in row:
            counts_from = _counts_from(row, opened.services(int(run)))
        found.append(
            Application(run, booked_on_of(opened, run), row, row.pop("reason", None), counts_from)
        )
    return sorted(found, key=lambda application: application.run_id)


def _counts_from(row: Row, services: Services) -> dt.datetime | None:
    """The first instant whose spending counts, as the service has it."""
    service = services.by_id.get(row["service_id"])
    applied_at: dt.datetime = row["applied_at"]
    if service is None:
        return None
    day = dt.datetime.combine(applied_at, dt.time())
    starts = {
        "instant": applied_at,
        "application_day": day,
        "next_day": day + dt.timedelta(days=1),
    }
    return starts[service.counts_from]
