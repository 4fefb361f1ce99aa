"""The guides to corrections: their nights can be delivered as they stand, and give what they say.

From top to bottom, in an empty folder: a named block of code is a file, commands are typed, queries
are asked; what is shown of a file, an output or a result is what comes out.
"""

import contextlib
import csv
import io
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from deliveries import ROOT
from test_guide import LOCALES, shown

from engine.records import EVENT_KINDS
from pipelines.cli import call
from pipelines.shown.texts import Lang

DOCS = ROOT / "docs"
GUIDES: dict[Lang, Path] = {"en": DOCS / "corrections.md", "ja": DOCS / "corrections.ja.md"}
CASES = 10
_BLOCK = re.compile(r"(?:^`([^`\n]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code; ``file`` is the name that stands ahead of it."""

    file: str
    language: str
    text: str

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Each command typed, and what is shown of its output."""
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)
        assert not parts[0]
        found = []
        for part in parts[1:]:
            command, _, output = part.replace("\\\n", " ").partition("\n")
            found.append((" ".join(shlex.split(command)), output))
        return found

    @property
    def query(self) -> tuple[str, list[str]]:
        """The query, and the rows that it is said to give."""
        lines = self.text.splitlines()
        rows = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")]
        return "\n".join(line for line in lines if not line.startswith("-- ")), rows


def blocks(guide: Path) -> list[Block]:
    return [Block(*found) for found in _BLOCK.findall(guide.read_text(encoding="utf-8"))]


def run_command(command: str, output: str) -> None:
    program, *arguments = shlex.split(command)
    assert program == "mynapoint"
    said, noted = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(noted):
        assert call(arguments) == 0, command
    printed = said.getvalue() or noted.getvalue()
    assert output.strip(), f"nothing is shown of {command}"
    assert shown(output).fullmatch(printed), f"{command} printed\n{printed}"


def run_query(database: duckdb.DuckDBPyConnection, text: str, expected: list[str]) -> None:
    rows = database.execute(text).fetchall()
    if text.startswith("COPY"):
        assert not expected
        return
    assert expected, "a query shows its rows"
    assert [" | ".join(map(str, row)) for row in rows] == expected


@pytest.mark.parametrize("lang", GUIDES)
def test_every_case_can_be_delivered_as_it_stands_and_gives_what_it_says(
    lang: Lang, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", LOCALES[lang])
    database = duckdb.connect()
    guide = blocks(GUIDES[lang])
    for block in guide:
        Path(block.file).parent.mkdir(exist_ok=True)
    for block in guide:
        if block.language == "console":
            for command, output in block.commands:
                run_command(command, output)
        elif block.language == "sql":
            run_query(database, *block.query)
        else:
            assert block.file, f"a file without a name: {block.text}"
            file = Path(block.file)
            if file.exists():
                # A query has made it.
                assert file.read_text(encoding="utf-8") == block.text
            file.write_text(block.text, encoding="utf-8")


def test_the_guides_have_every_kind_of_event() -> None:
    """In a file that is delivered, and in the table at the top."""
    guide = GUIDES["en"].read_text(encoding="utf-8")
    table = guide.partition("\n## ")[0]
    delivered = {row["kind"] for file in files("en") for row in file if "event_id" in row}
    assert delivered == set(EVENT_KINDS)
    assert all(f"`{kind}`" in table for kind in EVENT_KINDS)


def test_every_case_delivers_runs_shows_and_checks() -> None:
    for guide in GUIDES.values():
        sections = guide.read_text(encoding="utf-8").split("\n## ")[1:]
        cases = [section for section in sections if "/events.csv`:" in section]
        assert len(cases) == CASES
        for case in cases:
            title = case.partition("\n")[0]
            assert "$ mynapoint run book" in case, title
            assert "$ mynapoint explain book" in case, title
            assert re.search("^(Check|確認): ", case, re.MULTILINE), title


def test_the_links_of_the_table_lead_to_sections() -> None:
    for guide in GUIDES.values():
        text = guide.read_text(encoding="utf-8")
        anchors = {
            re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            for title in re.findall("^## (.*)$", text, re.MULTILINE)
        }
        links = set(re.findall(r"\]\(#([^)]+)\)", text))
        # Each case, and how events are written.
        assert len(links) == CASES + 1
        assert links <= anchors, links - anchors


def test_both_guides_show_the_same() -> None:
    """The same files but for who decided and their notes, the same commands, the same queries."""
    assert files("en") == files("ja")
    assert len(files("en")) == len(GUIDES["en"].read_text(encoding="utf-8").split("```csv")) - 1
    asked = {
        lang: [
            [command for command, _ in block.commands] if block.language == "console" else block
            for block in blocks(guide)
            if block.language in ("console", "sql", "toml")
        ]
        for lang, guide in GUIDES.items()
    }
    assert asked["en"] == asked["ja"]


def files(lang: Lang) -> list[list[dict[str, str]]]:
    """The guide's files of rows, each with its name, without who decided and without notes."""
    return [
        [
            {"file": block.file}
            | {name: value for name, value in row.items() if name not in ("authority", "note")}
            for row in csv.DictReader(block.text.splitlines())
        ]
        for block in blocks(GUIDES[lang])
        if block.language == "csv"
    ]
