"""Who is compared: the engine by its command line, the peers and the floor by theirs."""

import ast
import importlib.util
import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from machine import cores

PEERS: Final = Path(__file__).parent / "peers"
BOOKED_ON: Final = "2021-10-01"
ENGINE: Final = "engine"
FLOOR: Final = "floor"
ON_SPARK: Final = "engine-on-spark"
# What each peer is called, and what must be installed for it; its program is NAME_job.py.
KNOWN_PEERS: Final = {
    ON_SPARK: ("mynapoint run --engine spark", "pyspark"),
    "duckdb": ("DuckDB SQL", "duckdb"),
    "polars": ("plain Polars", "polars"),
    "pandas": ("plain pandas", "pandas"),
    "spark": ("Spark SQL", "pyspark"),
}
SPARK_OPTIONS: Final = (
    *("--engine", "spark", "--master", f"local[{cores()}]"),
    *("--conf", "spark.driver.memory=2g"),
    *("--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.driver.bindAddress=127.0.0.1"),
)
# Those that hold all rows in memory; the others keep within a limit.
HOLD_ALL: Final = frozenset({"polars", "pandas"})


@dataclass(frozen=True, slots=True)
class Delivery:
    """The data that all contestants are given, as generate.py lays it out."""

    folder: Path
    file_format: str

    @property
    def transactions(self) -> Path:
        """The folder of transaction files."""
        return self.folder / "transactions"

    @property
    def enrollments(self) -> Path:
        """A file, or a folder when there are many people."""
        folder = self.folder / "enrollments"
        return folder if folder.is_dir() else self.folder / f"enrollments.{self.file_format}"

    @property
    def services(self) -> Path:
        """The services file."""
        return self.folder / "services.toml"


@dataclass(frozen=True, slots=True)
class Found:
    """What a contestant makes of the data; all must find the same."""

    read: int
    booked: int
    quarantined: int
    points_net: int
    declined: Mapping[str, int]

    def against(self, other: "Found") -> list[str]:
        """What differs: name, own value, the other's value."""
        own, others = self._flat(), other._flat()
        return [
            f"{name} {own.get(name, 0):,} instead of {others.get(name, 0):,}"
            for name in sorted(own.keys() | others.keys())
            if own.get(name, 0) != others.get(name, 0)
        ]

    def _flat(self) -> dict[str, int]:
        flat = {f"declined as {reason}": rows for reason, rows in self.declined.items()}
        for name in ("read", "booked", "quarantined", "points_net"):
            flat[name.replace("_", " ")] = getattr(self, name)
        return flat


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who can be run on a delivery.

    Attributes:
        leaves_out: what of the job it does not do, in Markdown.
        absent: why it cannot be run here, if it cannot.
    """

    name: str
    title: str
    leaves_out: str
    absent: str | None = None

    def command(self, given: Delivery, out: Path, memory_limit: str, rows_out: int) -> list[str]:
        """The command line that does the job; ``rows_out`` is for the floor alone."""
        data = {"--services": given.services, "--enrollments": given.enrollments}
        if self.name in (ENGINE, ON_SPARK):
            return [
                *mynapoint(),
                *("run", str(out / "book"), "--json", "--booked-on", BOOKED_ON),
                *_options({**data, "--transactions": given.transactions}),
                *(SPARK_OPTIONS if self.name == ON_SPARK else ()),
            ]
        options: dict[str, object] = {
            "--transactions": given.transactions / f"*.{given.file_format}",
            "--out": out,
            "--threads": cores(),
        }
        if self.name == FLOOR:
            floors = {"--enrollments": given.enrollments, "--rows-out": rows_out}
            return [sys.executable, str(PEERS / "floor.py"), *_options(options | floors)]
        peers = {**data, "--memory-limit": memory_limit}
        return [sys.executable, str(_program(self.name)), *_options(options | peers)]

    def found(self, stdout: str) -> Found | None:
        """What it printed; None of the floor, which decides nothing.

        Raises:
            ValueError: that is not what it should print.
        """
        if self.name == FLOOR:
            return None
        engine = self.name in (ENGINE, ON_SPARK)
        return found_by_engine(stdout) if engine else found_by_peer(stdout)


def line_up(peers: Sequence[str]) -> list[Contestant]:
    """The engine, the peers, the floor, in the order in which they run."""
    engine = Contestant(ENGINE, "mynapoint run", "nothing")
    floor = Contestant(FLOOR, "the floor", "everything but reading every byte and writing rows")
    return [engine, *(_peer(name) for name in peers), floor]


def mynapoint() -> list[str]:
    """The command line that belongs to this Python."""
    script = Path(sysconfig.get_path("scripts")) / "mynapoint"
    return [str(script)] if script.exists() else [sys.executable, "-m", "mynapoint"]


def found_by_engine(stdout: str) -> Found:
    """From the run record that `mynapoint run --json` prints."""
    record = _json(stdout)
    counts, points = record["counts"], record["points"]
    return Found(
        read=counts["read"],
        booked=counts["booked"],
        quarantined=counts["quarantined"],
        points_net=points["awarded"] - points["reversed"],
        declined=counts["declined"],
    )


def found_by_peer(stdout: str) -> Found:
    """From the line of JSON that a peer prints; its conflicts are what it would quarantine."""
    printed = _json(stdout)
    return Found(
        read=printed["rows"],
        booked=printed["booked"],
        quarantined=printed["conflicts"],
        points_net=printed["points_net"],
        declined=printed["declined"],
    )


def left_out(docstring: str) -> str:
    """What a peer's docstring says that it leaves out: the paragraph with these words, and the
    list after it; the whole where the words do not occur.
    """
    paragraphs = docstring.split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        _, words, rest = " ".join(paragraph.split()).partition("leaves out")
        if words:
            after = paragraphs[number + 1 : number + 2]
            items = after[0] if rest.endswith(":") and after else ""
            lines = [rest.lstrip(" :"), *(" ".join(item.split()) for item in items.split("\n- "))]
            return " ".join(text.removeprefix("- ") for text in lines if text)
    return " ".join(docstring.split())


def _json(stdout: str) -> dict[str, Any]:
    printed = json.loads(stdout[stdout.index("{") :])
    if not isinstance(printed, dict):
        raise ValueError("no JSON object was printed")
    return printed


def _peer(name: str) -> Contestant:
    title, module = KNOWN_PEERS[name]
    leaves_out = "nothing"
    if name != ON_SPARK:
        program = _program(name)
        if not program.exists():
            return Contestant(name, title, "", f"there is no {program.name}")
        docstring = ast.get_docstring(ast.parse(program.read_text(encoding="utf-8"))) or ""
        leaves_out = left_out(docstring)
    absent = None
    if importlib.util.find_spec(module) is None:
        absent = f"{module} is not installed"
    elif module == "pyspark" and not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        absent = "there is no Java"
    return Contestant(name, title, leaves_out, absent)


def _program(name: str) -> Path:
    return PEERS / f"{name}_job.py"


def _options(options: Mapping[str, object]) -> list[str]:
    return [text for name, value in options.items() for text in (name, str(value))]
