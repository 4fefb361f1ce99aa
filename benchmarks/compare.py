"""The engine, its peers and the floor on the same data, in turn, each a process of its own.

    python benchmarks/compare.py --rows 2000000 20000000 --people 250000 2500000

For each size the data is made once; then all run one after the other, and again, as often as
`--runs` says, so that a busy minute of the machine falls on all alike. A fresh book, an empty
folder each time; `sync` before each run; the page cache stays as it is, so that files are read from
memory by all. Whoever took longer than `--repeat-under` seconds at first runs once only.

All must find the same: rows read, booked, quarantined, declined by reason, and points awarded less
points reversed. Who finds otherwise or fails is shown, and the exit code is 1.

Not run are peers that are not installed, and those that would not fit into the memory given by
`--memory`: of those that hold all rows (Polars, pandas) that is judged beforehand from the second
size on, by what they took at the size before; otherwise they are started, and stopped when they
hold more. DuckDB and Spark are told to keep within two thirds of it.

Written to `--results`: `compare-FORMAT.md`, `.json`, and `.svg` where matplotlib is installed
(`pip install 'mynapoint[bench]'`).
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import machine
from contestants import ENGINE, FLOOR, HOLD_ALL, KNOWN_PEERS, Contestant, Delivery, Found, line_up
from measuring import Run, Spread, last_line, measure
from presenting import Point, draw_sizes, table

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE / "results"
GENERATED: Final = ".generated"
LEGEND: Final = """\
Medians of the runs, least and most in brackets. Time is the whole process's, from outside; peak is
the most memory that it held at once. Everybody's runs took turns.
"""


@dataclass
class Entrant:
    """A contestant at one size: its runs, or why there are none."""

    contestant: Contestant
    runs: list[Run] = field(default_factory=list)
    found: Found | None = None
    not_run: str | None = None
    failed: list[str] = field(default_factory=list)

    @property
    def wall_s(self) -> Spread:
        """Of its runs, of which there must be some; so for the others."""
        return Spread.of([run.wall_s for run in self.runs])

    @property
    def cpu_s(self) -> Spread:
        return Spread.of([run.cpu_s for run in self.runs])

    @property
    def peak_gb(self) -> Spread:
        return Spread.of([run.peak_bytes / 1e9 for run in self.runs])

    def take(self, run: Run, expected: Found | None) -> None:
        """Takes in a run, and checks what it found against what the engine did."""
        if run.stopped:
            self.not_run = run.stopped
            return
        if run.exit_code:
            self.failed.append(f"exit {run.exit_code}: {last_line(run.stderr)}")
            return
        try:
            self.found = self.contestant.found(run.stdout)
        except (ValueError, KeyError, TypeError) as error:
            self.failed.append(f"what it printed cannot be read: {error!r}")
            return
        self.runs.append(run)
        if self.found and expected:
            self.failed += [f"found {text}" for text in self.found.against(expected)]

    @property
    def verdict(self) -> str:
        """In the table: does it agree with the engine?"""
        if self.failed:
            return "**no**: " + "; ".join(dict.fromkeys(self.failed))
        if self.not_run:
            return f"not run: {self.not_run}"
        return {ENGINE: "", FLOOR: "decides nothing"}.get(self.contestant.name, "yes")

    def as_json(self) -> dict[str, Any]:
        runs = [
            {
                "wall_s": round(run.wall_s, 3),
                "user_s": round(run.user_s, 3),
                "system_s": round(run.system_s, 3),
                "peak_bytes": run.peak_bytes,
            }
            for run in self.runs
        ]
        return {
            "name": self.contestant.name,
            "runs": runs,
            "found": asdict(self.found) if self.found else None,
            "not_run": self.not_run,
            "failed": self.failed,
        }


@dataclass
class Size:
    """Everybody's measurements on one delivery."""

    rows: int
    people: int
    bytes_in: int
    entrants: list[Entrant]

    def of(self, name: str) -> Entrant | None:
        """Who has this name, if it has runs."""
        return next((e for e in self.entrants if e.contestant.name == name and e.runs), None)

    def times(self, entrant: Entrant, name: str) -> str:
        """How many times another's time, by medians."""
        other = self.of(name)
        if other is None or not entrant.runs or other is entrant:
            return ""
        return f"{entrant.wall_s.median / other.wall_s.median:.2f} ×"

    def as_markdown(self, file_format: str) -> str:
        lines = [
            [
                entrant.contestant.title,
                entrant.wall_s.text() if entrant.runs else "",
                entrant.cpu_s.text() if entrant.runs else "",
                entrant.peak_gb.text(2) if entrant.runs else "",
                self.times(entrant, FLOOR),
                self.times(entrant, ENGINE),
                str(len(entrant.runs)),
                entrant.verdict,
            ]
            for entrant in self.entrants
        ]
        head = ["", "time, s", "processor, s", "peak, GB", "× floor", "× mynapoint", "runs"]
        title = (
            f"## {self.rows:,} rows of {self.people:,} people, {file_format}, "
            f"{self.bytes_in / 1e6:,.0f} MB\n\n"
        )
        return title + table([*head, "the same counts and points"], lines)

    def as_json(self) -> dict[str, Any]:
        entrants = [entrant.as_json() for entrant in self.entrants]
        return {
            "rows": self.rows,
            "people": self.people,
            "bytes_in": self.bytes_in,
            "contestants": entrants,
        }


def entered(contestant: Contestant, rows: int, cap_bytes: int, before: Size | None) -> Entrant:
    """A contestant before its first run at a size, with the reason why it will not run, if so."""
    entrant = Entrant(contestant, not_run=contestant.absent)
    if contestant.absent is None and before is not None:
        earlier = next(e for e in before.entrants if e.contestant.name == contestant.name)
        if earlier.not_run:
            entrant.not_run = f"{earlier.not_run} at {before.rows:,} rows"
        elif earlier.runs and contestant.name in HOLD_ALL:
            entrant.not_run = too_much(earlier.peak_gb.median, before.rows, rows, cap_bytes / 1e9)
    return entrant


def too_much(peak_gb: float, rows_then: int, rows: int, cap_gb: float) -> str | None:
    """Why that many rows would not fit, going by what fewer rows took; None where they would."""
    expected_gb = peak_gb * rows / rows_then
    if expected_gb <= cap_gb:
        return None
    return (
        f"would take about {expected_gb:.0f} GB of {cap_gb:.0f} GB "
        f"({peak_gb:.1f} GB at {rows_then:,} rows)"
    )


@contextmanager
def made(folder: Path, rows: int, people: int, options: argparse.Namespace) -> Iterator[Delivery]:
    """The data of a size; what was kept is used again, what was not to be kept is removed."""
    place = folder / f"data-{form_of(options)}-{rows}-{people}-{options.seed}"
    if not (place / GENERATED).exists():
        shutil.rmtree(place, ignore_errors=True)
        say(f"{rows:,} rows: making the data")
        # In a process of its own, lest its memory be counted into that of who is measured.
        command = [
            *(sys.executable, HERE / "generate.py", place, "--format", options.format),
            *("--rows", rows, "--people", people, "--seed", options.seed),
            *booked_of(options),
        ]
        subprocess.run([str(word) for word in command], check=True, stderr=subprocess.DEVNULL)
        (place / GENERATED).touch()
    try:
        yield Delivery(place, options.format)
    finally:
        if options.keep is None:
            shutil.rmtree(place)


def compared(
    given: Delivery, entrants: Sequence[Entrant], rows: int, folder: Path, options: Any
) -> None:
    """Runs everybody in turn, as often as is asked for."""
    out = folder / "out"
    expected: Found | None = None
    for turn in range(1, options.runs + 1):
        for entrant in entrants:
            first = entrant.runs[0].wall_s if entrant.runs else 0.0
            if entrant.not_run or entrant.failed or first > options.repeat_under:
                continue
            rows_out = expected.booked if expected else rows
            limit = f"{max(1, int(options.memory * 2 / 3))}GB"
            command = entrant.contestant.command(given, out, limit, rows_out)
            shutil.rmtree(out, ignore_errors=True)
            run = measure(
                command, out, cap_bytes=int(options.memory * 1e9), timeout_s=options.timeout
            )
            entrant.take(run, expected)
            if entrant.contestant.name == ENGINE:
                expected = expected or entrant.found
                if run.stopped:
                    entrant.failed.append(run.stopped)
                if expected is None:
                    for other in entrants[1:]:
                        other.not_run = other.not_run or "nothing to compare with"
            said = entrant.failed[-1] if entrant.failed else entrant.not_run
            took = f"{run.wall_s:.1f} s, processor {run.cpu_s:.1f} s, {run.peak_bytes / 1e9:.2f} GB"
            title = entrant.contestant.title
            say(f"{rows:,} rows, run {turn} of {options.runs}, {title}: {said or took}")
    shutil.rmtree(out, ignore_errors=True)


def written(sizes: Sequence[Size], where: dict[str, Any], options: argparse.Namespace) -> None:
    """Writes everything measured so far, as JSON and as Markdown."""
    options.results.mkdir(parents=True, exist_ok=True)
    name = f"compare-{form_of(options)}"
    setting = {
        "format": options.format,
        "seed": options.seed,
        "booked": options.booked,
        "runs": options.runs,
        "memory_cap_gb": round(options.memory, 1),
    }
    content = {**where, **setting, "sizes": [size.as_json() for size in sizes]}
    text = json.dumps(content, ensure_ascii=False, indent=1)
    (options.results / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    markdown = page(sizes, where, options)
    (options.results / f"{name}.md").write_text(markdown, encoding="utf-8")


def drawn(sizes: Sequence[Size], options: argparse.Namespace) -> None:
    """Draws time and memory, when all is measured: what draws is too large to be there before."""
    curves = {
        entrant.contestant.title: [
            Point(size.rows, found.wall_s, found.peak_gb)
            for size in sizes
            if (found := size.of(entrant.contestant.name))
        ]
        for entrant in sizes[0].entrants
    }
    if not draw_sizes(options.results / f"compare-{form_of(options)}.svg", curves):
        say("no picture: matplotlib is not installed; pip install 'mynapoint[bench]'")


def page(sizes: Sequence[Size], where: dict[str, Any], options: argparse.Namespace) -> str:
    """The results as Markdown."""
    left_out = [
        [entrant.contestant.title, entrant.contestant.leaves_out]
        for entrant in sizes[0].entrants
        if entrant.contestant.leaves_out
    ]
    sizes_given = " ".join(str(size.rows) for size in sizes)
    people_given = " ".join(str(size.people) for size in sizes)
    again = (
        f"    python benchmarks/compare.py --rows {sizes_given} --people {people_given} "
        f"--format {options.format} --runs {options.runs} --seed {options.seed} "
        f"{' '.join(booked_of(options))}".rstrip()
        + "\n"
    )
    return "\n".join(
        [
            f"# The same job, from {options.format}\n",
            machine.described(where),
            LEGEND,
            *(size.as_markdown(options.format) for size in sizes),
            "## What is left out\n",
            table(["", "leaves out"], left_out),
            "## To measure again\n",
            again,
        ]
    )


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; `sizes` are pairs of rows and people."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=positive, nargs="+", required=True)
    parser.add_argument("--people", type=positive, nargs="+", required=True, help="one for each")
    parser.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    parser.add_argument("--runs", type=positive, default=3)
    parser.add_argument("--peers", default=",".join(KNOWN_PEERS), help="those to run; '' for none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--booked", help="share of rows that earn, by default nearly all")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the data there, use it again"
    )
    parser.add_argument(
        "--memory", type=float, metavar="GB", help="by default 85 %% of what is free"
    )
    parser.add_argument("--timeout", type=float, default=7200.0, metavar="SECONDS")
    parser.add_argument("--repeat-under", type=float, default=120.0, metavar="SECONDS")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    given = parser.parse_args(arguments)
    if len(given.people) not in {1, len(given.rows)}:
        parser.error("--people: give one number, or one for each of --rows")
    people = given.people * len(given.rows) if len(given.people) == 1 else given.people
    given.sizes = sorted(zip(given.rows, people, strict=True))
    given.peers = [name for name in given.peers.split(",") if name]
    if unknown := sorted(set(given.peers) - KNOWN_PEERS.keys()):
        parser.error(f"--peers: {', '.join(unknown)}: known are {', '.join(KNOWN_PEERS)}")
    given.memory = given.memory or machine.memory_bytes("MemAvailable") * 0.85 / 1e9
    return given


def booked_of(options: argparse.Namespace) -> list[str]:
    """The share of rows that earn, as options of generate.py's."""
    return ["--booked", options.booked] if options.booked else []


def form_of(options: argparse.Namespace) -> str:
    """What files of data and results are called by: the format, and the share if it is given."""
    return f"{options.format}-booked-{options.booked}" if options.booked else options.format


def positive(text: str) -> int:
    """A whole number above zero, `2_000_000` or `2e6` as well."""
    number = int(float(text)) if "e" in text else int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares at every size; 1 when somebody failed or found something else."""
    options = parsed(arguments)
    where = machine.circumstances()
    contestants = line_up(options.peers)
    sizes: list[Size] = []
    with tempfile.TemporaryDirectory(prefix="mynapoint-compare-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for rows, people in options.sizes:
            before = sizes[-1] if sizes else None
            cap_bytes = int(options.memory * 1e9)
            entrants = [entered(c, rows, cap_bytes, before) for c in contestants]
            for entrant in entrants:
                if entrant.not_run:
                    title = entrant.contestant.title
                    say(f"{rows:,} rows, {title}: not run: {entrant.not_run}")
            with made(folder, rows, people, options) as given:
                files = (file for file in given.folder.rglob("*") if file.is_file())
                sizes.append(Size(rows, people, sum(f.stat().st_size for f in files), entrants))
                compared(given, entrants, rows, folder, options)
            written(sizes, where, options)
    drawn(sizes, options)
    print((options.results / f"compare-{form_of(options)}.md").read_text(encoding="utf-8"))
    return int(any(entrant.failed for size in sizes for entrant in size.entrants))


if __name__ == "__main__":
    sys.exit(main())
