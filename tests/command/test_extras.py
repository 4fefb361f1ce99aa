"""On a bare install every command works, or names the extra that it needs and how to install it."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest
from command_line import in_this_process
from deliveries import ROOT, TESTS

from pipelines.cli import app

EXTRAS: Mapping[str, Sequence[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))[
    "project"
]["optional-dependencies"]
MODULES = {
    "vl-convert-python": "vl_convert",
    "axe-core-python": "axe_core_python",
    "import-linter": "importlinter",
    "openlineage-python": "openlineage",
    "pytest-xdist": "xdist",
    "pytest-benchmark": "pytest_benchmark",
}
# A program that imports what is not installed finds nothing, as Python's own finders would.
HOOK = """
import os, sys

class Missing:
    hidden = frozenset(os.environ["HIDDEN_MODULES"].split())

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""
# All the lines that it is given, each in a folder of its own.
PROGRAM = """
import json, pathlib, sys
from command_line import in_this_process

outcomes = {}
for line, words, folder in json.load(sys.stdin):
    done = in_this_process(*words, cwd=pathlib.Path(folder))
    outcomes[line] = done.returncode, done.stdout, done.stderr
json.dump(outcomes, sys.stdout)
"""

SUPPORT = TESTS / "support"

# By command line, the extra that it needs.
WORKS_ALONE = None
SIMULATION = "simulate BOOK --rate 30/100 --json"
DESKTOP_EXTRAS = ("verify", "desk", "report")
COMMANDS: Mapping[str, str | None] = {
    "run NEW --booked-on 2020-11-03 --transactions NIGHT/transactions-* "
    "--enrollments NIGHT/enrollments.csv": WORKS_ALONE,
    "run NEW --booked-on 2021-01-12 --enrollments NIGHT/enrollments.csv "
    "--events SAMPLE/night-002/events.csv": WORKS_ALONE,
    "run NEW --booked-on 2020-11-03 --enrollments NIGHT/enrollments.csv --engine spark": "spark",
    "payout BOOK --due-by 2021-10-21 --out DIR --dry-run": WORKS_ALONE,
    "payout BOOK --answers answers.csv --dry-run": WORKS_ALONE,
    "due BOOK --on 2021-10-21": WORKS_ALONE,
    "due BOOK --on 2021-10-21 --by day": WORKS_ALONE,
    "run NEW --booked-on 2020-11-03 --enrollments NIGHT/enrollments.csv "
    "--metrics night.prom": "metrics",
    "night NEW --booked-on 2020-11-03 --config EXAMPLES/nightly/sample.toml": WORKS_ALONE,
    "config show --booked-on 2020-11-03 --config EXAMPLES/nightly/sample.toml": WORKS_ALONE,
    "config validate --config EXAMPLES/nightly/sample.toml": WORKS_ALONE,
    "replay BOOK NEW --deliveries SAMPLE": "verify",
    "publish BOOK s3://bucket/book": "store",
    "runs BOOK": WORKS_ALONE,
    "check BOOK --transactions NIGHT/transactions-* --enrollments NIGHT/enrollments.csv": (
        WORKS_ALONE
    ),
    "runs BOOK --attempts": WORKS_ALONE,
    "status BOOK --max-age 2d": WORKS_ALONE,
    "pending BOOK": WORKS_ALONE,
    "pending BOOK --out pending": WORKS_ALONE,
    "verify BOOK": "verify",
    "seal BOOK --tsa http://127.0.0.1:9/": "seal",
    "explain BOOK --person 5e9cbfa5c9c90f44 --declined": WORKS_ALONE,
    "explain BOOK --transaction rakuten-pay 20200901000502058769": WORKS_ALONE,
    "explain BOOK --person 5e9cbfa5c9c90f44 --html page.html": "desk",
    "browse BOOK": "browse",
    "diff BOOK 1 2 --out changed": WORKS_ALONE,
    "reconcile BOOK claim.csv --out breaks": "desk",
    "draw BOOK --units 5 --seed 1 --out sample": "desk",
    "remarks BOOK": "desk",
    "workpapers BOOK --out papers.zip": "desk",
    "claim BOOK --final": "desk",
    "claim BOOK --final --out claim": "desk",
    "claim BOOK --granted --final": WORKS_ALONE,
    "claim BOOK --granted --final --out claim": "desk",
    "report BOOK --out report.html": "report",
    "report BOOK --out report.html --xlsx report.xlsx": "report",
    "report BOOK --out report.html --verify": "report",
    SIMULATION: WORKS_ALONE,
    "simulate --enrollments NIGHT/enrollments.csv --transactions NIGHT/transactions-*": WORKS_ALONE,
    "sample DIR --people 5 --transactions 20": WORKS_ALONE,
    "layouts": WORKS_ALONE,
    "layouts waon": WORKS_ALONE,
    "completion bash": WORKS_ALONE,
    "manual": WORKS_ALONE,
    "manual --as man": "man",
    "preview NIGHT/enrollments.csv --role enrollments": WORKS_ALONE,
    "quarantine BOOK 2": WORKS_ALONE,
    "quarantine BOOK 2 --csv --out DIR --delivered SAMPLE/night-002": WORKS_ALONE,
    "layout new NIGHT/enrollments.csv --role enrollments": WORKS_ALONE,
}


def modules_of(extra: str) -> set[str]:
    found: set[str] = set()
    for requirement in EXTRAS[extra]:
        own_extras = re.fullmatch(r"mynapoint\[(.*)\]", requirement)
        if own_extras:
            found |= {module for name in own_extras[1].split(",") for module in modules_of(name)}
        else:
            name = re.split(r"[\[<>=]", requirement)[0]
            found.add(MODULES.get(name, name.replace("-", "_")))
    return found


def words_of(line: str, book: Path, folder: Path) -> list[str]:
    """A command line of COMMANDS, with its places in `folder`, which gets the files it reads."""
    (folder / "claim.csv").write_text("service_id,month,points\n")
    (folder / "answers.csv").write_text("payout_id,outcome,points,answered_on,code\n")
    places = {"BOOK": book, "NEW": folder / "new", "DIR": folder / "out"}
    places |= {"NIGHT": ROOT / "sample_data" / "night-001", "SAMPLE": ROOT / "sample_data"}
    places["EXAMPLES"] = ROOT / "examples"
    return [re.sub("[A-Z]{3,}", lambda name: str(places[name[0]]), word) for word in line.split()]


Outcome = tuple[int, str, str]


def outcomes_without(
    hidden: set[str], lines: Iterable[str], book: Path, folder: Path
) -> dict[str, Outcome]:
    """By command line its exit code and what it says, all in one process without these modules."""
    (folder / "hook").mkdir(parents=True)
    (folder / "hook" / "sitecustomize.py").write_text(HOOK)
    asked = []
    for number, line in enumerate(lines):
        place = folder / str(number)
        place.mkdir()
        asked.append((line, words_of(line, book, place), str(place)))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        env={
            **os.environ,
            "HIDDEN_MODULES": " ".join(hidden),
            "PYTHONPATH": os.pathsep.join([str(folder / "hook"), str(ROOT), str(SUPPORT)]),
        },
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return {line: tuple(outcome) for line, outcome in json.loads(done.stdout).items()}


def test_every_command_is_tried_without_its_extras() -> None:
    tried = {" ".join(line.split()[:2]) for line in COMMANDS}
    for name in app:
        if name.startswith("-"):
            continue
        inner = [f"{name} {sub}" for sub in app[name] if not sub.startswith("-")]
        assert all(command in tried for command in inner)
        assert inner or any(command.split()[0] == name for command in tried), name


ALL_EXTRAS_BRING = {module for extra in EXTRAS for module in modules_of(extra)}


@pytest.fixture(scope="module")
def bare(six_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What comes of every command where no extra is installed."""
    folder = tmp_path_factory.mktemp("bare")
    return outcomes_without(ALL_EXTRAS_BRING, COMMANDS, six_nights, folder)


def test_without_any_extra_a_command_works_or_names_its_own(bare: dict[str, Outcome]) -> None:
    for line, (code, said, complained) in bare.items():
        extra = COMMANDS[line]
        if extra is WORKS_ALONE:
            assert code in (0, 1), (line, complained)
            assert "error" not in complained, line
            continue
        assert (code, said) == (2, ""), line
        error, hint = complained.splitlines()
        asked = {"spark": "--engine spark", "metrics": "--metrics"}.get(
            extra, line.split(maxsplit=1)[0]
        )
        assert error.startswith(f"error: {asked}")
        assert hint.startswith(f"hint: pip install 'mynapoint[{extra}]'"), line


@pytest.mark.parametrize("extra", DESKTOP_EXTRAS)
def test_the_extra_that_a_command_names_is_all_that_it_needs(
    extra: str, six_nights: Path, tmp_path: Path
) -> None:
    asked = [line for line in COMMANDS if COMMANDS[line] == extra]
    for to_verify in (True, False):
        lines = [line for line in asked if ("--verify" in line) is to_verify]
        hidden = ALL_EXTRAS_BRING - modules_of(extra)
        hidden -= modules_of("verify") if to_verify else set()
        if not lines:
            continue
        folder = tmp_path / f"{to_verify}"
        for line, (code, _, complained) in outcomes_without(
            hidden, lines, six_nights, folder
        ).items():
            assert code in (0, 1), (line, complained)
            assert "error" not in complained, line


def test_report_asks_for_what_verifies_before_it_does_any_work(
    six_nights: Path, tmp_path: Path
) -> None:
    line = "report BOOK --out report.html --verify"
    outcome = outcomes_without(modules_of("verify"), [line], six_nights, tmp_path)
    code, _, complained = outcome[line]
    assert code == 2
    assert complained.splitlines()[1] == "hint: pip install 'mynapoint[verify]'"


def test_simulate_gives_the_same_with_and_without_extras(
    bare: dict[str, Outcome], six_nights: Path, tmp_path: Path
) -> None:
    done = in_this_process(*words_of(SIMULATION, six_nights, tmp_path))
    assert json.loads(done.stdout) == json.loads(bare[SIMULATION][1])
