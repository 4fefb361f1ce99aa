"""Where a log ends: whether runs were cut off it or added to it, or one is at work."""

from engine.io.book.folder import Book, run_id
from pipelines.verify.findings import NO_CHANGED_BYTE, WHOLE_RUNS, Finding, Findings


def is_changing(book: Book, committed: int) -> bool:
    """Whether a run is at work, or was since the log was looked at."""
    return book.is_being_written() or book.commit_file(committed + 1).exists()


def check_acknowledged(
    acknowledged: int | None, committed: int, findings: Findings, where: str
) -> None:
    """Compares a log with the number of the last run that was reported as booked."""
    if acknowledged is None:
        what = "what says which run was the last is missing: later ones may have been cut off"
        findings.add(Finding("cut_off", NO_CHANGED_BYTE, where, what))
    elif acknowledged > committed:
        what = (
            f"the log ends with run {run_id(committed)}, run {run_id(acknowledged)} was booked: "
            "the runs after it were cut off, or the book is an older copy"
        )
        findings.add(Finding("cut_off", WHOLE_RUNS, where, what))
    elif acknowledged < committed - 1:
        # The last one's commit may have been made and not yet noted.
        what = f"it says that run {run_id(acknowledged)} is the last: runs were added behind it"
        findings.add(Finding("cut_off", NO_CHANGED_BYTE, where, what))
