"""A night that lets people in, in a book in which many rows wait, and in one in which none do.

    python benchmarks/waiting.py --waiting 200000000 --enrolled 20000 --keep DIR

Both books hold the same first night, of `--rows` rows and `--people` who enroll. To one of them
`--waiting` rows of other people are delivered besides, some eight a person, of whom nobody has
enrolled: they wait. Then both book the same nights in turn: `--rows` rows that refund and repeat
earlier ones too, and applications of `--enrolled` of those other people, made before their payments
and delivered late. Where their payments wait, they are booked; so a night costs more there for what
it finds and for what it books, and how many rows that are is told.

Ahead of the nights an empty run brings both books up to date: to make rows findable is the cost of
the night after the one that delivered them. Deliveries are made before each run and removed after
it. With `--keep` the books are kept, in a folder that must be new; else a temporary one is used.
Written to `--results`: `waiting-N-enrolled-M.md` and `.json`.
"""

import argparse
import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import machine
from contestants import mynapoint
from measuring import Run, Spread, last_line, measure
from presenting import table

if TYPE_CHECKING:
    import polars as pl

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE / "results"
FIRST_DAY: Final = date(2021, 10, 1)
ROWS_OF_A_PERSON: Final = 8
ROWS_IN_A_RUN: Final = 10_000_000
WITH, WITHOUT = "with waiting rows", "without"


class StoppedError(Exception):
    """A run could not be booked."""


# What the other people pay and when they apply is made by processes of their own: what this one
# holds would count into what it measures.


def write_payments(path: Path, start: int, end: int, waiting: int, seed: int) -> None:
    """Writes rows of the people who have not enrolled."""
    import generate

    others = generate.World(waiting, people_of(waiting), seed + 1, 0)
    ids = ("transaction_id", "account_id", "original_transaction_id")
    chunks = range(start, end, generate.CHUNK_ROWS)
    frames = (others.transactions(at, min(at + generate.CHUNK_ROWS, end)) for at in chunks)
    generate.write_parquet(path, (of_others(frame, ids) for frame in frames))


def write_applications(path: Path, start: int, end: int, waiting: int, seed: int) -> None:
    """Writes the applications of some of them."""
    import generate

    others = generate.World(waiting, people_of(waiting), seed + 1, 0)
    frame = others.enrollments(start, end)
    generate.write_parquet(path, iter([of_others(frame, ("person_id", "account_id"))]))


def of_others(frame: "pl.DataFrame", ids: Sequence[str]) -> "pl.DataFrame":
    """With IDs that nobody has who enrolled in the first night."""
    import polars as pl

    return frame.with_columns(pl.format("other-{}", pl.col(name)).alias(name) for name in ids)


def people_of(waiting: int) -> int:
    """How many people the waiting rows are of."""
    return waiting // ROWS_OF_A_PERSON


def write_others(write: Callable[..., None], *arguments: Any) -> None:
    """Has one of the two written.

    Raises:
        StoppedError: it failed.
    """
    process = multiprocessing.get_context("spawn").Process(target=write, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise StoppedError(f"{arguments[0]} could not be written")


class Nights:
    """The two books, and the nights that they book."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.options = folder, options
        self.books = {WITH: folder / "with", WITHOUT: folder / "without"}
        self.day = FIRST_DAY

    def prepare(self) -> None:
        """Books the first night in both, and in one of them what is to wait."""
        data, waiting = self.night(1), self.options.waiting
        given = ["--services", data.parent / "services.toml", "--enrollments"]
        enrollments = data / "enrollments"
        given.append(enrollments if enrollments.exists() else data / "enrollments.parquet")
        self.run(WITHOUT, *given, "--transactions", data / "transactions.parquet")
        shutil.copytree(self.books[WITHOUT], self.books[WITH])
        payments = self.folder / "payments.parquet"
        for start in range(0, waiting, ROWS_IN_A_RUN):
            end = min(start + ROWS_IN_A_RUN, waiting)
            write_others(write_payments, payments, start, end, waiting, self.options.seed)
            self.run(WITH, "--transactions", payments)
            say(f"{end:,} of {waiting:,} rows wait")
        payments.unlink()
        for book in self.books:
            self.run(book)

    def book(self, turn: int) -> dict[str, tuple[Run, dict[str, Any]]]:
        """Books a night in both: what it took, and the counts of its record."""
        transactions = self.night(turn + 1) / "transactions.parquet"
        applications, enrolled = self.folder / "applications.parquet", self.options.enrolled
        # Neither the first of the others, who pay most, nor the last.
        start = people_of(self.options.waiting) // 2 + (turn - 1) * enrolled
        numbers = (start, start + enrolled, self.options.waiting, self.options.seed)
        write_others(write_applications, applications, *numbers)
        given = ["--transactions", transactions, "--enrollments", applications]
        runs = {}
        for book in self.books:
            run = self.run(book, *given)
            runs[book] = run, json.loads(run.stdout)["counts"]
            took = f"{run.wall_s:.1f} s, processor {run.cpu_s:.1f} s, {run.peak_bytes / 1e9:.2f} GB"
            say(f"night {turn} of {self.options.nights}, {book}: {took}")
        self.day += timedelta(days=1)
        return runs

    def night(self, number: int) -> Path:
        """Makes a night of the people who enrolled in the first; its folder."""
        data, options = self.folder / "data", self.options
        nights = options.nights + 1
        shutil.rmtree(data, ignore_errors=True)
        command = [
            *(sys.executable, HERE / "generate.py", data, "--nights", nights, "--night", number),
            *("--rows", nights * options.rows, "--people", options.people, "--seed", options.seed),
        ]
        subprocess.run([str(word) for word in command], check=True, stderr=subprocess.DEVNULL)
        return data / f"night-{number:03}"

    def run(self, book: str, *given: object) -> Run:
        """Books a run.

        Raises:
            StoppedError: it could not be booked.
        """
        command = [*mynapoint(), "run", self.books[book], "--json", "--booked-on", self.day, *given]
        run = measure([str(word) for word in command], self.folder / "printed")
        if run.exit_code or run.stopped:
            raise StoppedError(run.stopped or last_line(run.stderr))
        return run


def page(
    runs: dict[str, list[Run]],
    counts: dict[str, dict[str, Any]],
    where: dict[str, Any],
    options: argparse.Namespace,
) -> str:
    """The results as Markdown."""
    spreads = {
        book: [
            Spread.of([run.wall_s for run in of_book]),
            Spread.of([run.cpu_s for run in of_book]),
            Spread.of([run.peak_bytes / 1e9 for run in of_book]),
        ]
        for book, of_book in runs.items()
    }
    lines = [
        [
            book,
            *(spread.text(2) for spread in spreads[book]),
            *(f"{counts[book][name]:,}" for name in ("read", "reconsidered", "booked")),
        ]
        for book in runs
    ]
    times = [
        f"{with_index.median / other.median:.2f} ×"
        for with_index, other in zip(spreads[WITH], spreads[WITHOUT], strict=True)
    ]
    lines.append(["with / without", *times, "", "", ""])
    head = ["the book", "time, s", "processor, s", "peak, GB", "read", "reconsidered", "booked"]
    title = (
        f"# A night of {options.rows:,} rows that lets in {options.enrolled:,} people, where "
        f"{options.waiting:,} rows wait\n"
    )
    legend = (
        f"Medians of {options.nights} nights, least and most in brackets; rows: the last night's. "
        f"{options.people:,} people had enrolled before.\n"
    )
    again = (
        "To measure again:\n\n"
        f"    python benchmarks/waiting.py --waiting {options.waiting} "
        f"--enrolled {options.enrolled} --rows {options.rows} --people {options.people} "
        f"--nights {options.nights} --seed {options.seed} --keep DIR\n"
    )
    return "\n".join([title, machine.described(where), table(head, lines), legend, again])


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--waiting", type=int, required=True, help="rows that wait")
    parser.add_argument("--enrolled", type=int, required=True, help="people let in by a night")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each night")
    parser.add_argument("--people", type=int, default=2_500_000)
    parser.add_argument("--nights", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new folder for the books")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    given = parser.parse_args(arguments)
    if given.nights * given.enrolled > people_of(given.waiting) // 2:
        parser.error("--enrolled: more than there are people who wait")
    if given.keep and given.keep.exists():
        parser.error(f"--keep: there is a {given.keep} already")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the books and books the nights; 1 when one cannot be."""
    options = parsed(arguments)
    where = machine.circumstances()
    runs: dict[str, list[Run]] = {WITH: [], WITHOUT: []}
    counts = {}
    with tempfile.TemporaryDirectory(prefix="mynapoint-waiting-") as temporary:
        nights = Nights(options.keep or Path(temporary), options)
        try:
            nights.prepare()
            for turn in range(1, options.nights + 1):
                for book, (run, its_counts) in nights.book(turn).items():
                    runs[book].append(run)
                    counts[book] = its_counts
        except StoppedError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    options.results.mkdir(parents=True, exist_ok=True)
    stem = options.results / f"waiting-{options.waiting}-enrolled-{options.enrolled}"
    names = ("waiting", "enrolled", "rows", "people", "nights", "seed")
    setting = {name: getattr(options, name) for name in names}
    taken = {
        book: [[round(run.wall_s, 3), round(run.cpu_s, 3), run.peak_bytes] for run in of_book]
        for book, of_book in runs.items()
    }
    content = {**where, **setting, "wall_s, cpu_s, peak_bytes": taken, "counts": counts}
    text = json.dumps(content, ensure_ascii=False, indent=1)
    stem.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    shown = page(runs, counts, where, options)
    stem.with_suffix(".md").write_text(shown, encoding="utf-8")
    print(shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
