"""The rows that could not be looked at afresh, because the book does not keep all of them.

Rows are counted by kind. All other rows were decided again, or could not have changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from engine.io.book.format import RunTable
from engine.io.parquet import scan_parquet
from engine.rules.application import ACCOUNT_TAKEN, ALREADY_ENROLLED
from engine.rules.refunds import ORIGINAL_NOT_BOOKED, REFUND_EXCEEDS_ORIGINAL
from engine.rules.spending import NOT_ENROLLED, UNKNOWN_SERVICE
from engine.terms.services import Services
from pipelines.desk.opened_book import OpenedBook, book_readable
from pipelines.simulate.compare import by_account
from pipelines.simulate.terms import OtherTerms, announced_on

# In place of what the book does not keep: no row has such an original or such a method.
UNKNOWN_METHOD: Final = "mynapoint simulate: not kept in the book 7b1d6a52"
UNKNOWN_ORIGINAL: Final = "mynapoint simulate: not kept in the book e94c30f8"

_ACCOUNT: Final = ("service_id", "account_id")
_BY_SERVICE: Final = (
    *(UNKNOWN_SERVICE, "basis_not_chosen", "service_closed_to_applications"),
    *("not_preregistered", ACCOUNT_TAKEN, ALREADY_ENROLLED),
)


@dataclass(frozen=True, slots=True)
class Unknown:
    """Rows of one kind that could not be looked at afresh.

    Attributes:
        kind: ``method``, ``original``, ``conflict``, ``application``, ``application_conflict`` or
            ``payment_of_an_application``.
        yen: the rows' amounts; None where they have none that can be read.
    """

    kind: str
    rows: int
    yen: int | None = None


def unknown_rows(opened: OpenedBook, anew: OpenedBook, other: OtherTerms) -> tuple[Unknown, ...]:
    """The rows of a book that could not be looked at afresh."""
    with book_readable(opened.book):
        changed = _accounts_booked_otherwise(opened, anew)
        is_lost = _lost(opened, anew, changed)
        turned_away = anew.table(RunTable.REJECTED).select(pl.len()).collect().item() > 0
        applications = _applications(opened, other, turned_away=turned_away)
        found = (
            _methods(anew),
            _originals(opened, anew, changed),
            _conflicts(opened, "transactions", "conflict", matters=is_lost),
            _conflicts(opened, "enrollments", "application_conflict", matters=turned_away),
            Unknown("application", applications.height),
            _payments(anew, applications),
        )
    return tuple(one for one in found if one.rows)


def _accounts_booked_otherwise(opened: OpenedBook, anew: OpenedBook) -> pl.DataFrame:
    """The accounts of which other transactions were booked, or the same in another run."""
    booked, again = (
        by_account(one).select(*_ACCOUNT, "entries", "fingerprint") for one in (opened, anew)
    )
    both = booked.join(again, on=_ACCOUNT, how="full", coalesce=True, suffix="_again")
    same = pl.col("fingerprint").eq_missing(pl.col("fingerprint_again"))
    entries, again_ = (pl.col(name).fill_null(0) for name in ("entries", "entries_again"))
    return both.filter(~same).select(*_ACCOUNT, fewer=again_ < entries)


def _lost(opened: OpenedBook, anew: OpenedBook, changed: pl.DataFrame) -> bool:
    """Whether anything that a run had booked was not booked in it again."""
    if changed["fewer"].any():
        return True
    missing = _entries_without(opened, anew, changed)
    return bool(missing.select(pl.len()).collect(engine="streaming").item())


def _entries_without(one: OpenedBook, other: OpenedBook, accounts: pl.DataFrame) -> pl.LazyFrame:
    """A book's entries of some accounts that the same run of the other book does not have."""
    key = ("run_id", *_ACCOUNT, "transaction_id")
    mine, theirs = (
        book.ledger().select(key).join(accounts.lazy().select(_ACCOUNT), on=_ACCOUNT, how="semi")
        for book in (one, other)
    )
    return mine.join(theirs, on=key, how="anti")


def _methods(anew: OpenedBook) -> Unknown:
    """Payments that were booked but for a method that may be excluded.

    Being excluded is the last of the reasons, and nothing else that was looked at afresh has an
    excluded method: the engine says which rows it comes down to.
    """
    rows, yen = _sums(anew.table(RunTable.DECLINED).filter(pl.col("reason") == "excluded_method"))
    return Unknown("method", rows, yen)


def _originals(opened: OpenedBook, anew: OpenedBook, changed: pl.DataFrame) -> Unknown:
    """Refunds whose original may be booked now, or have more left of it.

    Such a refund is of an account that had no enrollment, or of which something more is booked.
    """
    refund = pl.col("kind") == "refund"
    row = ("run_id", "service_id", "transaction_id", "account_id", "amount")
    before = opened.table(RunTable.DECLINED).filter(refund).select(*row, before="reason")
    now = (
        anew.table(RunTable.DECLINED)
        .filter(refund, pl.col("reason") == ORIGINAL_NOT_BOOKED)
        .select(row)
    )
    refunds = now.join(before, on=row).unique(row).collect(engine="streaming")
    accounts = changed.join(refunds, on=_ACCOUNT, how="semi")
    more = _entries_without(anew, opened, accounts).select(_ACCOUNT).unique()
    in_changed = more.with_columns(more=pl.lit(value=True))
    depends = pl.col("before").is_in([ORIGINAL_NOT_BOOKED, REFUND_EXCEEDS_ORIGINAL])
    rows, yen = _sums(
        refunds.lazy()
        .join(in_changed, on=_ACCOUNT, how="left")
        .filter(
            pl.col("before").is_in([NOT_ENROLLED, UNKNOWN_SERVICE])
            | (depends & pl.col("more").is_not_null())
        )
    )
    return Unknown("original", rows, yen)


def _conflicts(opened: OpenedBook, role: str, kind: str, *, matters: bool) -> Unknown:
    """Rows with other content than one that was booked, and that may stand alone now."""
    if not matters:
        return Unknown(kind, 0)
    files = pl.LazyFrame(
        [
            (record.run_id, one.name)
            for record in opened.records
            for one in record.inputs
            if one.role == role
        ],
        schema={"run_id": pl.String, "file": pl.String},
        orient="row",
    )
    # By whichever column's name the provider knows it.
    conflict = pl.col("errors").list.eval(pl.element().str.ends_with(":conflict")).list.any()
    rows = (
        opened.table(RunTable.QUARANTINE)
        .filter(conflict)
        .join(files, on=["run_id", "file"], how="semi")
    )
    return Unknown(kind, int(rows.select(pl.len()).collect().item()))


def _applications(opened: OpenedBook, other: OtherTerms, *, turned_away: bool) -> pl.DataFrame:
    """The accounts of rejected applications that other terms or services might let in."""
    frames = [
        scan_parquet(opened.book.run_folder(number) / RunTable.REJECTED.file_name)
        .filter(
            pl.col("reason").is_in(list(_reasons(opened, number, other, turned_away=turned_away)))
        )
        .filter(_may_be_known(other.services))
        .select(_ACCOUNT)
        for number in range(1, opened.runs + 1)
    ]
    return pl.concat(frames).collect(engine="streaming")


def _reasons(
    opened: OpenedBook, number: int, other: OtherTerms, *, turned_away: bool
) -> Iterator[str]:
    """The reasons for which an application was rejected and may not be now."""
    day = announced_on(opened, number)
    now = other.terms_of(opened.programme(number), day)
    then = opened.programme(number).terms_as_of(day)
    if now.card_applications_last > then.card_applications_last:
        yield "card_applied_late"
    if now.applications_last > then.applications_last:
        yield "applied_late"
    if turned_away:
        yield from (ACCOUNT_TAKEN, ALREADY_ENROLLED)
    if other.services and other.services.services != opened.services(number).services:
        yield from _BY_SERVICE


def _may_be_known(services: Services | None) -> pl.Expr:
    if services is None:
        return pl.lit(value=True)
    known = pl.col("service_id").is_in(list(services.by_id))
    return known | (pl.col("reason") != UNKNOWN_SERVICE)


def _payments(anew: OpenedBook, applications: pl.DataFrame) -> Unknown:
    """Payments of accounts that such an application has."""
    rows, yen = _sums(
        anew.table(RunTable.DECLINED)
        .filter(pl.col("reason") == NOT_ENROLLED)
        .join(applications.lazy().unique(), on=_ACCOUNT, how="semi")
    )
    return Unknown("payment_of_an_application", rows, yen)


def _sums(rows: pl.LazyFrame) -> tuple[int, int]:
    row = rows.select(pl.len(), pl.col("amount").sum()).collect(engine="streaming").row(0)
    return int(row[0]), int(row[1])
