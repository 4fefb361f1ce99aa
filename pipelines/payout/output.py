"""A payout run on the terminal."""

from collections.abc import Sequence
from pathlib import Path

from engine.io.payout.payout_run import PayoutResult
from pipelines.shown.terminal import output, plain, print_json, table
from pipelines.shown.texts import Texts


def print_json_record(result: PayoutResult) -> None:
    """Prints the record for machines."""
    print_json(result.record.to_json() | {"booked": result.booked})


def print_copied(files: Sequence[Path], *, as_json: bool) -> None:
    """Prints where the files are."""
    if as_json:
        print_json({"files": [str(file) for file in files]})
        return
    for file in files:
        output().print(plain(file))


def print_result(result: PayoutResult, texts: Texts) -> None:
    """Prints a payout run at a glance."""
    record, console = result.record, output()
    number = record.payout_run_id
    if not result.booked:
        console.print(texts("dry_run"))
    counts, points = record.counts, record.points
    if record.due_by is not None:
        console.print(plain(texts("title_instructed", number=number, due_by=record.due_by)))
        console.print(
            table(
                [("", False), (texts("lines"), True), (texts("points"), True)],
                [
                    (texts(direction), counts[direction], points[direction])
                    for direction in ("pay", "take_back")
                ],
            )
        )
    else:
        console.print(plain(texts("title_answered", number=number)))
        names = ("read", "accepted", "unchanged", "quarantined", "others_done")
        console.print(
            table(
                [("", False), (texts("answers"), True)],
                [(texts(f"count_{name}"), counts[name]) for name in names],
            )
        )
        console.print(
            table(
                [("", False), (texts("points"), True)],
                [(texts(name), points[name]) for name in ("granted", "taken_back", "refused")],
            )
        )
    if result.copied_to is not None:
        console.print(plain(texts("copied", folder=result.copied_to)))
    if result.booked:
        folder = result.book / "payout_runs" / number
        console.print(plain(texts("kept", folder=folder)))
