"""A run's record: can all of it be understood, and does it contradict itself?"""

import json
from collections.abc import Iterator

from engine.io.book.folder import Book, run_id
from engine.io.book.format import PROGRAMME_FILE, SERVICES_FILE, check_known, layout_file
from engine.io.book.payouts import record_before
from engine.io.book.run_record import RunRecord, UsedLayout
from engine.io.book.typed_json import MalformedError, no_key_twice
from engine.io.durable import sha256_of
from pipelines.verify.findings import NO_CHANGED_BYTE, WHOLE_RUNS, Finding, Findings
from pipelines.verify.kept_runs import KeptRun
from pipelines.verify.record_shape import RECORD, RECORD_OF_FORMAT_1
from pipelines.verify.shape import differences


def read_record(book: Book, number: int, findings: Findings) -> RunRecord | None:
    """A run's record, when all of it can be understood."""
    name = f"runs/{run_id(number)}/record.json"

    def found(what: str) -> None:
        findings.add(Finding("record", NO_CHANGED_BYTE, name, what))

    try:
        text = (book.path / name).read_text(encoding="utf-8")
        value = json.loads(text, object_pairs_hook=no_key_twice)
    except MalformedError as error:
        found(f"readers disagree about the record: {error}")
        return None
    except FileNotFoundError:
        findings.add(Finding("missing", NO_CHANGED_BYTE, name, "the run's record is missing"))
        return None
    except (OSError, ValueError):
        found("the run's record cannot be read")
        return None
    check_known(value, book.path / name)
    is_old = isinstance(value, dict) and value.get("format", 1) == 1
    faults = list(differences(RECORD_OF_FORMAT_1 if is_old else RECORD, value))
    for fault in faults:
        found(fault)
    if faults:
        return None
    record = RunRecord.from_json(value, book.path / name)
    before_it = record_before(book, number)
    before = sha256_of(before_it) if number > 1 and before_it.exists() else None
    if record.previous_sha256 != before:
        if number == 1:
            found("the first run's record names a record before it")
        else:
            where = before_it.relative_to(book.path).as_posix()
            what = "the next record was made after another record than this one"
            findings.add(Finding("record", NO_CHANGED_BYTE, where, what))
    if record.run_id != run_id(number):
        found("this is the record of another run")
    if record.ledger_version != number - 1:
        findings.add(Finding("record", WHOLE_RUNS, name, f"ledger_version is not {number - 1}"))
    return record


def contradictions(run: KeptRun) -> Iterator[str]:
    """What a record says that its own figures and outputs contradict."""
    record = run.record
    counts, yen, enrollments = record.counts, record.yen, record.counts.enrollments
    # The engine checks the same sums; they are written out here so as not to rely on its code.
    for what, split in (("rows", counts), ("yen", yen)):
        out = split.booked + split.quarantined
        out += sum(split.declined.values()) + sum(split.skipped.values())
        if split.read + split.reconsidered != out:
            yield f"{split.read} {what} of transactions were read, {out} are accounted for"
    for what, decided in (("enrollments", enrollments), ("events", counts.events)):
        out = decided.accepted + decided.unchanged + decided.quarantined
        out += sum(decided.rejected.values()) + sum(decided.skipped.values())
        if decided.read + decided.reconsidered != out:
            yield f"{decided.read} {what} were read, {out} are accounted for"
    for role, read in (
        ("transactions", counts.read),
        ("enrollments", enrollments.read),
        ("events", counts.events.read),
    ):
        rows = sum(read.rows for read in record.inputs if read.role == role)
        if rows != read:
            yield f"the inputs have {rows} {role}, {read} were read"
    kept = {output.name: output.sha256 for output in record.outputs}
    for name, sha256 in (
        (PROGRAMME_FILE, record.programme.sha256),
        (SERVICES_FILE, record.services_sha256),
        *((layout_file(layout.id), layout.sha256) for layout in used_layouts(record)),
    ):
        if kept.get(run.file(name)) != sha256:
            yield f"it was booked by another {name} than the one that it keeps"


def used_layouts(record: RunRecord) -> list[UsedLayout]:
    """The layouts by which the run's deliveries were read, one a file that had one."""
    return [read.layout for read in record.inputs if read.layout is not None]
