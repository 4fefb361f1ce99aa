"""What was found out of a night's files, on the terminal and for machines."""

from dataclasses import asdict
from typing import Any

from pipelines.check.checked import CheckedNight
from pipelines.desk.reasons import reason
from pipelines.shown.summary import record_value
from pipelines.shown.terminal import output, plain, table
from pipelines.shown.texts import Texts


def check_value(night: CheckedNight) -> dict[str, Any]:
    """What was found out, for machines."""
    return {
        "unusable": [asdict(file) for file in night.unusable],
        "files": [asdict(file) for file in night.files],
        "record": None if night.result is None else record_value(night.result),
    }


def print_check(night: CheckedNight, texts: Texts) -> None:
    """Prints what was found out."""
    console = output()
    for unusable in night.unusable:
        console.print(plain(texts("unusable", why=unusable.why)), style="bold")
        console.print(plain(texts("hint", hint=unusable.hint)))
    if night.result is None:
        console.print(texts("nothing_usable"))
        return
    columns = [
        *((texts(name), False) for name in ("role", "file")),
        *((texts(name), True) for name in ("rows", "quarantined")),
        (texts("faults"), False),
    ]
    rows = [
        (
            *(texts(file.role), file.name, file.rows, file.quarantined),
            ", ".join(f"{fault} {number:,}" for fault, number in file.faults.items()),
        )
        for file in night.files
    ]
    console.print(table(columns, rows))
    record = night.result.record
    if night.result.already_booked:
        console.print(texts("already_booked", run=record.run_id))
        return
    counts = record.counts
    console.print()
    console.print(
        texts("would_book", rows=counts.booked, yen=record.yen.booked, points=record.points.net)
    )
    declined = [
        (texts(role), code, reason(code, texts.lang).words, number)
        for role, reasons in (
            ("transactions", counts.declined),
            ("enrollments", counts.enrollments.rejected),
            ("events", counts.events.rejected),
        )
        for code, number in reasons.items()
    ]
    if declined:
        names = [(texts(name), False) for name in ("role", "reason", "meaning")]
        console.print(table([*names, (texts("rows"), True)], declined))
