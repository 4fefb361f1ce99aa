"""Booking again, run by run, into a book that is thrown away."""

import datetime as dt
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from engine.errors import BookError, InputError
from engine.io.book.folder import run_id
from engine.io.book.format import SERVICES_FILE, RunTable
from engine.io.book.kept import DEFAULT_PROGRAMME
from engine.io.delivered.deliveries import Delivered, DeliveredAs
from engine.io.parquet import scan_parquet
from engine.io.run.nightly import run as book_a_night
from engine.io.run.order import Progress
from engine.records import ENROLLMENT_COLUMNS, EVENT_COLUMNS, KINDS, polars_schema
from engine.rules.refunds import REFUND_ACCOUNT_DIFFERS
from engine.rules.spending import DUPLICATE
from engine.terms.programme import Programme, load_programme
from pipelines.desk.opened_book import OpenedBook, book_readable, open_book
from pipelines.simulate.terms import OtherTerms, announced_on, described
from pipelines.simulate.unknown import (
    UNKNOWN_METHOD,
    UNKNOWN_ORIGINAL,
    Unknown,
    unknown_rows,
)
from pipelines.verify.bytes import KeptRun
from pipelines.verify.origin import (
    as_it_was_read,
    known_by_digest,
    linked_deliveries,
    missing_deliveries,
)

_KEY: Final = ("service_id", "transaction_id")
_CANONICAL: Final = (
    *("transaction_id", "service_id", "account_id", "occurred_at", "kind", "amount"),
    *("original_transaction_id", "method"),
)
# Declined whatever the terms: the one that was booked stands in the ledger, or was declined too.
_NEVER_OTHERWISE: Final = (REFUND_ACCOUNT_DIFFERS, "refund_before_original")


@dataclass(frozen=True, slots=True)
class Anew:
    """A book of the same runs under other terms.

    Attributes:
        terms: those of the last run, as they are shown.
    """

    opened: OpenedBook
    terms: Mapping[str, object]


class _Replay:
    """Books the runs of a book again under other terms."""

    def __init__(
        self, opened: OpenedBook, other: OtherTerms, scratch: Path, progress: Progress
    ) -> None:
        self.opened, self.other, self.scratch, self.progress = opened, other, scratch, progress
        self.book = scratch / "book"

    def book_run(
        self,
        number: int,
        transactions: Sequence[Path | DeliveredAs],
        enrollments: Sequence[Path | DeliveredAs],
        services: Path,
        events: Sequence[Path | DeliveredAs] = (),
    ) -> None:
        """Books a run again."""
        kept = self.opened.programme(number)
        programme = self.scratch / "programme.toml"
        programme.write_text(self.other.programme_of(kept).text, encoding="utf-8")
        book_a_night(
            self.book,
            # A day of its own: the same run again would be nothing to do.
            booked_on=dt.date(2000, 1, 1) + dt.timedelta(days=number),
            transactions=transactions,
            enrollments=enrollments,
            events=events,
            services=services,
            programme=programme,
            terms_as_of=self.other.day_of(announced_on(self.opened, number)),
            # It was booked, so this was within bounds.
            max_quarantined=1.0,
            progress=self.progress,
        )

    def services(self, number: int) -> Path:
        """The services file to book a run by."""
        if self.other.services is None:
            return self.opened.book.run_folder(number) / SERVICES_FILE
        path = self.scratch / "services.toml"
        path.write_text(self.other.services.text, encoding="utf-8")
        return path

    def booked(self) -> Anew:
        last = self.opened.runs
        kept = self.opened.programme(last)
        terms = self.other.terms_of(kept, announced_on(self.opened, last))
        return Anew(open_book(self.book), described(self.other.programme_of(kept), terms))


def book_at_once(
    transactions: Sequence[str | Path | DeliveredAs],
    enrollments: Sequence[str | Path | DeliveredAs],
    other: OtherTerms,
    max_quarantined: float,
    scratch: Path,
    progress: Progress,
) -> Anew:
    """Books deliveries as one night's.

    Raises:
        InputError: the deliveries or the terms cannot be used.
    """
    scratch.mkdir()
    programme, terms = at_once(other)
    files = {"programme.toml": programme.text}
    if other.services is not None:
        files["services.toml"] = other.services.text
    for name, text in files.items():
        (scratch / name).write_text(text, encoding="utf-8")
    book_a_night(
        scratch / "book",
        booked_on=dt.date(2000, 1, 1),
        transactions=transactions,
        enrollments=enrollments,
        services=None if other.services is None else scratch / "services.toml",
        programme=scratch / "programme.toml",
        terms_as_of=other.as_of,
        max_quarantined=max_quarantined,
        progress=progress,
    )
    return Anew(open_book(scratch / "book"), terms)


def at_once(other: OtherTerms) -> tuple[Programme, Mapping[str, object]]:
    """The programme and the terms of deliveries that no book has.

    Raises:
        InputError: the terms cannot be used.
    """
    kept = load_programme(DEFAULT_PROGRAMME)
    programme = other.programme_of(kept)
    return programme, described(programme, other.terms_of(kept, None))


def book_from_deliveries(
    opened: OpenedBook,
    delivered: Mapping[str, Sequence[Delivered]],
    other: OtherTerms,
    scratch: Path,
    progress: Progress,
) -> Anew:
    """Books a book's runs again from the very files that were delivered.

    Raises:
        InputError: a run's delivery is not among those given.
    """
    known = known_by_digest(delivered)
    runs = [KeptRun(number, record, frozenset()) for number, record in enumerate(opened.records, 1)]
    for run in runs:
        for what in missing_deliveries(run, known):
            raise InputError(
                f"run {run.id}: {what}",
                hint="give all nights' deliveries, or none: then the book's own tables are used",
            )
    replay = _Replay(opened, other, scratch, progress)
    for run in runs:
        links = linked_deliveries(run, known, scratch / f"deliveries-{run.id}")
        by_role: dict[str, list[DeliveredAs]] = {
            "transactions": [],
            "enrollments": [],
            "events": [],
        }
        for (link, _, role), one in zip(links, run.record.inputs, strict=True):
            by_role[role].append(as_it_was_read(opened.book, run, link, one))
        replay.book_run(run.number, **by_role, services=replay.services(run.number))
    return replay.booked()


def book_from_tables(
    opened: OpenedBook, other: OtherTerms, scratch: Path, progress: Progress
) -> tuple[Anew, tuple[Unknown, ...]]:
    """Books a book's runs again from its own ledger and tables.

    The tables of format 2 keep whatever was delivered and can be read. Those of format 1 lack
    declined rows' method and original: such rows get values that no row has, so that the engine
    shows for which rows it would have mattered.
    """
    replay = _Replay(opened, other, scratch, progress)
    same = all(_decides_the_same(opened, number, other) for number in range(1, opened.runs + 1))
    if all(record.format > 1 for record in opened.records):
        for number in range(1, opened.runs + 1):
            _book_kept(replay, number, scratch)
        return replay.booked(), ()
    again = {} if same else _delivered_again(opened)
    for number in range(1, opened.runs + 1):
        ledger = [file.path for file in opened.ledger_files if file.run == number]
        services, afresh = replay.services(number), []
        if not same:
            services = _with_unknown_method(services, scratch / "extended.toml")
            afresh = [scratch / f"afresh-{number:06}.parquet"]
            with book_readable(opened.book):
                _afresh(opened, number, other, again.get(number)).sink_parquet(afresh[0])
        accepted = opened.book.run_folder(number) / RunTable.ACCEPTED.file_name
        try:
            replay.book_run(number, [*ledger, *afresh], [accepted], services)
        except InputError as error:
            # It read nothing but the book's own files, and terms that were tried before.
            raise BookError(
                f"{opened.book.path}: run {run_id(number)} cannot be read again: {error.message}",
                hint="find out with mynapoint verify, and restore the book from a copy",
            ) from error
        for path in afresh:
            path.unlink()
    anew = replay.booked()
    return anew, () if same else unknown_rows(opened, anew.opened, other)


def _book_kept(replay: _Replay, number: int, scratch: Path) -> None:
    """Books a run again from all that its tables keep of what was delivered."""
    opened = replay.opened
    paths = {}
    with book_readable(opened.book):
        for role, rows in _kept_rows(opened, number).items():
            paths[role] = scratch / f"{role}-{number:06}.parquet"
            rows.sink_parquet(paths[role])
    try:
        replay.book_run(
            number,
            [paths["transactions"]],
            [paths["enrollments"]],
            replay.services(number),
            [paths["events"]],
        )
    except InputError as error:
        raise BookError(
            f"{opened.book.path}: run {run_id(number)} cannot be read again: {error.message}",
            hint="find out with mynapoint verify, and restore the book from a copy",
        ) from error
    for path in paths.values():
        path.unlink()


def _kept_rows(opened: OpenedBook, number: int) -> dict[str, pl.LazyFrame]:
    """What a run's tables keep of its deliveries, by role, in canonical columns."""

    def kept(table: RunTable) -> pl.LazyFrame:
        path = opened.book.run_folder(number) / table.file_name
        if path.exists():
            return scan_parquet(path)
        return pl.LazyFrame(schema=polars_schema(table.record))

    ledger = [file.path for file in opened.ledger_files if file.run == number]
    booked = [scan_parquet(path).filter(pl.col("kind").is_in(KINDS)) for path in ledger]
    declined = kept(RunTable.DECLINED).filter(pl.col("reason") != DUPLICATE)
    rejected = kept(RunTable.REJECTED).with_columns(
        person_id=pl.coalesce("delivered_person_id", "person_id")
    )
    enrollments = [kept(RunTable.ACCEPTED), rejected, kept(RunTable.WAITING)]
    events = [kept(RunTable.ACCEPTED_EVENTS), kept(RunTable.REJECTED_EVENTS)]
    return {
        "transactions": pl.concat(rows.select(_CANONICAL) for rows in [*booked, declined]),
        "enrollments": pl.concat(rows.select(ENROLLMENT_COLUMNS) for rows in enrollments).unique(),
        "events": pl.concat(rows.select(EVENT_COLUMNS) for rows in events).unique(),
    }


def _decides_the_same(opened: OpenedBook, number: int, other: OtherTerms) -> bool:
    """Whether each row of a run is booked or declined as it was: rate and cap do not matter."""
    mine = other.terms_of(opened.programme(number), announced_on(opened, number))
    then = opened.programme(number).terms_as_of(announced_on(opened, number))
    services = other.services or opened.services(number)
    days = ("window_first", "window_last", "applications_last", "card_applications_last")
    return (
        all(getattr(mine, day) == getattr(then, day) for day in days)
        and services.services == opened.services(number).services
    )


def _afresh(
    opened: OpenedBook, number: int, other: OtherTerms, again: pl.DataFrame | None
) -> pl.LazyFrame:
    """The declined rows of a run that other terms might book."""
    then = opened.services(number).by_id
    now = (other.services or opened.services(number)).by_id
    unchanged = [one for one in then if then[one] == now.get(one)]
    settled = pl.col("reason").is_in([DUPLICATE, *_NEVER_OTHERWISE]) | (
        (pl.col("reason") == "excluded_method") & pl.col("service_id").is_in(unchanged)
    )
    refund = pl.col("kind") == "refund"
    rows = (
        scan_parquet(opened.book.run_folder(number) / RunTable.DECLINED.file_name)
        .filter(~settled)
        .with_columns(
            original_transaction_id=pl.when(refund).then(pl.lit(UNKNOWN_ORIGINAL)),
            method=pl.lit(UNKNOWN_METHOD),
        )
        .select(_CANONICAL)
    )
    if again is None:
        return rows
    return pl.concat([rows, again.lazy().select(_CANONICAL)])


def _delivered_again(opened: OpenedBook) -> dict[int, pl.DataFrame]:
    """By run, the rows that an earlier run had booked already, as the ledger has them."""
    files = opened.ledger_files
    if not files:
        return {}
    with book_readable(opened.book):
        duplicates = (
            opened.table(RunTable.DECLINED)
            .filter(pl.col("reason") == DUPLICATE)
            .select(*_KEY, delivered_in="run_id")
            .unique()
            .collect(engine="streaming")
        )
        if duplicates.is_empty():
            return {}
        rows = (
            opened.ledger()
            .select("run_id", *_CANONICAL)
            .join(duplicates.lazy(), on=_KEY)
            .filter(pl.col("run_id") < pl.col("delivered_in"))
            .collect(engine="streaming")
        )
    return {int(str(run)): part for (run,), part in rows.group_by("delivered_in")}


def _with_unknown_method(services: Path, to: Path) -> Path:
    """The services, each that excludes methods excluding the unknown one, too."""
    import tomli_w

    told: dict[str, Any] = tomllib.loads(services.read_text(encoding="utf-8-sig"))
    for service in told["services"]:
        if service.get("excluded_methods"):
            service["excluded_methods"] = [*service["excluded_methods"], UNKNOWN_METHOD]
    to.write_text(tomli_w.dumps(told), encoding="utf-8")
    return to
