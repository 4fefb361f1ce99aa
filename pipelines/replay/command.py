"""The command's body: book once more, compare, print; exit 1 when the two differ."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.replay.replayed import replay
from pipelines.shown.errors import output_may_fail
from pipelines.shown.terminal import output, plain, print_json
from pipelines.shown.texts import Lang, Texts
from pipelines.verify.output import finding_line


def replay_book(
    book: Path, new: Path, *, deliveries: Sequence[Path], lang: Lang, as_json: bool = False
) -> int:
    """Books every run of a book into a new one and compares the two.

    Raises:
        InputError: a delivery is missing, or the folder cannot be used.
        BookError: the book is damaged.
    """
    made = replay(book, new, deliveries)
    found = list(made.findings)
    with output_may_fail():
        if as_json:
            print_json(
                {
                    "book": str(made.book),
                    "new": str(made.new),
                    "runs": made.runs,
                    "payout_runs": made.payout_runs,
                    "differences": [finding.value(show_ids=False) for finding in found],
                    "totals": dict(made.findings.totals),
                }
            )
        else:
            texts, console = Texts("replay", lang), output()
            for finding in found:
                console.print(finding_line(finding, Texts("verify", lang), show_ids=False))
            console.print(plain(texts("booked", runs=made.runs, new=made.new)))
            if made.payout_runs:
                console.print(texts("payouts", payout_runs=made.payout_runs))
            number = sum(made.findings.totals.values())
            console.print(texts("differ", number=number) if number else texts("equal"))
    return 1 if made.findings else 0
