"""CONTRIBUTING.md names files, names in them and targets of make: all of them are there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from deliveries import ROOT, SAMPLE

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"`([^`\n]+)`", TEXT)
# What readers put a name of their own into, and what is beside the repository.
OPEN = re.compile(r"\bID\b|\bNAME\b|/N/|FormatN|_CODE|^\.\./")
PATHS = sorted({quoted for quoted in QUOTED if re.fullmatch(r"[\w./-]*/[\w./-]*", quoted)})
NAMES = sorted(
    {quoted for quoted in QUOTED if re.fullmatch(r"_?[A-Z][A-Z_]+|[a-z]\w*_\w+", quoted)}
)
FOLDERS = ("engine", "pipelines", "tests")


@pytest.mark.parametrize("path", [path for path in PATHS if not OPEN.search(path)])
def test_a_file_that_it_names_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_names_that_it_gives_stand_in_the_code() -> None:
    code = "".join(
        file.read_text(encoding="utf-8")
        for folder in FOLDERS
        for pattern in ("*.py", "*.sql")
        for file in (ROOT / folder).rglob(pattern)
    )
    assert len(NAMES) > 20
    missing = [name for name in NAMES if not re.search(rf"\b{name}\b", code)]
    assert [name for name in missing if not OPEN.search(name)] == []


def test_its_commands_of_make_are_there() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    asked = {quoted.removeprefix("make ") for quoted in QUOTED if quoted.startswith("make ")}
    assert len(asked) > 5
    assert asked <= set(targets)


def test_two_versions_are_compared_by_what_it_types(tmp_path: Path) -> None:
    # One version stands for both, and the first nights for all.
    left_out = "night-00[3-6]"
    sample = shutil.copytree(
        SAMPLE, tmp_path / "sample_data", ignore=shutil.ignore_patterns(left_out)
    )
    readme = (SAMPLE / "README.md").read_text(encoding="utf-8")
    (sample / "README.md").write_text(re.sub(rf"\| `{left_out}.*\n", "", readme), encoding="utf-8")
    section = TEXT.partition("\n## Show that two versions book the same\n")[2]
    block = section.split("```")[1].removeprefix("console\n")
    setting_up, _, commands = re.sub(r"^[$>] ", "", block, flags=re.MULTILINE).partition("mkdir")
    assert re.findall(r"^\w+", setting_up, re.MULTILINE) == ["git", "make"]
    commands = re.sub(r"\S*\.venv/bin/mynapoint", f"{sys.executable} -m mynapoint", commands)
    *_, compare = commands.partition("(cd ")

    def typed(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ("bash", "-e", "-o", "pipefail", "-c", text),
            cwd=tmp_path,
            env=os.environ | {"LANG": "C"},
            check=False,
            capture_output=True,
            text=True,
        )

    done = typed(f"mkdir{commands}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "The two books are the same."
    [*_, ledger_file] = sorted((tmp_path / "build" / "same" / "after").glob("ledger/*.parquet"))
    ledger_file.write_bytes(ledger_file.read_bytes() + b" ")
    assert ledger_file.name in typed(f"(cd {compare}").stdout
