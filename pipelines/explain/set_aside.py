"""Quarantined rows that name a transaction or a person."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from engine.io.book.format import RunTable
from pipelines.desk.opened_book import OpenedBook, book_readable
from pipelines.desk.quarantined import fields_of

Role = Literal["transactions", "enrollments", "events"]
_SERVICE: Final = {"run_id": pl.String, "file": pl.String, "service": pl.String}


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that was not taken in, and names what was asked for."""

    run_id: str
    file: str
    row: int
    errors: list[str]
    raw: str


def transactions_set_aside(
    opened: OpenedBook, service_id: str, transaction_id: str
) -> list[Quarantined]:
    """The quarantined rows that name a transaction, among whatever else they name."""
    rows = _naming(opened, transaction_id, "transactions")
    # The layout may say of which service a whole file is; its rows do not.
    services = _laid_out(opened, rows["run_id"].unique())
    return _as_found(
        rows.join(services, on=["run_id", "file"], how="left").filter(
            pl.col("fields").list.contains(service_id)
            | (pl.col("service") == service_id).fill_null(value=False)
        )
    )


def applications_set_aside(opened: OpenedBook, named: str) -> list[Quarantined]:
    """The quarantined applications and corrections that name a person, or an account."""
    return _as_found(_naming(opened, named, "enrollments", "events"))


def corrections_set_aside(
    opened: OpenedBook, service_id: str, transaction_id: str
) -> list[Quarantined]:
    """The quarantined corrections that name a transaction."""
    rows = _naming(opened, transaction_id, "events")
    return _as_found(rows.filter(pl.col("fields").list.contains(service_id)))


def without_ids(opened: OpenedBook, service_id: str) -> int:
    """How many quarantined rows of layouts' files may be of a service."""
    with book_readable(opened.book):
        files = _laid_out(opened, [record.run_id for record in opened.records]).filter(
            pl.col("service").is_null() | (pl.col("service") == service_id)
        )
        return _rows_of(opened, files)


def applications_without_ids(opened: OpenedBook) -> int:
    """How many quarantined applications came in a provider's own form."""
    with book_readable(opened.book):
        files = [
            (record.run_id, delivered.name, None)
            for record in opened.records
            for delivered in record.inputs
            if delivered.role == "enrollments" and delivered.layout is not None
        ]
        return _rows_of(opened, pl.DataFrame(files, schema=_SERVICE, orient="row"))


def _rows_of(opened: OpenedBook, files: pl.DataFrame) -> int:
    if files.is_empty():
        return 0
    rows = opened.table(RunTable.QUARANTINE).join(files.lazy(), on=["run_id", "file"], how="semi")
    return int(rows.select(pl.len()).collect(engine="streaming").item())


def _naming(opened: OpenedBook, wanted: str, *roles: Role) -> pl.DataFrame:
    """The quarantined rows of some roles one of whose fields is ``wanted``."""
    as_it_may_stand = {
        wanted,
        wanted.replace('"', '""'),
        wanted.replace("\\", "\\\\").replace('"', '\\"'),
    }
    rows = (
        opened.table(RunTable.QUARANTINE)
        .filter(pl.col("raw").str.contains_any(sorted(as_it_may_stand)))
        .collect(engine="streaming")
    )
    delivered = [
        (record.run_id, file.name)
        for record in opened.records
        for file in record.inputs
        if file.role in roles
    ]
    of_role = pl.DataFrame(
        delivered, schema={"run_id": pl.String, "file": pl.String}, orient="row"
    ).unique()
    return (
        rows.with_columns(fields_of(rows["raw"]))
        .filter(pl.col("fields").list.contains(wanted))
        .join(of_role, on=["run_id", "file"], how="semi")
    )


def _as_found(rows: pl.DataFrame) -> list[Quarantined]:
    columns = ("run_id", "file", "row", "errors", "raw")
    found = rows.sort("run_id", "file", "row").select(columns).iter_rows()
    return [Quarantined(*values) for values in found]


def _laid_out(opened: OpenedBook, runs: Iterable[str]) -> pl.DataFrame:
    """The files that some runs read by a layout, and their service where it is one."""
    files: Sequence[tuple[str, str, str | None]] = [
        (run, file, service) for run in runs for file, service in opened.laid_out(int(run)).items()
    ]
    return pl.DataFrame(files, schema=_SERVICE, orient="row")
