"""A nation's payout: what it costs an account, and whether its memory is bounded.

    python benchmarks/payouts.py BOOK --accounts 300000 --entries 6

Deals a book of so many accounts with so many entries each (`big_book.py`; a book that is there is
used as it is), and then has the command line instruct all that is due, take in the answers (one in
fifty is refused, the rest are done), instruct what was refused, say what is due, and verify, each a
process of its own. Processor time and peak memory are the process's; on a machine that is shared
the clock says little.
"""

import argparse
import csv
import shutil
import subprocess
import sys
from pathlib import Path

from measuring import Run, last_line, measure

HERE = Path(__file__).parent
FIRST_DUE, NEXT_DUE = "2021-12-31", "2022-01-31"
REFUSED_EVERY = 50


def deal(book: Path, accounts: int, entries: int) -> None:
    """Makes a book of accounts with entries in as many runs."""
    sizes = ("--people", accounts, "--entries", accounts, "--runs", entries, "--declined", 0)
    command = [sys.executable, HERE / "big_book.py", book, *sizes]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)


def write_answers(files: Path, answers: Path) -> None:
    """Answers to all that was instructed, line by line."""
    with answers.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("payout_id", "outcome", "answered_on", "code"))
        number = 0
        for path in sorted(files.glob("payouts-*.csv")):
            with path.open(encoding="utf-8", newline="") as lines:
                for line in csv.DictReader(lines):
                    refused = number % REFUSED_EVERY == 0
                    outcome, code = ("refused", "busy") if refused else ("done", "")
                    writer.writerow((line["payout_id"], outcome, FIRST_DUE, code))
                    number += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("book", type=Path)
    parser.add_argument("--accounts", type=int, default=300_000)
    parser.add_argument("--entries", type=int, default=6, help="an account")
    parser.add_argument("--no-verify", action="store_true", help="leave verify out")
    options = parser.parse_args()
    book: Path = options.book
    scratch = book.with_name(f"{book.name}-payouts")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    if not book.exists():
        deal(book, options.accounts, options.entries)
    if (book / "payouts").exists():
        sys.exit(f"{book}: it has payouts already; name another book")
    answers = scratch / "answers.csv"
    commands = {
        "payout --due-by, all accounts": (
            *("payout", book, "--due-by", FIRST_DUE, "--out", scratch / "first"),
        ),
        "payout --answers": ("payout", book, "--answers", answers),
        "payout --due-by, what was refused": (
            *("payout", book, "--due-by", NEXT_DUE, "--out", scratch / "next"),
        ),
        "due": ("due", book, "--on", NEXT_DUE),
        "verify": ("verify", book),
    }
    if options.no_verify:
        del commands["verify"]
    print(f"{options.accounts:,} accounts, {options.entries} entries each\n")
    print("| command | CPU, s | CPU, µs an account | wall, s | peak memory, GB |")
    print("|---|---|---|---|---|")
    for name, command in commands.items():
        if name == "payout --answers":
            write_answers(scratch / "first", answers)
        words = [sys.executable, "-m", "mynapoint", *map(str, command)]
        took: Run = measure(words, scratch / "printed")
        if took.exit_code:
            sys.exit(f"{name}: exit {took.exit_code}: {last_line(took.stderr)}")
        print(
            f"| `{name}` | {took.cpu_s:.1f} | {took.cpu_s / options.accounts * 1e6:.1f} "
            f"| {took.wall_s:.0f} | {took.peak_bytes / 1e9:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
