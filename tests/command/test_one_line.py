"""Whatever ends a command is told in one line and a hint: panics, interrupts, odd environments."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import without_note
from deliveries import ROOT, Desk, as_csv, enrollment, transaction
from openpyxl import load_workbook

from pipelines.cli import call

SCRIPT = Path(sys.executable).parent / "mynapoint"
# Interrupts the program when it imports a module, as a person who types Ctrl-C just then.
INTERRUPT = """
import os, signal, sys

class Interrupter:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPTED_AT"]:
            os.environ["INTERRUPTED_AT"] = ""
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupter())
"""


def mynapoint(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), *map(str, arguments)],
        **({"capture_output": True} | options),
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        check=False,
        timeout=60,
    )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.transactions([transaction(1)])
    return desk


def command_of(desk: Desk) -> list[object]:
    night = ["run", desk.book, "--booked-on", "2020-09-30", "--services", desk.services, "--quiet"]
    files = ["--enrollments", desk.enrollments, "--transactions", desk.folder / "transactions.csv"]
    return [*night, *files]


@pytest.mark.parametrize(
    "module",
    ["cyclopts", "pipelines.cli", "engine.errors", "polars", "engine.io.durable"],
)
def test_an_interrupt_in_the_first_moments_is_one_line(desk: Desk, module: str) -> None:
    (desk.folder / "hook").mkdir()
    (desk.folder / "hook" / "sitecustomize.py").write_text(INTERRUPT)
    done = mynapoint(
        *command_of(desk),
        env={**os.environ, "INTERRUPTED_AT": module, "PYTHONPATH": str(desk.folder / "hook")},
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "error: interrupted\nhint: run again: what is booked is recognised\n"
    assert desk.holds_nothing()


def test_an_ignored_interrupt_stays_ignored(desk: Desk) -> None:
    """As a shell has it for what runs in the background."""
    (desk.folder / "hook").mkdir()
    (desk.folder / "hook" / "sitecustomize.py").write_text(INTERRUPT)
    done = mynapoint(
        *command_of(desk),
        env={**os.environ, "INTERRUPTED_AT": "polars", "PYTHONPATH": str(desk.folder / "hook")},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert (done.returncode, without_note(done.stderr)) == (0, "")


def test_what_polars_passes_over_in_the_environment_is_not_spoken_of(desk: Desk) -> None:
    odd = {
        "POLARS_MAX_THREADS": "many",
        "POLARS_ENGINE_AFFINITY": "none",
        "POLARS_IDEAL_MORSEL_SIZE": "x",
    }
    done = mynapoint(*command_of(desk), env=os.environ | odd)
    assert (done.returncode, done.stdout, without_note(done.stderr)) == (0, "", "")


@pytest.mark.parametrize(
    ("name", "value"), [("POLARS_MAX_THREADS", "0"), ("POLARS_ASYNC_THREAD_COUNT", "x")]
)
def test_what_polars_fails_with_in_the_environment_is_named_in_one_line(
    desk: Desk, name: str, value: str
) -> None:
    done = mynapoint(*command_of(desk), env={**os.environ, name: value})
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert name in error
    assert hint.startswith("hint: ")


def test_a_panic_of_a_library_is_two_lines_and_nothing_ahead_of_them(desk: Desk) -> None:
    """The library itself writes to stderr, by the number of the stream."""
    program = (
        "import os, sys, pipelines.__main__ as main, engine.io.book.folder as folder\n"
        "import polars as pl\n"
        "def panic(*_, **__):\n"
        "    os.write(2, b\"thread 'main' panicked at lib.rs:1\\nstack backtrace:\\n\")\n"
        "    raise pl.exceptions.PanicException('two\\nlines')\n"
        "folder.Book.at = panic\n"
        "main.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, command_of(desk))],
        capture_output=True,
        text=True,
        cwd=ROOT,
        # What is set for Polars would be named instead.
        env={name: value for name, value in os.environ.items() if not name.startswith("POLARS_")},
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: internal fault: PanicException at ")
    assert "MYNAPOINT_TRACEBACK=1" in hint


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_closed_streams_change_neither_the_exit_code_nor_the_book(desk: Desk, closed: str) -> None:
    """The number of a closed stream must not go to a file of the book."""
    words = [str(SCRIPT), *map(str, command_of(desk))]
    words.remove("--quiet")
    line = " ".join(f"'{word}'" for word in words)
    done = subprocess.run(
        ["sh", "-c", f"{line} {closed}"], capture_output=True, cwd=ROOT, check=False, timeout=60
    )
    assert done.returncode == 0
    assert without_note(done.stderr.decode()) == ""
    assert desk.booked() == ["T1"]
    assert call(["verify", str(desk.book)]) == 0


# C0 and C1 controls, what no XML may hold, what turns the direction of writing.
ODD = ("\x1b[31m", "\x01", "\x85", "\ufffe", "\uffff", "\u202e", "\u2028")


@pytest.mark.parametrize("where", ["a file's name", "a service's name"])
def test_a_report_can_be_made_of_whatever_names_there_are(tmp_path: Path, where: str) -> None:
    desk = Desk(tmp_path)
    # Of a service's name, C0 controls are refused when it is read.
    odd = ODD if where == "a file's name" else ODD[2:]
    names = [f"{number}{text}" for number, text in enumerate(odd)]
    services = [f"s{number}" for number in range(len(names))]
    called = names if where == "a service's name" else services
    desk.write(
        "services.toml",
        "".join(
            f'[[services]]\nservice_id = "{service}"\nname = "{toml(name)}"\nbasis = "purchase"\n'
            for service, name in zip(services, called, strict=True)
        ),
    )
    people = [enrollment(n, service_id=service) for n, service in enumerate(services)]
    desk.write("enrollments.csv", as_csv(people))
    files = []
    for number, service in enumerate(services):
        account = {"service_id": service, "account_id": f"A{number}"}
        rows = [transaction(number, **account), transaction(number + 100, **account, amount="many")]
        name = names[number] if where == "a file's name" else str(number)
        files.append(desk.transactions(rows, f"{name}.csv"))
    desk.run(*files)
    out, xlsx = tmp_path / "report.html", tmp_path / "report.xlsx"
    done = mynapoint("report", desk.book, "--out", out, "--xlsx", xlsx)
    assert (done.returncode, done.stderr) == (0, "")
    page = out.read_text(encoding="utf-8")
    assert not [c for c in page if not c.isprintable() and c not in "\n\t\xa0\u3000"]
    assert "\\ufffe" in page
    cells = [c.value for s in load_workbook(xlsx) for row in s.iter_rows() for c in row]
    assert any("\\ufffe" in str(cell) for cell in cells)
    for person in ("P1", "P3"):
        html = tmp_path / f"{person}.html"
        assert call(["explain", str(desk.book), "--person", person, "--html", str(html)]) == 0


def toml(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
