"""Many nights into one book: does a night cost what it delivers, or what the book holds?

    python benchmarks/nights.py --nights 100 --rows 1000000 --people 2500000

Each night's delivery is made, booked by the command line, and removed again. Everybody enrolls in
the first night, or with `--enroll nightly` as they apply. Every night refunds entries of earlier
ones (seven refunds in ten, up to a third of all nights back) and repeats or contradicts others (one
repetition in five, up to a thirtieth of all nights back).

What was measured is kept in the folder of the book (`--keep`) night by night: the same command
again goes on where it was stopped. Written to `--results`: `nights-N-of-ROWS.md`, `.json`, and
`.svg` where matplotlib is installed.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

import machine
from contestants import mynapoint
from measuring import last_line, measure
from presenting import draw_nights, table

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE / "results"
FIRST_DAY: Final = date(2020, 9, 2)
SHOWN: Final = (2, 10, 50, 100)
# A night's neighbours, itself included, on either side.
NEIGHBOURS: Final = 2
SETTING: Final = ("nights", "rows", "people", "format", "enroll", "seed")
MEASURES: Final = {"wall_s": "time, s", "cpu_s": "processor, s", "peak_gb": "peak memory, GB"}

Night = dict[str, Any]


class StoppedError(Exception):
    """A night could not be booked."""


def booked(book: Path) -> int:
    """How many runs the book holds."""
    return len(list((book / "ledger" / "_delta_log").glob("*.json")))


def bytes_of(folder: Path) -> int:
    """The size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def book_night(folder: Path, number: int, options: argparse.Namespace) -> Night:
    """Makes a night's delivery, books it, removes it; what it took.

    Raises:
        StoppedError: the night could not be booked.
    """
    data, book = folder / "data", folder / "book"
    night = data / f"night-{number:03}"
    shutil.rmtree(data, ignore_errors=True)
    # In a process of its own, lest its memory be counted into that of the run.
    made = [
        *(sys.executable, HERE / "generate.py", data, "--nights", options.nights),
        *("--night", number, "--rows", options.nights * options.rows, "--people", options.people),
        *("--seed", options.seed, "--format", options.format, "--enroll", options.enroll),
    ]
    subprocess.run([str(word) for word in made], check=True, stderr=subprocess.DEVNULL)
    enrollments = [night / "enrollments", night / f"enrollments.{options.format}"]
    command = [
        *(*mynapoint(), "run", str(book), "--json"),
        *("--booked-on", f"{FIRST_DAY + timedelta(days=number - 1)}"),
        *("--transactions", str(night / f"transactions.{options.format}")),
        *(word for path in enrollments if path.exists() for word in ("--enrollments", str(path))),
    ]
    if number == 1:
        command += ["--services", str(data / "services.toml")]
    run = measure(command, folder / "printed", timeout_s=options.timeout)
    if run.exit_code or run.stopped:
        raise StoppedError(f"night {number}: {run.stopped or last_line(run.stderr)}")
    record = json.loads(run.stdout)
    shutil.rmtree(data)
    return {
        "night": number,
        "wall_s": round(run.wall_s, 3),
        "cpu_s": round(run.cpu_s, 3),
        "peak_gb": round(run.peak_bytes / 1e9, 3),
        "book_gb": round(bytes_of(book) / 1e9, 3),
        "counts": record["counts"],
        "points": record["points"],
    }


def near(nights: Sequence[Night], number: int, measure_name: str) -> float:
    """The median of a measure over a night and its neighbours; the first night, which is of
    another kind, is nobody's neighbour, and a night whose run was not measured neither.
    """
    values = [
        night[measure_name]
        for night in nights
        if abs(night["night"] - number) <= NEIGHBOURS
        and (night["night"] > 1) == (number > 1)
        and night[measure_name] is not None
    ]
    return median(values) if values else float("nan")


def page(nights: Sequence[Night], where: dict[str, Any], options: argparse.Namespace) -> str:
    """The results as Markdown."""
    last = nights[-1]["night"]
    shown = sorted({1, *(number for number in SHOWN if number <= last), last})
    lines = []
    for number in shown:
        night = nights[number - 1]
        lines.append(
            [
                f"{number}",
                *(_text(night[name]) for name in MEASURES),
                *(f"{near(nights, number, name):.2f}" for name in MEASURES),
                _text(night["book_gb"]),
            ]
        )
    head = ["night", *MEASURES.values(), *(f"{what}, neighbours" for what in MEASURES.values())]
    counts = [night["counts"] for night in nights if night["counts"]]
    twice = sum(count["declined"].get("duplicate", 0) for count in counts)
    conflicts = sum(count["quarantined"] for count in counts)
    parts = [
        f"# {last} nights of {options.rows:,} rows, {options.people:,} people\n",
        machine.described(where),
        table([*head, "book, GB"], lines),
    ]
    if last > 2:
        ratios = ", ".join(
            f"{what.partition(',')[0]} {near(nights, last, name) / near(nights, 2, name):.2f} ×"
            for name, what in MEASURES.items()
        )
        parts.append(f"Night {last} against night 2, medians of neighbouring nights: {ratios}.\n")
    enrolled = "in the first night" if options.enroll == "first" else "as they apply"
    parts.append(
        f"Neighbours: the median of a night and up to {NEIGHBOURS} on either side, the first night "
        f"left out. People enroll {enrolled}. All nights together hold {twice:,} duplicates and "
        f"{conflicts:,} rows in conflict.\n"
    )
    parts.append(
        "To measure again:\n\n"
        f"    python benchmarks/nights.py --nights {options.nights} --rows {options.rows} "
        f"--people {options.people} --format {options.format} --enroll {options.enroll} "
        f"--seed {options.seed} --keep DIR\n"
    )
    return "\n".join(parts)


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nights", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each night")
    parser.add_argument("--people", type=int, default=2_500_000)
    parser.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    parser.add_argument("--enroll", choices=("first", "nightly"), default="first")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="the book's folder, to go on from")
    parser.add_argument("--timeout", type=float, default=7200.0, metavar="SECONDS")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    return parser.parse_args(arguments)


def taken_up(folder: Path, options: argparse.Namespace) -> list[Night]:
    """The nights that were measured before, by the same command in the same folder.

    Raises:
        StoppedError: the folder's book is of another command.
    """
    setting = {name: getattr(options, name) for name in SETTING}
    kept = folder / "nights.json"
    if not kept.exists():
        if booked(folder / "book"):
            raise StoppedError(f"{folder}: a book, but no nights.json that says what it holds")
        kept.write_text(json.dumps({"setting": setting, "nights": []}), encoding="utf-8")
    content = json.loads(kept.read_text(encoding="utf-8"))
    if content["setting"] != setting:
        raise StoppedError(f"{folder}: there is a book of other nights: {content['setting']}")
    nights: list[Night] = content["nights"]
    for number in range(len(nights) + 1, booked(folder / "book") + 1):
        # It was stopped between the night's commit and its being noted.
        unknown = dict.fromkeys((*MEASURES, "book_gb", "counts", "points"))
        nights.append({"night": number, **unknown})
    return nights


def note(kept: Path, nights: Sequence[Night]) -> None:
    """Keeps what was measured; a half-written file would lose it all."""
    content = json.loads(kept.read_text(encoding="utf-8"))
    beside = kept.with_suffix(".new")
    beside.write_text(json.dumps({**content, "nights": nights}), encoding="utf-8")
    beside.replace(kept)


def main(arguments: Sequence[str] | None = None) -> int:
    """Books the nights that are not booked yet; 1 when one cannot be."""
    options = parsed(arguments)
    where = machine.circumstances()
    options.results.mkdir(parents=True, exist_ok=True)
    stem = options.results / f"nights-{options.nights}-of-{options.rows}"
    with tempfile.TemporaryDirectory(prefix="mynapoint-nights-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            nights = taken_up(folder, options)
            for number in range(len(nights) + 1, options.nights + 1):
                nights.append(book_night(folder, number, options))
                note(folder / "nights.json", nights)
                took = "  ".join(f"{what} {nights[-1][name]}" for name, what in MEASURES.items())
                print(f"night {number} of {options.nights}: {took}", file=sys.stderr, flush=True)
        except StoppedError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    setting = {name: getattr(options, name) for name in SETTING}
    content = {**where, "setting": setting, "nights": nights}
    text = json.dumps(content, ensure_ascii=False, indent=1)
    stem.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    shown = page(nights, where, options)
    stem.with_suffix(".md").write_text(shown, encoding="utf-8")
    measured = [night for night in nights if night["wall_s"] is not None and night["night"] > 1]
    if measured:
        lines = {what: [night[name] for night in measured] for name, what in MEASURES.items()}
        draw_nights(stem.with_suffix(".svg"), [night["night"] for night in measured], lines)
    print(shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
