"""The auditors' guide: whatever it shows can be typed as it stands, and gives what it says.

Commands run in a folder in which the sample's book is `build/book`; what they print is
as shown, but for what an ellipsis stands for. Queries give as many rows as their first line says.
"""

import contextlib
import io
import re
import shlex
from pathlib import Path

import duckdb
import oracle
import polars as pl
import pytest
from deliveries import ROOT

from engine.rules.clauses import clause_of
from pipelines.cli import app, call
from pipelines.desk.reasons import reason
from pipelines.shown.texts import Lang

DOCS = ROOT / "docs"
GUIDES: dict[Lang, Path] = {"en": DOCS / "auditors-guide.md", "ja": DOCS / "auditors-guide.ja.md"}
LOCALES: dict[Lang, str] = {"en": "C", "ja": "ja_JP.UTF-8"}
# Shown by name; their own tests run them.
ELSEWHERE = {"report", "simulate", "browse", "seal"}
_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(guide: Path) -> list[tuple[str, str]]:
    """The guide's blocks of code, in order: language and text."""
    return [
        (language, re.sub(f"^{indent}", "", text, flags=re.MULTILINE))
        for indent, language, text in _BLOCK.findall(guide.read_text(encoding="utf-8"))
    ]


def shown(text: str) -> re.Pattern[str]:
    """What is shown of an output, as a pattern: an ellipsis stands for anything.

    In a line of its own, for any lines.
    """
    lines = [re.escape(line.rstrip()).replace("…", ".*") for line in text.strip().splitlines()]
    pattern = "\n".join(f"{line} *" for line in lines).replace("\n.* *\n", "\n(?:.*\n)*?")
    pattern = re.sub(r"\n\.\* \*$", r"(?:\n.*)*", pattern)
    return re.compile(f"{pattern}\n*")


def run_command(text: str) -> None:
    command, _, expected = text.partition("\n")
    program, *arguments = shlex.split(command.removeprefix("$ "))
    assert program == "mynapoint"
    if arguments[0] in ELSEWHERE:
        assert not expected
        return
    said, noted = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(noted):
        call(arguments)
    # What verify found goes to stdout, what it looked at beside it.
    printed = said.getvalue() or noted.getvalue()
    assert shown(expected).fullmatch(printed), f"{command} printed\n{printed}"


def run_query(database: duckdb.DuckDBPyConnection, text: str) -> None:
    if "net_amount" in text:
        described = database.execute("DESCRIBE SELECT * FROM 'build/book/ledger/*.parquet'")
        if "net_amount" not in {name for name, *_ in described.fetchall()}:
            # Books of format 1 have no such column.
            return
    said = re.match(r"-- gives (no|\d+)? ?rows?\n", text)
    rows = database.execute(text).fetchall()
    if text.startswith("COPY"):
        return
    assert said, "a query says how many rows it gives"
    if said[1] is None:
        assert rows
    else:
        assert len(rows) == (0 if said[1] == "no" else int(said[1])), rows


@pytest.mark.parametrize("lang", GUIDES)
def test_all_that_the_guide_shows_can_be_typed_and_gives_what_it_says(
    lang: Lang, six_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "book").symlink_to(six_nights)
    monkeypatch.chdir(tmp_path)
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", LOCALES[lang])
    database = duckdb.connect()
    ran = []
    for language, text in blocks(GUIDES[lang]):
        if language == "console":
            run_command(text)
        elif language == "sql":
            run_query(database, text)
        else:
            exec(compile(text, str(GUIDES[lang]), "exec"), {})
        ran.append(language)
    assert min(ran.count(language) for language in ("console", "sql", "python")) >= 4


def checking_points(guide: Path) -> str:
    """The guide's statement that checks everybody's points."""
    [text] = [text for language, text in blocks(guide) if "net_amount" in text]
    return text


SIGNED = pl.when(pl.col("kind") == "refund").then(-pl.col("amount")).otherwise("amount")
LAST = pl.int_range(pl.len()) == pl.len() - 1
FAULTS: dict[str, pl.Expr | list[pl.Expr]] = {
    "a point too many": (pl.col("points") + LAST.cast(pl.Int64)).alias("points"),
    "points of nothing": pl.lit(1, pl.Int64).alias("points"),
    "another sum of points": (pl.col("points_after") - 1).alias("points_after"),
    "more counts than is spent": (pl.col("counted_amount") * 2).alias("counted_amount"),
    "less than nothing": (-pl.col("points")).alias("points"),
    "a gap in the numbers": (pl.col("entry_seq") + 1).alias("entry_seq"),
    "another net spend": (pl.col("net_spend_after") + 1).alias("net_spend_after"),
    # The sums agree, and are more than a quarter of what counts.
    "points beyond what counts": [
        pl.col("points") + 5000 * LAST.cast(pl.Int64),
        pl.col("points_after") + 5000 * LAST.cast(pl.Int64),
    ],
    "another net amount": (pl.col("net_amount") - LAST.cast(pl.Int64)).alias("net_amount"),
}


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_the_guides_statement_finds_points_that_do_not_follow_from_the_spending(
    six_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str | None
) -> None:
    ledger = pl.read_parquet(six_nights / "ledger" / "*.parquet")
    if "net_amount" not in ledger.columns:
        ledger = ledger.with_columns(net_amount=SIGNED)
    if fault is not None:
        person = ledger.filter(pl.col("points") > 0)["person_id"][0]
        of_person = pl.col("person_id") == person
        entries = ledger.filter(of_person).sort("entry_seq").with_columns(FAULTS[fault])
        ledger = pl.concat([ledger.filter(~of_person), entries.select(ledger.columns)])
    (tmp_path / "build" / "book" / "ledger").mkdir(parents=True)
    ledger.write_parquet(tmp_path / "build" / "book" / "ledger" / "000001-00000.parquet")
    monkeypatch.chdir(tmp_path)
    found = duckdb.connect().execute(checking_points(GUIDES["en"])).fetchall()
    assert bool(found) == (fault is not None)


def test_the_guides_statement_allows_recounts_and_voids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A void of 20,000 yen lets 4,000 yen count that the cap had cut, in another group."""
    columns = ("entry_seq", "kind", "net_amount", "counted_amount", "points")
    entries = [
        (1, "charge", 20_000, 20_000, 5_000),
        (2, "charge", 4_000, 0, 0),
        (3, "charge_void", -20_000, -20_000, -5_000),
        (4, "recount", 0, 4_000, 1_000),
    ]
    ledger = pl.DataFrame(entries, schema=columns, orient="row").with_columns(
        person_id=pl.lit("P1"),
        net_spend_after=pl.col("net_amount").cum_sum(),
        points_after=pl.col("points").cum_sum(),
    )
    (tmp_path / "build" / "book" / "ledger").mkdir(parents=True)
    ledger.write_parquet(tmp_path / "build" / "book" / "ledger" / "000001-00000.parquet")
    monkeypatch.chdir(tmp_path)
    assert duckdb.connect().execute(checking_points(GUIDES["ja"])).fetchall() == []


def test_the_two_guides_show_the_same() -> None:
    """In the same order; the Japanese one with Japanese outputs."""
    commands = {
        lang: [text.split("\n")[0] if language == "console" else text for language, text in both]
        for lang, both in ((lang, blocks(guide)) for lang, guide in GUIDES.items())
    }
    assert commands["en"] == commands["ja"]


@pytest.mark.parametrize("lang", GUIDES)
def test_the_guide_lists_every_reason_with_its_words_and_clause(lang: Lang) -> None:
    text = GUIDES[lang].read_text(encoding="utf-8")
    for code in (*oracle.DECLINE_REASONS, *oracle.ENROLLMENT_REASONS):
        clause = clause_of(code)
        quoted = f"〔{clause}〕" if clause else ""
        assert f"| `{code}` | {reason(code, lang).words} | {quoted} |" in text


@pytest.mark.parametrize("lang", GUIDES)
def test_the_guide_names_every_command_that_checks_a_book(lang: Lang) -> None:
    text = GUIDES[lang].read_text(encoding="utf-8")
    for command in (
        *("verify", "explain", "reconcile", "claim", "report", "simulate", "browse", "seal"),
        *("draw", "remarks", "diff", "workpapers"),
        *("pending", "due", "payout"),
    ):
        assert f"mynapoint {command}" in text
        assert command in ELSEWHERE or app[command] is not None
