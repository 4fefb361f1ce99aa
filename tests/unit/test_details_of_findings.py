"""What `verify` says of a finding is there in Japanese, too, whatever is found."""

import ast
import re
import string
import tomllib
from collections.abc import Iterator
from importlib.resources import files

import pytest
from deliveries import ROOT

from pipelines.shown.texts import Texts
from pipelines.verify.details import detail

VERIFY = ROOT / "pipelines" / "verify"
# Errors, and what evidence and output say, are not findings.
OTHERS = {"__init__.py", "evidence.py", "findings.py", "output.py", "command.py"}
SENTENCES = tomllib.loads(
    files("pipelines.shown.texts").joinpath("verify_details.toml").read_text("utf-8")
)
WORDS = {key for key in SENTENCES if key.startswith("word_")}


def bare(template: str) -> str:
    """A sentence with its gaps unnamed."""
    return "".join(
        f"{literal}{{}}" if name is not None else literal
        for literal, name, *_ in string.Formatter().parse(template)
    )


def said_in_code() -> Iterator[str]:
    for path in sorted(VERIFY.glob("*.py")):
        if path.name in OTHERS:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        passed_over = set()
        for node in ast.walk(tree):
            parts: list[ast.AST] = []
            if isinstance(node, ast.Raise):
                parts = [node]
            elif isinstance(node, ast.JoinedStr):
                parts = list(node.values)
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                parts = [node.value]
            elif isinstance(node, ast.FunctionDef) and node.name.startswith("_faults"):
                # Why a file that was named is not a claim: an error.
                parts = [node]
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InputError":
                parts = [node]
            passed_over |= {id(inner) for part in parts for inner in ast.walk(part)}
        for node in ast.walk(tree):
            if id(node) in passed_over:
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                text = "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "{}"
                    for part in node.values
                )
                yield re.sub(r"(payout_)?(runs/)?\{\}/record\.json|\{\}\.\{\}", "{}", text)


def said_in_sql() -> Iterator[str]:
    for path in sorted(VERIFY.glob("*.sql")):
        text = re.sub(r"--[^\n]*", "", path.read_text("utf-8"))
        yield from (said.replace("''", "'") for said in re.findall(r"'((?:[^']|'')*)'", text))


def sentences_said() -> set[str]:
    # In two words or more, and no SQL.
    said = {*said_in_code(), *said_in_sql()}
    return {
        text
        for text in said
        if re.search(r"[a-z}] [a-z]+", text)
        and not re.search(r"SELECT|FROM|JOIN|CASE|read_csv|DROP|DISTINCT", text)
    }


# Put together in SQL, or where they stand within others.
PIECES = {
    "the payout has another ": "payout_other",
    " than was owed": "payout_other",
    " points were owed (": "owed_not_instructed",
    ") and not instructed": "owed_not_instructed",
    " points were instructed and not owed": "instructed_not_owed",
    "; BOOK/index may be deleted, the next run makes it anew": "with_hint",
    "others than the owner may {} it (mode {})": "may_change",
    "decided again, the run leaves {}{}": "again_leaves",
}
# Names of figures, what decides between two sentences, and how Arrow names itself.
NOT_SAID = {
    "parquet-cpp-arrow version ",
    *("the enrollment that it was booked for", "the enrollment%"),
    "counts.quarantined, enrollments and events included,",
}


def test_every_sentence_of_a_finding_has_its_japanese() -> None:
    known = {bare(sentence["en"]) for sentence in SENTENCES.values()}
    assert set(PIECES.values()) <= set(SENTENCES)
    unknown = sentences_said() - known - set(PIECES) - NOT_SAID
    assert unknown == set()


def test_no_sentence_is_kept_that_no_finding_says() -> None:
    texts = "\n".join({*said_in_code(), *said_in_sql()})
    for key, sentence in SENTENCES.items():
        if key in WORDS or key in PIECES.values() or key in {"key_twice", "may_read"}:
            continue
        if key not in {"again_leaves_no", "again_column", "a_stop"}:
            assert bare(sentence["en"]) in texts, key


def test_every_kind_of_finding_has_a_name() -> None:
    kinds: set[str] = set()
    for path in VERIFY.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in ("Finding", "found", "_found"):
                    kinds.add(str(node.args[0].value))
    first = r"(?:SELECT|THEN)(?: DISTINCT)?\s+'([a-z_]+)'(?:,| AS kind)"
    for path in VERIFY.glob("*.sql"):
        kinds |= set(re.findall(first, path.read_text("utf-8")))
    kinds = {kind for kind in kinds if " " not in kind}
    assert {"not_void", "points_sum", "payout_twice", "cut_off", "answer"} <= kinds
    t = Texts("verify", "ja")
    for kind in kinds:
        assert t(f"kind_{kind}")


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (
            "decided again, the entry is another: points: ledger 4, deliveries 7; method",
            "再判定では記帳の内容が異なる: points は台帳 4、受信ファイル 7、method",
        ),
        (
            "no run has made this; BOOK/index may be deleted, the next run makes it anew",
            "どの回も作っていない。BOOK/index は削除してよく、次回の実行時に作り直される",
        ),
        ("the file is missing", "ファイルがない"),
        ("counts.read is missing", "counts.read がない"),
        ("the entry stands against a stop", "付与の停止があるが、記帳が取り消されていない"),
        (
            "12 rows of transactions were read, 11 are accounted for",
            "取引の 件数 は読込 12 に対し、行き先が分かるのは 11",
        ),
        ("something that nobody has said before", "something that nobody has said before"),
    ],
)
def test_what_is_filled_in_stands_in_the_japanese_too(what: str, says: str) -> None:
    assert detail(what, "ja") == says
    assert detail(what, "en") == what
