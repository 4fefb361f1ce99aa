"""Findings as people and machines read them."""

import sys

from pipelines.shown import terminal
from pipelines.verify import Verified
from pipelines.verify.findings import PROMISES


def print_findings(verified: Verified, *, show_ids: bool) -> None:
    """Prints the findings, one a line, and last what was checked and how many there are."""
    for finding in verified.findings:
        sys.stdout.write(f"{finding.line(show_ids=show_ids)}\n")
    for kind, total in verified.findings.untold().items():
        sys.stderr.write(f"of kind {kind} there are {total} findings; the first are shown\n")
    if verified.unused:
        sys.stderr.write(f"note: {verified.unused} of the deliveries given are in no run\n")
    if verified.unproven:
        sys.stderr.write(
            f"note: the first {verified.unproven} runs were booked in format 1: how that decided "
            "is no longer known, and deliveries do not prove it\n"
        )
    found = sum(verified.findings.totals.values())
    sys.stdout.write(
        f"検証 verified: {verified.runs:,} runs, {verified.entries:,} entries "
        f"({', '.join(verified.checked)}): {found:,} findings\n"
    )


def print_json(verified: Verified, *, show_ids: bool) -> None:
    """Prints the findings for machines."""
    value = {
        "book": str(verified.book),
        "runs": verified.runs,
        "entries": verified.entries,
        "checked": list(verified.checked),
        "unused_deliveries": verified.unused,
        "unproven_runs": verified.unproven,
        "totals": dict(verified.findings.totals),
        "findings": [finding.value(show_ids=show_ids) for finding in verified.findings],
        "promises": {str(number): text for number, text in PROMISES.items()},
    }
    terminal.print_json(value)
