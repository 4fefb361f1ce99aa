"""The specification names what the engine knows: every column, reason, kind and fault, in order."""

import dataclasses
import re

import oracle
import pytest
from deliveries import CONFORMANCE, ROOT

from engine.io.book.run_record import Counts, RunRecord, Split
from engine.records import (
    ANSWER_COLUMNS,
    ENROLLMENT_COLUMNS,
    ENTRY_KINDS,
    EVENT_COLUMNS,
    EVENT_KINDS,
    OUTCOMES,
    TRANSACTION_COLUMNS,
    LedgerEntry,
)

SPECIFICATION = (ROOT / "docs/specification.md").read_text(encoding="utf-8")
CODE = re.compile(r"`([^`]+)`")


def first_cells(heading: str) -> list[str]:
    """The words in the first cells of the tables under a heading, top to bottom."""
    below = SPECIFICATION.split(f"\n{heading}\n", 1)[1]
    section = re.split(r"\n#{2,3} ", below, maxsplit=1)[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [word for cell in cells for word in CODE.findall(cell)]


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("### Transactions", TRANSACTION_COLUMNS),
        ("### Enrollments (applications, マイナポイントの申込)", ENROLLMENT_COLUMNS),
        ("### Events", EVENT_COLUMNS),
        ("### Decisions", oracle.ENROLLMENT_REASONS),
        ("### Reasons to decline", oracle.DECLINE_REASONS),
        ("### Kinds", EVENT_KINDS),
        ("### Reasons to reject an event", oracle.EVENT_REASONS),
        ("### Ledger", LedgerEntry.columns),
    ],
)
def test_a_table_of_the_specification_has_what_the_engine_has_in_its_order(
    heading: str, words: tuple[str, ...]
) -> None:
    assert first_cells(heading) == list(words)


def test_the_specification_says_which_events_wait() -> None:
    waiting = re.findall(r"^\| `(\w+)` \|.*\| yes \|$", SPECIFICATION, re.MULTILINE)
    assert set(oracle.WAITING_EVENT_REASONS) <= set(waiting)
    final = re.findall(r"^\| `(\w+)` \|.*\| no \|$", SPECIFICATION, re.MULTILINE)
    assert set(final) == set(oracle.EVENT_REASONS) - set(oracle.WAITING_EVENT_REASONS)


def test_the_specification_names_all_other_words() -> None:
    keys = {field.name for kind in (RunRecord, Counts, Split) for field in dataclasses.fields(kind)}
    # Beside what is fixed, a record tells what is for people alone.
    keys -= {"warnings", "gates", "manifests", "allowed_gates", "recounted_of_format_1"}
    for word in (*ENTRY_KINDS, *OUTCOMES, *ANSWER_COLUMNS, *sorted(keys)):
        assert f"`{word}`" in SPECIFICATION, word


def test_every_conformance_case_has_a_title_and_a_name_of_its_own() -> None:
    cases = [path for path in CONFORMANCE.rglob("*.toml") if path.name != "services.toml"]
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        assert case.read_text(encoding="utf-8").lstrip().startswith(("title", "#")), case
