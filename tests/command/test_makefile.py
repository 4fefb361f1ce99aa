"""No target of the Makefile removes what make did not make, whatever the variables say."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from deliveries import ROOT

TEXT = (ROOT / "Makefile").read_text(encoding="utf-8")
VARIABLES = sorted(set(re.findall(r"^(?:override )?([A-Z_]+) *[?:]?=", TEXT, re.MULTILINE)))
REMOVING = sorted(
    target
    for target, recipe in re.findall(r"^([a-z-]+):[^\n]*\n((?:\t.*\n)+)", TEXT, re.MULTILINE)
    if "rm " in recipe
)


MAKES_A_BOOK = """\
#!/bin/sh
mkdir -p "$2"
[ "$1" != run ] || { mkdir -p "$2/runs/000001"; echo "$2" > "$2/runs/000001/record.json"; }"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the Makefile, and a mynapoint that makes a book of one record."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    command = tmp_path / ".venv" / "bin" / "mynapoint"
    command.write_text(f"{MAKES_A_BOOK}\n")
    command.chmod(0o755)
    (tmp_path / "sample_data").mkdir()
    (tmp_path / "requirements").mkdir()
    requirements = ("requirements/build.txt", "requirements/run.txt")
    for name in ("Makefile", "pyproject.toml", "sample_data/README.md", *requirements):
        shutil.copyfile(ROOT / name, tmp_path / name)
    for name in ("pip", "run"):
        (tmp_path / ".venv" / name).touch()
    return tmp_path


def make(project: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=project,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def ledger_in(book: Path) -> Path:
    book.mkdir(parents=True)
    (book / "ledger").write_text("awards")
    return book / "ledger"


def test_the_targets_that_remove_something_are_tested() -> None:
    assert REMOVING == ["clean", "run"]
    assert "SAMPLE_BOOK" in VARIABLES


@pytest.mark.parametrize("target", REMOVING)
@pytest.mark.parametrize("name", ["BOOK", *VARIABLES])
@pytest.mark.parametrize("given", ["environment", "environment, with -e", "command line"])
def test_no_variable_names_what_is_removed(
    project: Path, target: str, name: str, given: str
) -> None:
    book = project / "srv" / "book"
    ledger = ledger_in(book)
    if given == "command line":
        make(project, target, f"{name}={book}")
    else:
        make(project, *(["-e"] if "-e" in given else []), target, **{name: str(book)})
    assert ledger.read_text() == "awards"


@pytest.mark.parametrize("target", REMOVING)
def test_a_book_that_make_did_not_make_is_left_alone(project: Path, target: str) -> None:
    ledger = ledger_in(project / "build" / "book")
    done = make(project, target)
    assert ledger.read_text() == "awards"
    if target == "run":
        assert done.returncode == 2
        assert 'error: build/book: this book was not made by "make run"' in done.stderr


def test_a_paid_book_that_make_did_not_make_is_left_alone(project: Path) -> None:
    ledger = ledger_in(project / "build" / "paid")
    assert make(project, "run").returncode == 2
    assert make(project, "clean").returncode == 0
    assert ledger.read_text() == "awards"


def test_run_pays_a_copy_out_and_takes_the_answers_in(project: Path) -> None:
    command = project / ".venv" / "bin" / "mynapoint"
    command.write_text(f'{MAKES_A_BOOK}\necho "$1" "$2"\n')
    said = make(project, "run").stdout.splitlines()
    paid = [line for line in said if "build/paid" in line and not line.startswith("rm")]
    book = "build/paid/book"
    assert paid == [f"payout {book}", "sample build/paid", f"payout {book}", f"due {book}"]
    assert (project / "build" / "paid" / "made-by-make-run").exists()
    for made in (project / book, project / "build" / "book"):
        assert [file.name for file in made.iterdir()] == ["runs"], (
            "a book holds nothing that no run has made"
        )
    assert make(project, "clean").returncode == 0
    assert not (project / "build" / "paid").exists()


def test_another_book_in_the_place_of_the_samples_is_left_alone(project: Path) -> None:
    assert make(project, "run").returncode == 0
    shutil.rmtree(project / "build" / "book")
    ledger = ledger_in(project / "build" / "book")
    record = project / "build" / "book" / "runs" / "000001" / "record.json"
    record.parent.mkdir(parents=True)
    record.write_text("another run")
    assert make(project, "run").returncode == 2
    assert make(project, "clean").returncode == 0
    assert ledger.read_text() == "awards"


def test_a_book_that_make_made_is_made_anew_and_cleaned_away(project: Path) -> None:
    assert make(project, "run").returncode == 0
    book = project / "build" / "book"
    (book / "old").touch()
    assert make(project, "run").returncode == 0
    assert book.is_dir()
    assert not (book / "old").exists()
    assert make(project, "clean").returncode == 0
    assert not book.exists()


def test_clean_leaves_everything_else_in_the_folder(project: Path) -> None:
    others = [project / "build" / "claim.csv", project / "other.egg-info", project / "book"]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    shutil.rmtree(project / ".venv")
    (project / ".venv").mkdir()
    (project / ".venv" / "theirs").touch()
    make(project, "clean")
    assert all(path.exists() for path in (*others, project / ".venv" / "theirs"))


def test_run_hands_over_the_events_of_the_nights_that_have_some(project: Path) -> None:
    command = project / ".venv" / "bin" / "mynapoint"
    command.write_text('#!/bin/sh\nmkdir -p "$2"\necho "$@"\n')
    with_events = [path.parent.name for path in sorted((ROOT / "sample_data").glob("*/events.csv"))]
    assert with_events
    for night in with_events:
        shutil.copytree(ROOT / "sample_data" / night, project / "sample_data" / night)
    lines = [line for line in make(project, "run").stdout.splitlines() if "--booked-on" in line]
    assert [re.findall(r"--events sample_data/(\S+)/events.csv", line) for line in lines] == [
        [night] if night in with_events else []
        for night in sorted(path.name for path in (ROOT / "sample_data").glob("night-*"))
    ]
