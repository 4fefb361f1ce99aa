"""CONTRIBUTING.md names files, names in them and targets of make: all of them are there."""

import re

import pytest
from deliveries import ROOT

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
