"""All runs decided again from their deliveries into a book of their own, which is then compared.

A run is decided again by the services, the programme and the terms that it kept, after the runs
before it, from the very files that its record names: they are found by their sha256, whatever
their names are now.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa

from engine.errors import MynapointError
from engine.io.book.folder import Book
from engine.io.book.format import (
    CORRECTIONS_FILE,
    LEDGER_FOLDER,
    PROGRAMME_FILE,
    SERVICES_FILE,
    RunTable,
    layout_file,
)
from engine.io.book.run_record import Input, RunRecord, UsedLayout
from engine.io.delivered.deliveries import (
    CANONICAL,
    ENDINGS,
    Delivered,
    DeliveredAs,
)
from engine.io.durable import sha256_of
from engine.io.parquet import scan_parquet
from engine.io.run.nightly import run as book_a_night
from engine.layouts.parameters import DIGEST_PREFIX, digest_of
from engine.records import LedgerEntry, RoleName, arrow_schema
from pipelines.desk.database import Database
from pipelines.verify.findings import (
    MOST_SHOWN,
    NEVER_TOO_MUCH,
    NO_CHANGED_BYTE,
    REMARK,
    SAME_LEDGER,
    Finding,
    Findings,
    Severity,
)
from pipelines.verify.kept_runs import KeptRun, KeptRuns
from pipelines.verify.records import used_layouts

_KEY: Final = ("service_id", "transaction_id")
_ENTRY_KEY: Final = (*_KEY, "kind")
_UNTOLD: Final = frozenset({"person_id", "account_id", "enrolled_account_id"})

Deliveries = Mapping[str, Sequence[Delivered]]


def check_origin(
    book: Book,
    kept: KeptRuns,
    delivered: Deliveries,
    scratch: Path,
    findings: Findings,
    *,
    also_unbooked: bool,
) -> tuple[bool, int]:
    """Decides every run again; says whether all could be, and how many deliveries no run booked.

    Args:
        book: the book.
        kept: its runs.
        delivered: all nights' deliveries.
        scratch: an empty folder.
        findings: takes what is found.
        also_unbooked: whether more deliveries are given than have been booked.
    """
    given = _by_digest(delivered)
    known = {key: files[-1] for key, files in given.items()}
    used: set[tuple[str, str]] = set()
    complete = True
    for run in kept.runs:
        if run is not None:
            used |= {(delivery.role, delivery.sha256) for delivery in run.record.inputs}
            for what in missing_deliveries(run, known):
                complete = False
                findings.add(Finding("delivery", NEVER_TOO_MUCH, run.where, what))
    unused = len(known.keys() - used)
    # What a run has booked whose record cannot be read is not known.
    unbooked = {} if None in kept.runs else {key: known[key] for key in known.keys() - used}
    for about_delivery in (*_unbooked(unbooked, also_unbooked), *_renamed_deliveries(kept, given)):
        findings.add(about_delivery)
    anew = Book(scratch / "origin")
    for number, run in enumerate(kept.runs, 1):
        if run is not None and run.record.format == 1 and run.sound.issuperset(run.ledger_files):
            _take_over(book, anew, run)
            complete = False
            continue
        if run is None or not run.sound.issuperset(_booked_by(run)):
            _stop(findings, number, "what it was booked by is damaged or missing")
            return False, unused
        if any(missing_deliveries(run, known)):
            _stop(findings, number, "its deliveries were not all given")
            return False, unused
        links = linked_deliveries(run, known, scratch / f"deliveries-{run.id}")
        try:
            record = decide_again(book, anew, run, links)
        except MynapointError as error:
            _stop(findings, number, error.message)
            return False, unused
        names = {str(link): name for link, name, _ in links}
        for finding in differences_of_run(book, anew, run, record, names, scratch):
            findings.add(*finding)
    return complete, unused


def _unbooked(
    unbooked: Mapping[tuple[str, str], Delivered],
    allowed: bool,  # noqa: FBT001 - the caller's option
) -> Iterator[Finding]:
    """Deliveries of no run: where all were to be booked, a run was left out or cut off."""
    severity: Severity = REMARK if allowed else "finding"
    for (role, _), delivery in sorted(unbooked.items(), key=lambda item: item[1].path):
        what = f"no run has booked this delivery of {role}"
        yield Finding("unbooked", NEVER_TOO_MUCH, str(delivery.path), what, severity=severity)


def _renamed_deliveries(
    kept: KeptRuns, given: Mapping[tuple[str, str], Sequence[Delivered]]
) -> Iterator[Finding]:
    """Deliveries that have other names than their runs recorded; their bytes are the same."""
    for run in (run for run in kept.runs if run is not None):
        for delivery in run.record.inputs:
            names = {file.path.name for file in given.get((delivery.role, delivery.sha256), ())}
            if names and Path(delivery.name).name not in names:
                what = f"its delivery of {delivery.role} {delivery.name} was given as {min(names)}"
                yield Finding("renamed", NO_CHANGED_BYTE, run.where, what, severity=REMARK)


def _take_over(book: Book, anew: Book, run: KeptRun) -> None:
    """Links a run unchanged into the other book: how format 1 decided is no longer known."""
    anew.log.mkdir(parents=True, exist_ok=True)
    anew.runs.mkdir(exist_ok=True)
    anew.run_folder(run.number).symlink_to(book.run_folder(run.number).resolve())
    for name in run.ledger_files:
        (anew.path / name).symlink_to((book.path / name).resolve())
    shutil.copy2(book.commit_file(run.number), anew.commit_file(run.number))


def _booked_by(run: KeptRun) -> set[str]:
    """The files that say how a run was decided."""
    layouts = {layout_file(layout.id) for layout in used_layouts(run.record)}
    return {run.file(name) for name in {PROGRAMME_FILE, SERVICES_FILE} | layouts}


def _stop(findings: Findings, number: int, why: str) -> None:
    where = f"runs/{number:06}/record.json"
    what = f"this run and those after it cannot be decided again: {why}"
    findings.add(Finding("not_decided_again", NO_CHANGED_BYTE, where, what))


def known_by_digest(delivered: Deliveries) -> dict[tuple[str, str], Delivered]:
    """The deliveries by role and sha256, whatever they are called now."""
    return {key: files[-1] for key, files in _by_digest(delivered).items()}


def _by_digest(delivered: Deliveries) -> dict[tuple[str, str], list[Delivered]]:
    given: dict[tuple[str, str], list[Delivered]] = {}
    for role, files in delivered.items():
        for file in files:
            given.setdefault((role, sha256_of(file.path)), []).append(file)
    return given


def missing_deliveries(run: KeptRun, known: Mapping[tuple[str, str], Delivered]) -> Iterator[str]:
    """A message for each delivery of the run that is missing."""
    for delivery in run.record.inputs:
        if (delivery.role, delivery.sha256) not in known:
            yield f"its delivery of {delivery.role} {delivery.name} is not among those given"


def linked_deliveries(
    run: KeptRun, known: Mapping[tuple[str, str], Delivered], folder: Path
) -> list[tuple[Path, str, RoleName]]:
    """The run's deliveries under names of their own: link, recorded name, role."""
    folder.mkdir()
    links = []
    for number, delivery in enumerate(run.record.inputs):
        ending = next((e for e in ENDINGS if delivery.name.lower().endswith(e)), "")
        link = folder / f"{number:06}{ending}"
        link.symlink_to(known[delivery.role, delivery.sha256].path.resolve())
        links.append((link, delivery.name, delivery.role))
    return links


def decide_again(
    book: Book, anew: Book, run: KeptRun, links: Sequence[tuple[Path, str, str]]
) -> RunRecord:
    """Books a run once more into another book, by what it kept; ``links`` are its deliveries."""
    delivered = [
        (as_it_was_read(book, run, link, delivery), role)
        for (link, _, role), delivery in zip(links, run.record.inputs, strict=True)
    ]
    return book_a_night(
        anew.path,
        booked_on=run.record.booked_on,
        transactions=[delivery for delivery, role in delivered if role == "transactions"],
        enrollments=[delivery for delivery, role in delivered if role == "enrollments"],
        events=[delivery for delivery, role in delivered if role == "events"],
        services=book.path / run.file(SERVICES_FILE),
        programme=book.path / run.file(PROGRAMME_FILE),
        terms_as_of=run.record.programme.terms.announced_on,
        # It was booked, so all this was within bounds or allowed.
        max_quarantined=1.0,
        allow_backdating=True,
        allow_postdating=True,
    ).record


def as_it_was_read(book: Book, run: KeptRun, link: Path, delivery: Input) -> DeliveredAs:
    """A delivery of a run, with how the run read it."""
    if delivery.layout is None:
        return DeliveredAs(link, CANONICAL)
    layout = book.path / run.file(layout_file(delivery.layout.id))
    return DeliveredAs(link, layout, _parameters(book, run, delivery.layout))


def _parameters(book: Book, run: KeptRun, used: UsedLayout) -> dict[str, str]:
    """What was set for a file; IDs, of which the record has digests, are found in the run's tables.

    An ID that is in no table belonged to no readable row, so any other ID does as well.
    """
    digests = {value for value in used.parameters.values() if value.startswith(DIGEST_PREFIX)}
    found: dict[str, str] = {}
    if digests:
        tables = [run.file(table.file_name) for table in run.tables]
        for name in (*(output.name for output in run.record.ledger_files), *tables):
            table = scan_parquet(book.path / name)
            for column in {"person_id", "account_id"} & {*table.collect_schema().names()}:
                values = table.select(pl.col(column).unique()).collect().to_series()
                found |= {digest_of(value): value for value in values.drop_nulls()}
    return {
        name: found.get(value, value.removeprefix(DIGEST_PREFIX)) if value in digests else value
        for name, value in used.parameters.items()
    }


def differences_of_run(
    book: Book,
    anew: Book,
    run: KeptRun,
    record: RunRecord,
    names: Mapping[str, str],
    scratch: Path,
) -> Iterator[tuple[Finding, int]]:
    """How a run's files and record differ from those of the run decided again."""
    said, now = run.record.to_json(), record.to_json()
    for part in ("counts", "yen", "points"):
        for name, kept_value, value in _unlike(part, said[part], now[part]):
            what = f"decided again from its deliveries: {name}: record {kept_value}, now {value}"
            yield Finding("other_record", SAME_LEDGER, run.where, what), 1
    again = {output.name: output.sha256 for output in record.outputs}
    kept = {output.name: output.sha256 for output in run.record.outputs}
    for where, what in _other_files(run, kept, again):
        yield Finding("other_record", SAME_LEDGER, where, what), 1
    tables: list[tuple[list[str], list[str], Any]] = [
        (run.ledger_files, [output.name for output in record.ledger_files], LedgerEntry)
    ]
    for table in run.tables:
        name = run.file(table.file_name)
        if name in again:
            tables.append(([name], [name], table.record))
    for number, (kept_files, again_files, declaration) in enumerate(tables):
        if not run.sound.issuperset(kept_files):
            continue
        if [kept[name] for name in kept_files] == [again[name] for name in again_files]:
            continue
        with Database(scratch / f"compare-{run.id}-{number}") as database:
            kept_paths = [book.path / name for name in sorted(kept_files)]
            again_paths = [anew.path / name for name in sorted(again_files)]
            if declaration is RunTable.QUARANTINE.record:
                again_paths = [_renamed(file, names, scratch) for file in again_paths]
            schema = arrow_schema(declaration)
            database.parquet("kept", kept_paths, schema)
            database.parquet("again", again_paths, schema)
            if declaration is LedgerEntry:
                yield from _other_entries(run, sorted(kept_files), schema.names, database)
            else:
                yield from _other_rows(kept_files[0], schema.names, database)


def _unlike(name: str, kept: object, now: object) -> Iterator[tuple[str, str, str]]:
    """Where figures differ: their name, and both values."""
    if isinstance(kept, dict) and isinstance(now, dict):
        for key in sorted(kept.keys() | now.keys()):
            yield from _unlike(f"{name}.{key}", kept.get(key, 0), now.get(key, 0))
    elif kept != now:
        yield name, f"{kept:,}", f"{now:,}"


def _other_files(
    run: KeptRun, kept: Mapping[str, str], again: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Where the run left files that it does not leave now, or the other way round."""
    for name in sorted(kept.keys() ^ again.keys()):
        if not name.startswith(LEDGER_FOLDER):
            yield run.where, f"decided again, the run leaves {'no ' if name in kept else ''}{name}"
    corrections = run.file(CORRECTIONS_FILE)
    if corrections in kept.keys() & again.keys() and kept[corrections] != again[corrections]:
        yield corrections, "decided again, the run's events change other things"


def _renamed(file: Path, names: Mapping[str, str], scratch: Path) -> Path:
    """The quarantine, with the deliveries' names replaced by those in the kept quarantine."""
    renamed = scratch / RunTable.QUARANTINE.file_name
    file_names = pl.col("file").replace(dict(names))
    scan_parquet(file).with_columns(file_names).sink_parquet(renamed)
    return renamed


def _other_entries(
    run: KeptRun, files: Sequence[str], columns: Sequence[str], database: Database
) -> Iterator[tuple[Finding, int]]:
    """Entries are matched by their key and kind; their other columns are compared."""
    compared = [name for name in columns if name not in _ENTRY_KEY]
    changed = ", ".join(
        f"CASE WHEN k.{name} IS DISTINCT FROM a.{name} THEN {_both_values(name)} END"
        for name in compared
    )
    same = " AND ".join(f"k.{name} IS NOT DISTINCT FROM a.{name}" for name in compared)
    key = ", ".join(_ENTRY_KEY)
    # A run may recount a transaction more than once.
    numbered = f"SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY file, row) AS nth FROM"
    sql = (
        "SELECT count(*) OVER (), k.file, k.row, a.row, service_id, transaction_id, "  # noqa: S608
        "coalesce(k.person_id, a.person_id), coalesce(k.account_id, a.account_id), "
        f"concat_ws('; ', {changed}) "
        f"FROM ({numbered} kept) AS k FULL JOIN ({numbered} again) AS a USING ({key}, nth) "
        f"WHERE k.row IS NULL OR a.row IS NULL OR NOT ({same}) "
        f"ORDER BY k.file, k.row, a.file, a.row LIMIT {MOST_SHOWN}"
    )
    shown = database.rows(sql)
    for place, (total, file, row, again, service, transaction, *ids, columns_of) in enumerate(
        shown
    ):
        if row is None:
            what = "decided again, the run books this transaction; the ledger does not have it"
        elif again is None:
            what = "decided again, the run does not book this transaction"
        else:
            what = f"decided again, the entry is another: {columns_of}"
        where = run.where if file is None else files[file]
        found = Finding("other_entry", SAME_LEDGER, where, what, row, service, transaction, *ids)
        yield found, total - len(shown) + 1 if place == len(shown) - 1 else 1


def _both_values(column: str) -> str:
    """In SQL, a column and what stands in it on either side; IDs of people and accounts are not
    told.
    """
    if column in _UNTOLD:
        return f"'{column}'"
    is_number = arrow_schema(LedgerEntry).field(column).type == pa.int64()
    form = "format('{{:,}}', {side}.{column})" if is_number else "{side}.{column}::VARCHAR"
    ledger, deliveries = (
        f"coalesce({form.format(side=side, column=column)}, 'none')" for side in ("k", "a")
    )
    return f"'{column}: ledger ' || {ledger} || ', deliveries ' || {deliveries}"


def _other_rows(
    name: str, columns: Sequence[str], database: Database
) -> Iterator[tuple[Finding, int]]:
    """Other tables have no order and may hold a row twice, so equal rows are counted."""
    listed = ", ".join(columns)
    key = ", ".join(column if column in columns else "NULL" for column in (*_KEY, "person_id"))
    sql = (
        f"SELECT count(*) OVER (), min(row), sum(k), sum(a), {key} FROM ("  # noqa: S608
        f"SELECT {listed}, row, 1 AS k, 0 AS a FROM kept UNION ALL "
        f"SELECT {listed}, NULL, 0, 1 FROM again) "
        f"GROUP BY {listed} HAVING sum(k) <> sum(a) ORDER BY min(row) LIMIT {MOST_SHOWN}"
    )
    shown = database.rows(sql)
    for place, (total, row, kept, again, *ids) in enumerate(shown):
        what = f"the row is there {kept} times, decided again {again} times"
        found = Finding("other_row", SAME_LEDGER, name, what, row, *ids)
        yield found, total - len(shown) + 1 if place == len(shown) - 1 else 1
