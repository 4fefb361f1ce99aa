"""`mynapoint verify`: a clean book has no findings, and every planted defect is one.

Defects that their sha256s give away are planted as they are. To see that the ledger is really
recalculated, the others are planted by a forger who writes every digest, total, record and commit
anew: then nothing but the arithmetic, or the deliveries, can tell.
"""

import datetime as dt
import hashlib
import io
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from against_the_oracle import BookedWorld
from deliveries import ROOT
from forger import PERSON, Forger, log_of

import mynapoint
from engine.errors import InputError
from engine.io.book.folder import Book
from pipelines.cli import call
from pipelines.verify import Verified, verify
from pipelines.verify.commits import Commits

SAMPLE = ROOT / "sample_data"
NIGHTS = 3


def booked(book: Path, nights: int, rows_per_slice: int, **options: Any) -> Path:
    for number in range(1, nights + 1):
        folder = SAMPLE / f"night-{number:03}"
        mynapoint.run(
            book,
            booked_on=dt.date(2021, 3, number),
            transactions=[str(folder / "transactions-*")],
            enrollments=[folder / "enrollments.csv"],
            rows_per_slice=rows_per_slice,
            **options,
        )
    return book


@pytest.fixture(scope="module")
def sample_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's first nights, several ledger files each; with an index of all but the last."""
    return booked(tmp_path_factory.mktemp("sample") / "book", NIGHTS, 150)


@pytest.fixture
def book(sample_book: Path, tmp_path: Path) -> Path:
    """A copy to do harm to."""
    return Path(shutil.copytree(sample_book, tmp_path / "book"))


def found(verified: Verified) -> set[tuple[str, int]]:
    return {(finding.kind, finding.promise) for finding in verified.findings}


def lines(verified: Verified) -> str:
    return "\n".join(finding.line(show_ids=True) for finding in verified.findings)


def files_of(book: Path) -> list[str]:
    """Every file of ledger/ and runs/, by its name in the book."""
    paths = [*(book / "ledger").rglob("*"), *(book / "runs").rglob("*")]
    return sorted(path.relative_to(book).as_posix() for path in paths if path.is_file())


def flip(path: Path, at: int, by: int = 0xFF) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= by
    path.write_bytes(data)


GIVEN: dict[str, Any] = {
    "transactions": [str(SAMPLE / "night-*" / "transactions-*")],
    "enrollments": [str(SAMPLE / "night-*" / "enrollments.csv")],
}


def verify_origin(book: Path) -> Verified:
    """With all nights' deliveries, also those that a book of fewer nights does not have."""
    return verify(book, **GIVEN, also_unbooked=True)


def after(name: str) -> pl.Expr:
    return pl.col(name).shift(-1).over(PERSON)


def test_a_book_whose_runs_are_all_gone_is_not_proven(book: Path) -> None:
    for name in ("ledger", "runs", "index"):
        shutil.rmtree(book / name)
    (book / ".acknowledged").write_text("0\n")
    with pytest.raises(InputError, match="no run is in this book") as caught:
        verify_origin(book)
    assert caught.value.code == "no_book"


# --- A clean book ---------------------------------------------------------------------------------


def test_the_sample_has_no_findings_and_its_origin_is_proven(six_nights: Path) -> None:
    verified = verify(six_nights, **GIVEN, events=[str(SAMPLE / "night-*" / "events.csv")])
    assert not verified.findings, lines(verified)
    assert verified.checked == ("bytes", "arithmetic", "origin")
    assert (verified.runs, verified.unused) == (6, 0)


@pytest.mark.parametrize("seed", range(10))
def test_a_random_world_has_no_findings(
    seed: int, booked_world: Callable[[int], BookedWorld]
) -> None:
    booked = booked_world(seed)
    # To decide a run again takes as long as the run: a third of the worlds proves it.
    deliveries: dict[str, Any] = booked.delivered if seed % 3 == 0 else {}
    verified = verify(booked.book, **deliveries)
    assert not verified.findings, lines(verified)
    assert verified.checked == ("bytes", "arithmetic", "origin")[: 3 if seed % 3 == 0 else 2]


def test_a_forged_book_without_a_defect_has_no_findings(book: Path) -> None:
    forger = Forger(book)
    forger.carry(counted=True)
    forger.write()
    verified = verify(book)
    assert not verified.findings, lines(verified)


def test_a_book_that_was_moved_and_lost_its_index_has_no_findings(
    book: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "a [glob]* ?"
    book.rename(moved)
    shutil.rmtree(moved / "index")
    (moved / ".lock").unlink()
    verified = verify(moved)
    assert not verified.findings, lines(verified)


# --- Bytes ----------------------------------------------------------------------------------------


def test_a_flipped_byte_in_any_file_is_found_and_the_file_named(book: Path) -> None:
    # Every night has files of each kind: one is flipped at its start, one in the middle, one at
    # its end.
    by_kind: dict[str, list[str]] = {}
    for name in files_of(book):
        by_kind.setdefault(re.sub(r"\d+", "", name), []).append(name)
    for names in by_kind.values():
        for number, name in enumerate(names):
            path = book / name
            sound = path.read_bytes()
            last = len(sound) - 1
            at, by = ((0, 0xFF), (len(sound) // 2, 0x01), (last, 0x20))[number % 3]
            flip(path, at, by)
            verified = verify(book)
            assert name in {finding.where for finding in verified.findings}, (name, at, by)
            assert 5 in {finding.promise for finding in verified.findings}
            path.write_bytes(sound)
    assert not verify(book).findings


def test_a_flipped_byte_in_the_last_commit_is_found_wherever_it_is(book: Path) -> None:
    """But for the lower digits of two instants, which nothing else in the book knows."""
    record = Book(book).record(NIGHTS)
    path = book / "runs" / record.run_id / "record.json"
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    people = {}
    for part in sorted((book / "ledger").glob(f"{NIGHTS:06}-*")):
        ids = pl.read_parquet(part)[PERSON]
        people[f"ledger/{part.name}"] = (ids[0], ids[-1])
    commits = Commits(book / "ledger" / "_delta_log")
    commit = log_of(book)[-1]
    sound = commit.read_bytes()
    assert not list(commits.check(NIGHTS, record, sha256, people))
    missed = set()
    for at in range(len(sound)):
        flip(commit, at, 0x01)
        # The commit before knows what this one should name it.
        own, before = commits.check(NIGHTS, record, sha256, people), commits.check(NIGHTS - 1)
        if not list(own) and "the next commit" not in str(list(before)):
            missed.add(at)
        commit.write_bytes(sound)
    instants = re.finditer(rb'"(?:timestamp|modificationTime)":([0-9]{13})', sound)
    unknown = {at for instant in instants for at in range(*instant.span(1))}
    assert missed < unknown
    assert len(missed) < len(sound) / 10


def test_a_missing_file_is_found(book: Path) -> None:
    for name in files_of(book):
        sound = (book / name).read_bytes()
        (book / name).unlink()
        verified = verify(book)
        assert verified.findings, name
        if not name.endswith(f"{NIGHTS - 1:020}.json"):
            assert name in {finding.where for finding in verified.findings}, name
            assert {5, 2} & {finding.promise for finding in verified.findings}
        (book / name).write_bytes(sound)
    assert not verify(book).findings


@pytest.mark.parametrize(
    "name",
    [
        "ledger/000003-00099.parquet",
        "ledger/notes.txt",
        "ledger/_delta_log/00000000000000000002.checkpoint.parquet",
        "ledger/_delta_log/_last_checkpoint",
        "runs/000002/declined.csv",
        "runs/notes.txt",
        "ledger/folder/file",
    ],
)
def test_an_added_file_is_found(book: Path, name: str) -> None:
    (book / name).parent.mkdir(exist_ok=True)
    shutil.copy(book / "ledger" / "000002-00000.parquet", book / name)
    verified = verify(book)
    assert ("unknown", 5) in found(verified)
    assert name in {finding.where for finding in verified.findings}


def test_a_zeroed_file_is_found_also_when_its_record_says_zeros(book: Path) -> None:
    path = book / "ledger" / "000002-00000.parquet"
    sound = path.read_bytes()
    path.write_bytes(bytes(len(sound)))
    assert found(verify(book)) >= {("changed", 5), ("not_recalculated", 5)}
    path.write_bytes(sound)
    forger = Forger(book)
    path.write_bytes(bytes(len(sound)))
    forger.forge()
    assert found(verify(book)) == {("changed", 5)}


def test_a_commit_removed_from_the_end_of_the_log_is_found(book: Path) -> None:
    log_of(book)[-1].unlink()
    verified = verify(book)
    assert ("uncommitted", 2) in found(verified)
    text = lines(verified)
    assert f"runs/{NIGHTS:06}: run {NIGHTS:06} has no commit" in text
    assert f"ledger/{NIGHTS:06}-00000.parquet" in text
    assert "a run died" in text
    assert "removed from the log" in text


def test_two_commits_removed_are_told_by_the_index_too(book: Path) -> None:
    for commit in log_of(book)[-2:]:
        commit.unlink()
    assert found(verify(book)) >= {("uncommitted", 2), ("index", 5)}


def test_a_commit_removed_from_the_middle_of_the_log_is_found(book: Path) -> None:
    log_of(book)[1].unlink()
    assert ("missing", 2) in found(verify(book))


def test_a_commit_that_removes_a_file_is_found(book: Path) -> None:
    commit = log_of(book)[-1]
    action = {"remove": {"path": "000001-00000.parquet", "dataChange": True}}
    commit.write_text(commit.read_text() + "\n" + json.dumps(action, separators=(",", ":")))
    assert found(verify(book)) >= {("removed", 3), ("changed", 5)}


def edit_record(book: Path, number: int, edit: Callable[[dict[str, Any]], object]) -> None:
    path = book / "runs" / f"{number:06}" / "record.json"
    record = json.loads(path.read_bytes())
    edit(record)
    path.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", "utf-8")


@pytest.mark.parametrize("number", [1, 3, NIGHTS])
def test_an_edited_record_is_found(book: Path, number: int) -> None:
    edit_record(book, number, lambda record: record["engine"].update(python="3.11.99"))
    verified = verify(book)
    assert ("record", 5) in found(verified)
    assert {finding.where for finding in verified.findings} >= {f"runs/{number:06}/record.json"}


@pytest.mark.parametrize(
    "edit",
    [
        lambda record: record["counts"].update(people=1),
        lambda record: record["counts"].update(people_at_the_cap=1),
        lambda record: record["counts"].update(quarantined=record["counts"]["quarantined"] + 1),
        lambda record: record["yen"].update(booked=record["yen"]["booked"] + 1),
        lambda record: record["points"].update(awarded=record["points"]["awarded"] + 1),
        lambda record: record["points"].update(reversed=0),
        lambda record: record["counts"]["declined"].update(duplicate=0),
        lambda record: record["yen"]["declined"].update(not_enrolled=7),
        lambda record: record["counts"]["enrollments"]["rejected"].update(applied_late=99),
        lambda record: record["counts"]["enrollments"].update(accepted=1),
        lambda record: record["inputs"][0].update(rows=1),
    ],
)
def test_a_total_that_does_not_add_up_is_found(
    book: Path, edit: Callable[[dict[str, Any]], object]
) -> None:
    edit_record(book, NIGHTS, edit)
    commit = log_of(book)[-1]
    record = book / "runs" / f"{NIGHTS:06}" / "record.json"
    first, rest = commit.read_text("utf-8").split("\n", 1)
    action = json.loads(first)
    action["commitInfo"]["record_sha256"] = hashlib.sha256(record.read_bytes()).hexdigest()
    commit.write_text(json.dumps(action, ensure_ascii=False, separators=(",", ":")) + "\n" + rest)
    assert found(verify(book)) in ({("totals", 4)}, {("record", 4)}, {("record", 4), ("totals", 4)})


@pytest.mark.parametrize("edit", ["missing", "unknown", "type"])
def test_a_record_of_another_shape_is_found(book: Path, edit: str) -> None:
    def do(record: dict[str, Any]) -> None:
        if edit == "missing":
            del record["points"]
        elif edit == "unknown":
            record["remark"] = "looks fine"
        else:
            record["outputs"] = {}

    edit_record(book, NIGHTS, do)
    assert found(verify(book)) >= {("record", 5), ("not_recalculated", 5)}


# --- Index ----------------------------------------------------------------------------------------


def index_files(book: Path) -> Iterator[Path]:
    yield from sorted((book / "index").iterdir())


def tamper(path: Path) -> None:
    sound = path.read_bytes()
    if path.suffix == ".arrow":
        pl.read_ipc(io.BytesIO(sound)).reverse().write_ipc(path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(json.loads(sound) | {"first_month": 0}))
    elif not sound:
        path.write_bytes(b"\0")
    else:
        flip(path, len(sound) - 1, 0x01)


def test_tampered_files_of_an_index_are_all_found(book: Path) -> None:
    sound = {path: path.read_bytes() for path in index_files(book)}
    manifest = book / "index" / "manifest.json"
    others = sorted(sound.keys() - {manifest})
    # Twenty findings are shown. With another manifest, nothing is known of the others.
    for tampered in (others[::2], others[1::2], [manifest]):
        for path in tampered:
            tamper(path)
        verified = verify(book)
        assert found(verified) == {("index", 5)}
        assert {finding.where for finding in verified.findings} == {
            f"index/{path.name}" for path in tampered
        }
        for path in tampered:
            path.write_bytes(sound[path])
    assert not verify(book).findings


def test_an_index_with_a_missing_file_or_of_another_book_is_found(
    book: Path, tmp_path: Path
) -> None:
    manifest = book / "index" / "manifest.json"
    sound = manifest.read_text()
    state = next((book / "index").glob("state-*"))
    state.rename(tmp_path / "state")
    assert found(verify(book)) == {("index", 5)}
    (tmp_path / "state").rename(state)
    manifest.write_text(sound.replace('"last_record": "', '"last_record": "0'))
    assert found(verify(book)) == {("index", 5)}
    manifest.write_text("{")
    assert found(verify(book)) == {("index", 5)}


# --- Arithmetic -----------------------------------------------------------------------------------


def only_arithmetic_sees(book: Path, kind: str, promise: int, where: str | None = None) -> Verified:
    verified = verify(book)
    assert (kind, promise) in found(verified), lines(verified)
    byte_kinds = {"changed", "missing", "unknown", "uncommitted", "record", "not_recalculated"}
    assert not byte_kinds & set(verified.findings.totals), lines(verified)
    if where is not None:
        assert where in {f"{finding.where} {finding.row}" for finding in verified.findings}, lines(
            verified
        )
    return verified


def place_of(forger: Forger, entry: dict[str, Any]) -> str:
    part = forger.ledger.filter(pl.col("part") == entry["part"])
    row = part["place"].to_list().index(entry["place"]) + 1
    return f"ledger/{entry['part']} {row}"


def test_a_changed_point_is_found_by_the_arithmetic_alone(book: Path) -> None:
    forger = Forger(book)
    entry = forger.entry(pl.col("run_id") == "000003", pl.col("points") > 10)
    forger.set(entry["place"], points=entry["points"] + 1)
    forger.carry()
    forger.write()
    verified = only_arithmetic_sees(book, "points", 4, place_of(forger, entry))
    points_finding = next(finding for finding in verified.findings if finding.kind == "points")
    assert (
        points_finding.what == f"points are {entry['points'] + 1}, recalculated {entry['points']}"
    )


def test_a_point_moved_to_a_later_entry_is_found(book: Path) -> None:
    """The person's sum in the end is right, which must not be enough."""
    forger = Forger(book)
    later = pl.col("points").shift(-1).over(PERSON)
    entry = forger.entry(pl.col("points") > 10)
    entry = (
        forger.ledger.with_columns(later=later)
        .filter(pl.col("points") > 10, pl.col("later") > 10)
        .row(0, named=True)
    )
    forger.set(entry["place"], points=entry["points"] - 1)
    follower = forger.entry(
        pl.col(PERSON) == entry[PERSON], pl.col("entry_seq") == entry["entry_seq"] + 1
    )
    forger.set(follower["place"], points=follower["points"] + 1)
    forger.carry()
    forger.write()
    only_arithmetic_sees(book, "points", 4)


@pytest.mark.parametrize(
    ("column", "kind"), [("points_after", "points_sum"), ("net_spend_after", "net_spend")]
)
def test_a_changed_running_sum_is_found(book: Path, column: str, kind: str) -> None:
    forger = Forger(book)
    entry = forger.entry(pl.col("run_id") == "000002")
    forger.set(entry["place"], **{column: entry[column] - 1})
    forger.write()
    only_arithmetic_sees(book, kind, 4, place_of(forger, entry))


def test_a_dropped_entry_is_found(book: Path) -> None:
    forger = Forger(book)
    entry = forger.entry(pl.col("run_id") == "000002", after("run_id") == "000002")
    forger.ledger = forger.ledger.filter(pl.col("place") != entry["place"])
    forger.write()
    only_arithmetic_sees(book, "numbering", 1)


def test_a_dropped_last_entry_is_found_by_the_next_night(book: Path) -> None:
    forger = Forger(book)
    entry = forger.entry(pl.col("run_id") == "000002", after("run_id") == "000003")
    forger.ledger = forger.ledger.filter(pl.col("place") != entry["place"])
    forger.write()
    only_arithmetic_sees(book, "numbering", 1)


def test_a_swapped_order_is_found(book: Path) -> None:
    forger = Forger(book)
    spending = pl.col("kind") != "refund"
    entry = forger.ledger.filter(
        pl.col("run_id") == "000002",
        spending,
        (after("run_id") == "000002") & (after("kind") != "refund"),
        after("occurred_at") > pl.col("occurred_at"),
    ).row(0, named=True)
    other = forger.ledger.row(entry["place"] + 1, named=True)
    swapped = ("transaction_id", "occurred_at", "kind", "amount", "method")
    assert entry[PERSON] == other[PERSON]
    forger.set(entry["place"], **{name: other[name] for name in swapped})
    forger.set(other["place"], **{name: entry[name] for name in swapped})
    forger.carry(counted=True)
    forger.write()
    only_arithmetic_sees(book, "order", 1, place_of(forger, other))


def test_rows_that_are_not_sorted_are_found(book: Path) -> None:
    forger = Forger(book)
    part = forger.parts[0]
    rows = forger.ledger.filter(pl.col("part") == part)
    half = rows.height // 2
    cut = rows[half:].filter(pl.col(PERSON) != rows[half - 1, PERSON])
    rest = forger.ledger.filter(pl.col("part") != part)
    head = rows.filter(~pl.col("place").is_in(cut["place"].implode()))
    forger.ledger = pl.concat([cut, head, rest])
    forger.write()
    only_arithmetic_sees(book, "sorting", 1)


def test_people_who_stand_in_two_files_of_a_run_are_found(book: Path) -> None:
    forger = Forger(book)
    second = forger.parts[1]
    several = forger.ledger.filter(pl.col("part") == forger.parts[0], after("part").is_not_null())
    person = several.filter(after("run_id") == "000001").row(-1, named=True)[PERSON]
    of_person = forger.ledger.filter(pl.col(PERSON) == person, pl.col("run_id") == "000001")
    behind = pl.col(PERSON) >= person
    moves = (
        behind & (pl.col("part") == forger.parts[0]) & (pl.col("place") != of_person["place"][0])
    )
    part = pl.when(moves).then(pl.lit(second)).otherwise("part").alias("part")
    forger.ledger = forger.ledger.with_columns(part)
    forger.write()
    only_arithmetic_sees(book, "sorting", 1, f"ledger/{second} 1")


def test_an_entry_past_the_cap_is_found(book: Path) -> None:
    forger = Forger(book)
    entry = forger.entry(
        pl.col("kind") != "refund", pl.col("counted_amount") == 0, pl.col("amount") > 400
    )
    forger.set(entry["place"], counted_amount=400, points=entry["points"] + 100)
    forger.carry()
    forger.write()
    verified = only_arithmetic_sees(book, "counted", 4, place_of(forger, entry))
    assert ("too_much", 4) in found(verified)


def test_a_doubled_entry_is_found(book: Path) -> None:
    forger = Forger(book)
    doubled = forger.ledger.filter(pl.col("run_id") == "000003", after("run_id").is_null())[:1]
    forger.ledger = pl.concat([forger.ledger, doubled]).sort("place", maintain_order=True)
    forger.carry(counted=True)
    forger.write()
    only_arithmetic_sees(book, "twice", 3)


def test_an_entry_doubled_in_a_later_run_is_found(book: Path) -> None:
    forger = Forger(book)
    person = forger.entry(pl.col("run_id") == "000003", pl.col("entry_seq") > 1)
    first = forger.entry(pl.col(PERSON) == person[PERSON], pl.col("kind") != "refund")
    assert first["run_id"] < "000003"
    names = ("transaction_id", "service_id", "account_id", "occurred_at", "kind", "amount")
    forger.set(person["place"], original_transaction_id=None, **{n: first[n] for n in names})
    forger.carry(counted=True)
    forger.write()
    only_arithmetic_sees(book, "twice", 3, place_of(forger, person))


def a_refund(forger: Forger) -> tuple[dict[str, Any], dict[str, Any]]:
    """A refund, and its original."""
    for refund in forger.ledger.filter(pl.col("kind") == "refund").iter_rows(named=True):
        original = forger.entry(
            pl.col("transaction_id") == refund["original_transaction_id"],
            pl.col("service_id") == refund["service_id"],
        )
        if original["occurred_at"].date() < refund["occurred_at"].date():
            return refund, original
    raise AssertionError


def test_a_refund_beyond_its_original_is_found(book: Path) -> None:
    forger = Forger(book)
    refund, original = a_refund(forger)
    forger.set(refund["place"], amount=original["amount"] + 1)
    forger.carry(counted=True)
    forger.write()
    only_arithmetic_sees(book, "refund", 4, place_of(forger, refund))


def test_refunds_that_together_exceed_their_original_are_found(book: Path) -> None:
    forger = Forger(book)
    refund, original = a_refund(forger)
    forger.set(original["place"], amount=refund["amount"])
    follower = forger.entry(
        pl.col(PERSON) == refund[PERSON],
        pl.col("entry_seq") > refund["entry_seq"],
        pl.col("service_id") == refund["service_id"],
    )
    forger.set(
        follower["place"],
        kind="refund",
        original_transaction_id=original["transaction_id"],
        amount=1,
    )
    forger.carry(counted=True)
    forger.write()
    only_arithmetic_sees(book, "refund", 4, place_of(forger, follower))


@pytest.mark.parametrize("name", ["gone", None])
def test_a_refund_without_its_original_or_of_a_refund_is_found(
    book: Path, name: str | None
) -> None:
    forger = Forger(book)
    refund, _ = a_refund(forger)
    forger.set(refund["place"], original_transaction_id=name or refund["transaction_id"])
    forger.write()
    only_arithmetic_sees(book, "refund", 4, place_of(forger, refund))


def test_a_refund_before_its_original_in_time_is_found(book: Path) -> None:
    forger = Forger(book)
    refund, original = a_refund(forger)
    forger.set(refund["place"], occurred_at=original["occurred_at"] - dt.timedelta(seconds=1))
    forger.write()
    only_arithmetic_sees(book, "refund", 4, place_of(forger, refund))


def test_a_refund_of_another_account_than_its_original_is_found(book: Path) -> None:
    forger = Forger(book)
    refund, original = a_refund(forger)
    other = forger.entry(pl.col(PERSON) != refund[PERSON], pl.col("kind") != "refund")
    moved = ("service_id", "account_id")
    forger.set(original["place"], **{name: other[name] for name in moved})
    forger.set(refund["place"], service_id=other["service_id"])
    forger.write()
    verified = only_arithmetic_sees(book, "refund", 4, place_of(forger, refund))
    assert "of another account" in lines(verified)


def change_file(book: Path, name: str, old: str, new: str) -> None:
    path = book / "runs" / name
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


@pytest.mark.parametrize("rounding", ["month", "transaction"])
def test_points_of_a_wrong_rounding_group_are_found(tmp_path: Path, rounding: str) -> None:
    """The runs kept one rounding, the points are those of another."""
    book = tmp_path / "book"
    services = tmp_path / "services.toml"
    listed = (
        SAMPLE / "night-001"
    ).parent.parent / "engine/terms/service_registries/japan-2020.toml"
    text = (
        listed.read_text("utf-8")
        .replace('rounding = "month"', "")
        .replace('rounding = "transaction"', "")
    )
    services.write_text(text, "utf-8")
    for number in (1, 2):
        folder = SAMPLE / f"night-{number:03}"
        mynapoint.run(
            book,
            booked_on=dt.date(2021, 3, number),
            transactions=[str(folder / "transactions-*")],
            enrollments=[folder / "enrollments.csv"],
            services=services,
        )
    assert not verify(book).findings
    shutil.rmtree(book / "index")
    for number in (1, 2):
        kept = book / "runs" / f"{number:06}" / "services.toml"
        kept.write_text(
            text.replace("[[services]]\n", f'[[services]]\nrounding = "{rounding}"\n'), "utf-8"
        )
    Forger(book).forge()
    only_arithmetic_sees(book, "points", 4)


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("programme.toml", "window_first = 2020-09-01", "window_first = 2021-03-01", "window"),
        ("programme.toml", "window_last = 2021-09-30", "window_last = 2020-12-01", "window"),
        ("services.toml", 'basis = "purchase"', 'basis = "charge"', "of the kind that earns"),
        (
            "services.toml",
            "[[services]]\n",
            "[[services]]\nawards_close_on = 2020-10-10\n",
            "after",
        ),
        (
            "services.toml",
            "[[services]]\n",
            '[[services]]\nexcluded_methods = ["cash"]\n',
            "excludes",
        ),
        ("services.toml", 'service_id = "', 'service_id = "x', "do not have this service"),
        ("programme.toml", "spending_yen = 20_000", "spending_yen = 20_001", "counted_amount"),
        ("programme.toml", "numerator = 25", "numerator = 26", "points are"),
    ],
)
def test_entries_that_the_kept_terms_do_not_allow_are_found(
    book: Path, file: str, old: str, new: str, expected: str
) -> None:
    forger = Forger(book)
    name = f"{NIGHTS:06}/{file}"
    if new.startswith("[["):
        path = book / "runs" / name
        text = "\n".join(
            line
            for line in path.read_text("utf-8").split("\n")
            if not line.startswith(("awards_close_on", "excluded_methods"))
        )
        path.write_text(text, "utf-8")
    change_file(book, name, old, new)
    record = book / "runs" / f"{NIGHTS:06}" / "record.json"
    if "window" in old:
        key, day = new.split(" = ")
        value = json.loads(record.read_bytes())
        value["programme"]["terms"][key] = day
        record.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", "utf-8")
    forger.forge()
    verified = verify(book)
    assert expected in lines(verified)
    assert {finding.promise for finding in verified.findings} == {4}
    # By other terms, rows of earlier runs could be booked.
    places = {finding.where for finding in verified.findings if finding.kind != "not_booked"}
    assert all(place.startswith((f"ledger/{NIGHTS:06}", f"runs/{NIGHTS:06}")) for place in places)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("programme.toml", "numerator = 25", "numerator = 25.5"),
        ("programme.toml", "numerator = 25", 'numerator = "25"'),
        ("programme.toml", "denominator = 100", "denominator = -100"),
        ("programme.toml", "spending_yen = 20_000", "spending_yen = 99999999999999999999"),
        ("services.toml", 'basis = "purchase"', "basis = 1"),
    ],
)
def test_kept_terms_that_no_run_can_have_had_are_found(
    book: Path, file: str, old: str, new: str
) -> None:
    forger = Forger(book)
    change_file(book, f"{NIGHTS:06}/{file}", old, new)
    forger.forge()
    assert ("terms", 5) in found(verify(book))


def test_entries_from_before_an_application_or_without_one_are_found(book: Path) -> None:
    forger = Forger(book)
    path = book / "runs" / "000001" / "accepted_enrollments.parquet"
    table = pq.read_table(path)
    frame = pl.DataFrame(table)
    who = forger.entry(pl.col("run_id") == "000001", pl.col("kind") != "refund")
    of_person = pl.col(PERSON) == who[PERSON]
    late = frame.with_columns(
        pl.when(of_person).then(pl.col("applied_at").dt.offset_by("1y")).otherwise("applied_at")
    )
    for changed, expected in (
        (late, "before the application"),
        (frame.filter(~of_person), "no accepted enrollment"),
    ):
        pq.write_table(changed.to_arrow().cast(table.schema), path, store_schema=False)
        forger.forge()
        record = path.with_name("record.json")
        value = json.loads(record.read_bytes())
        value["counts"]["enrollments"]["accepted"] = changed.height
        record.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", "utf-8")
        forger.forge()
        verified = verify(book)
        assert ("not_eligible", 4) in found(verified)
        assert expected in lines(verified)


def test_an_account_that_was_accepted_twice_is_found(book: Path) -> None:
    forger = Forger(book)
    path = book / "runs" / "000002" / "accepted_enrollments.parquet"
    table = pq.read_table(path)
    first = pq.read_table(book / "runs" / "000001" / "accepted_enrollments.parquet").slice(0, 1)
    frame = pl.concat([pl.DataFrame(table), pl.DataFrame(first)])
    pq.write_table(frame.to_arrow().cast(table.schema), path, store_schema=False)
    forger.forge()
    assert ("enrolled_twice", 3) in found(verify(book))


def test_an_entry_that_breaks_its_declaration_is_found(book: Path) -> None:
    for changes in ({"booked_on": dt.date(2020, 1, 1)}, {"kind": "gift"}, {"account_id": "a\tb"}):
        forger = Forger(book)
        entry = forger.entry(pl.col("run_id") == "000002", pl.col("kind") != "refund")
        forger.set(entry["place"], **changes)
        forger.write()
        only_arithmetic_sees(book, "entry", 4, place_of(forger, entry))
        forger.set(entry["place"], **{name: entry[name] for name in changes})
        forger.write()


def test_a_ledger_file_with_other_columns_is_found(book: Path) -> None:
    forger = Forger(book)
    path = book / "ledger" / "000002-00000.parquet"
    pl.read_parquet(path).with_columns(remark=pl.lit("")).write_parquet(path)
    forger.forge()
    assert ("changed", 5) in found(verify(book))


def test_of_many_findings_of_a_kind_twenty_are_shown_and_all_are_counted(book: Path) -> None:
    forger = Forger(book)
    forger.ledger = forger.ledger.with_columns(points=pl.col("points") + 1)
    forger.carry()
    forger.write()
    verified = verify(book)
    assert verified.findings.totals["points"] == forger.ledger.height
    assert sum(finding.kind == "points" for finding in verified.findings) == 20
    assert verified.findings.untold()["points"] == forger.ledger.height


# --- Origin ---------------------------------------------------------------------------------------


def test_a_changed_row_of_a_forged_book_is_found_by_its_origin_alone(book: Path) -> None:
    forger = Forger(book)
    entry = forger.entry(pl.col("run_id") == "000003", pl.col("method").is_null())
    forger.set(entry["place"], method="bank")
    forger.write()
    assert not verify(book).findings
    verified = verify_origin(book)
    assert found(verified) == {("other_entry", 1)}
    (finding,) = verified.findings
    assert f"{finding.where} {finding.row}" == place_of(forger, entry)
    assert (
        finding.what == "decided again, the entry is another: method: ledger bank, deliveries none"
    )


def test_a_row_missing_from_the_end_of_a_forged_book_is_found_by_its_origin(book: Path) -> None:
    """The arithmetic cannot know of a person's last entry."""
    forger = Forger(book)
    entry = forger.entry(after("run_id").is_null(), pl.col("kind") != "refund")
    asked = forger.ledger["original_transaction_id"].to_list()
    assert entry["transaction_id"] not in asked
    forger.ledger = forger.ledger.filter(pl.col("place") != entry["place"])
    forger.write()
    assert not verify(book).findings
    verified = verify_origin(book)
    assert found(verified) == {("other_entry", 1), ("other_record", 1)}
    assert "the ledger does not have it" in lines(verified)


def test_changed_rows_of_the_other_tables_are_found_by_their_origin(book: Path) -> None:
    forger = Forger(book)
    changes = {
        "declined": pl.col("account_id") + "x",
        "quarantine": pl.col("raw") + "x",
        "rejected_enrollments": pl.col("account_id") + "x",
        "accepted_enrollments": pl.col("card_applied_on").dt.offset_by("-1d"),
    }
    paths = {table: book / "runs" / "000001" / f"{table}.parquet" for table in changes}
    for table, changed in changes.items():
        kept = pq.read_table(paths[table])
        rest = pl.int_range(pl.len()) > 0
        name = changed.meta.root_names()[0]
        expression = pl.when(rest).then(name).otherwise(changed).alias(name)
        frame = pl.DataFrame(kept).with_columns(expression)
        pq.write_table(frame.to_arrow().cast(kept.schema), paths[table], store_schema=False)
    forger.forge()
    assert not verify(book).findings
    verified = verify_origin(book)
    assert found(verified) == {("other_row", 1)}
    # Each row as it is, and each as it should be.
    assert verified.findings.totals["other_row"] == 2 * len(changes)
    assert {finding.where for finding in verified.findings} == {
        f"runs/000001/{table}.parquet" for table in changes
    }


def test_a_missing_delivery_is_named_with_its_run(book: Path) -> None:
    verified = verify(
        book,
        transactions=[str(SAMPLE / "night-00[13]" / "transactions-*")],
        enrollments=GIVEN["enrollments"],
        also_unbooked=True,
    )
    assert found(verified) == {("delivery", 4), ("not_decided_again", 5)}
    named = [finding for finding in verified.findings if finding.kind == "delivery"]
    assert {finding.where for finding in named} == {"runs/000002/record.json"}
    assert all("transactions-" in finding.what for finding in named)
    assert "origin" not in verified.checked


def test_a_delivery_that_is_in_no_run_is_told(book: Path, tmp_path: Path) -> None:
    extra = tmp_path / "extra.csv"
    extra.write_text("transaction_id\n")
    given = [*GIVEN["transactions"], extra]
    verified = verify(
        book, transactions=given, enrollments=GIVEN["enrollments"], also_unbooked=True
    )
    assert not verified.findings
    # And those of the nights that this book does not have.
    assert verified.unused == 1 + verify_origin(book).unused
    assert verified.findings.remark_totals["unbooked"] == verified.unused


def test_a_delivery_that_no_run_has_booked_is_a_finding_unless_it_is_allowed(
    book: Path, tmp_path: Path
) -> None:
    extra = tmp_path / "extra.csv"
    extra.write_text("transaction_id\n")
    nights = [SAMPLE / f"night-{number:03}" for number in range(1, NIGHTS + 1)]
    verified = verify(
        book,
        transactions=[*(str(night / "transactions-*") for night in nights), extra],
        enrollments=[night / "enrollments.csv" for night in nights],
    )
    assert verified.findings.totals == {"unbooked": 1}
    assert [finding.where for finding in verified.findings] == [str(extra)]


# --- The command ----------------------------------------------------------------------------------


def test_a_clean_book_exits_0_and_its_result_is_all_of_stdout(
    six_nights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that a file kept as evidence says what was checked."""
    assert call(["verify", str(six_nights)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "verified: 0 findings, 0 remarks"
    for check in ("bytes", "places", "arithmetic", "index"):
        assert re.search(rf"^{check} .*: 0 findings, 0 remarks$", out, re.MULTILINE)
    assert "origin (decided again from the deliveries): not checked" in out
    assert err == ""


def test_findings_exit_1_one_a_line_and_name_nobody_unless_asked(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forger = Forger(book)
    entry = forger.entry(pl.col("run_id") == "000003", pl.col("points") > 10)
    forger.set(entry["place"], points=entry["points"] + 1)
    forger.carry()
    forger.write()
    for arguments in (["verify", str(book)], ["verify", str(book), "--json"]):
        assert call(arguments) == 1
        out, err = capsys.readouterr()
        assert err == ""
        assert "--json" in arguments or out.splitlines()[-1].startswith("verified: ")
        assert entry["transaction_id"] in out
        assert entry[PERSON] not in out
        assert entry["account_id"] not in out
        assert call([*arguments, "--show-ids"]) == 1
        out = capsys.readouterr().out
        assert entry[PERSON] in out
        assert entry["account_id"] in out
    value = json.loads(out)
    assert value["totals"]["points"] == 1
    points_finding = next(finding for finding in value["findings"] if finding["kind"] == "points")
    assert (points_finding["kind"], points_finding["control"]) == ("points", "C4")
    assert f"{points_finding['where']} {points_finding['row']}" == place_of(forger, entry)


NO_BOOK_COMMANDS = (
    ("verify",),
    ("explain", "--person", "P"),
    ("claim", "--final"),
    ("reconcile", "claim.csv", "--out", "breaks"),
    ("report", "--out", "report.html"),
    ("simulate", "--rate", "30/100"),
    ("quarantine", "1"),
)


@pytest.mark.parametrize("command", NO_BOOK_COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("name", ["nothing", "file", "."])
def test_no_book_exits_2_for_every_command(
    command: tuple[str, ...], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="there is no book") as raised:
        call([command[0], str(tmp_path / name), *command[1:]])
    assert raised.value.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_wrong_usage_exits_2(sample_book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no such file"):
        call(["verify", str(sample_book), "--transactions", "nowhere.csv"])
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(InputError, match="DuckDB is not installed") as raised:
        call(["verify", str(sample_book)])
    assert raised.value.hint == "pip install 'mynapoint[verify]'"
