"""On a bare install every command works, or names the extra that it needs and how to install it."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from deliveries import ROOT

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

# By command line, the extra that it needs.
WORKS_ALONE = None
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
    "simulate BOOK --rate 30/100": WORKS_ALONE,
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


def run_without(
    hidden: set[str], line: str, book: Path, folder: Path
) -> subprocess.CompletedProcess[str]:
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(HOOK)
    words = words_of(line, book, folder)
    return subprocess.run(
        [sys.executable, "-m", "mynapoint", *words],
        cwd=folder,
        env={
            **os.environ,
            "HIDDEN_MODULES": " ".join(hidden),
            "PYTHONPATH": os.pathsep.join([str(folder / "hook"), str(ROOT)]),
        },
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )


def test_every_command_is_tried_without_its_extras() -> None:
    tried = {" ".join(line.split()[:2]) for line in COMMANDS}
    for name in app:
        if name.startswith("-"):
            continue
        inner = [f"{name} {sub}" for sub in app[name] if not sub.startswith("-")]
        assert all(command in tried for command in inner)
        assert inner or any(command.split()[0] == name for command in tried), name


@pytest.mark.parametrize("line", COMMANDS)
def test_without_any_extra_a_command_works_or_names_its_own(
    line: str, six_nights: Path, tmp_path: Path
) -> None:
    done = run_without(
        {m for extra in EXTRAS for m in modules_of(extra)}, line, six_nights, tmp_path
    )
    extra = COMMANDS[line]
    if extra is WORKS_ALONE:
        assert done.returncode in (0, 1), done.stderr
        assert "error" not in done.stderr
        return
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    asked = {"spark": "--engine spark", "metrics": "--metrics"}.get(
        extra, line.split(maxsplit=1)[0]
    )
    assert error.startswith(f"error: {asked}")
    assert hint.startswith(f"hint: pip install 'mynapoint[{extra}]'")


@pytest.mark.parametrize("line", [line for line in COMMANDS if COMMANDS[line] in DESKTOP_EXTRAS])
def test_the_extra_that_a_command_names_is_all_that_it_needs(
    line: str, six_nights: Path, tmp_path: Path
) -> None:
    hidden = {m for extra in EXTRAS for m in modules_of(extra)} - modules_of(str(COMMANDS[line]))
    if "--verify" in line:
        hidden -= modules_of("verify")
    done = run_without(hidden, line, six_nights, tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert "error" not in done.stderr


def test_report_asks_for_what_verifies_before_it_does_any_work(
    six_nights: Path, tmp_path: Path
) -> None:
    line = "report BOOK --out report.html --verify"
    done = run_without(modules_of("verify"), line, six_nights, tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[1] == "hint: pip install 'mynapoint[verify]'"


def test_simulate_gives_the_same_with_and_without_extras(six_nights: Path, tmp_path: Path) -> None:
    answers = []
    for number, hidden in enumerate((set[str](), modules_of("verify") | modules_of("desk"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = run_without(hidden, "simulate BOOK --rate 30/100 --json", six_nights, folder)
        answers.append(json.loads(done.stdout))
    assert answers[0] == answers[1]
