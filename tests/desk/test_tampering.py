"""Ways to tamper with a book, and what finds each: the book itself, its deliveries, or a seal.

The forger writes every digest, record, commit and statistic anew, unless a line says otherwise. A
verification with everything is made once; which of its checks found something says what would have
been found without deliveries.
"""

import datetime as dt
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow.parquet as pq
import pytest
from deliveries import Desk, enrollment, transaction
from forger import Forger, log_of

from pipelines.seal import seal
from pipelines.shown.texts import Texts
from pipelines.verify import ORIGIN, SEALS, Verified, verify
from pipelines.verify.evidence import now, unproven
from pipelines.verify.output import lines_of

SERVICES: Final = """\
[[services]]
service_id = "coin"
name = "Coin"
basis = "purchase"

[[services]]
service_id = "tap"
name = "Tap"
basis = "purchase"
awards_close_on = 2020-12-31
"""
NIGHTS: Final = 2
LAST: Final = f"{NIGHTS:06}"
FINDING: Final = "finding"
REMARK: Final = "remark"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A sealed book of two nights, with entries, declined, rejected and quarantined rows."""
    desk = Desk(tmp_path_factory.mktemp("tampering"))
    desk.services = desk.write("services.toml", SERVICES)
    people = [enrollment(n, service_id="tap" if n == 2 else "coin") for n in range(1, 6)]
    people.append(enrollment(6, card_applied_on="2021-04-29"))
    people.append(enrollment(7, card_applied_on="2021-05-01"))
    for night in range(1, NIGHTS + 1):
        day = f"2020-1{night}-05 10:00:00"
        rows = [
            transaction(night * 100 + n, account_id=f"A{n}", occurred_at=day, amount=f"{n}001")
            for n in range(1, 7)
        ]
        rows[1]["service_id"] = "tap"
        rows += [
            transaction(night * 100 + 7, account_id="A7", occurred_at=day),
            transaction(night * 100 + 8, occurred_at="2020-08-01 10:00:00"),
            transaction(night * 100 + 9, occurred_at=day, kind="charge"),
            transaction(night * 100 + 10, occurred_at=day, amount="many"),
            transaction(
                night * 100 + 11,
                service_id="tap",
                account_id="A2",
                occurred_at="2021-01-05 10:00:00",
            ),
        ]
        file = desk.transactions(rows, f"transactions-{night}.csv")
        enrolled = desk.write("enrollments.csv", _csv(people)) if night == 1 else None
        desk.run(
            file,
            booked_on=dt.date(2021, 5, night),
            enrollments=[enrolled] if enrolled else [],
        )
    key = desk.folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    seal(desk.book, key=key, tsa=None)
    return desk


def _csv(rows: list[dict[str, str]]) -> str:
    return "\n".join(",".join(row) for row in (list(rows[0]), *(row.values() for row in rows)))


def table(book: Path, name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    path = next(iter(sorted((book / "runs").glob(f"*/{name}.parquet"))))
    original = pq.read_table(path)
    changed = change(pl.read_parquet(path)).to_arrow().cast(original.schema)
    pq.write_table(changed, path, store_schema=False)


def text(book: Path, name: str, old: str, new: str) -> None:
    for path in sorted((book / "runs").glob(f"*/{name}")):
        kept = path.read_text("utf-8")
        assert old in kept
        path.write_text(kept.replace(old, new, 1), "utf-8")


def record(book: Path, number: int, change: Callable[[dict[str, Any]], object]) -> None:
    path = book / "runs" / f"{number:06}" / "record.json"
    value = json.loads(path.read_bytes())
    change(value)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", "utf-8")


# --- The ways -------------------------------------------------------------------------------------


def points_of_an_entry_nothing_rehashed(book: Path) -> None:
    path = book / "ledger" / "000001-00000.parquet"
    rows = pl.read_parquet(path).with_columns(points=pl.col("points") + 1)
    pq.write_table(rows.to_arrow(), path)


def points_of_an_entry_and_its_own_record(book: Path) -> None:
    points_of_an_entry_nothing_rehashed(book)
    path = book / "ledger" / "000001-00000.parquet"

    def change(value: dict[str, Any]) -> None:
        for output in value["outputs"]:
            if output["name"] == "ledger/000001-00000.parquet":
                output["bytes"] = path.stat().st_size
                output["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()

    record(book, 1, change)


def points_of_an_entry(book: Path) -> None:
    forger = Forger(book)
    entry = forger.entry(pl.col("points") > 0)
    forger.set(entry["place"], points=entry["points"] + 1)
    forger.carry()
    forger.write()


def amount_of_a_payment(book: Path) -> None:
    forger = Forger(book)
    entry = forger.entry(pl.col("amount") == 1001)
    forger.set(entry["place"], amount=5001)
    _earn_again(forger)


def _earn_again(forger: Forger) -> None:
    """Everything follows from the amounts again; all services here have one group an account."""
    forger.carry(counted=True)
    worth = pl.col("counted_amount").cum_sum().over("person_id") * 25 // 100
    forger.ledger = forger.ledger.with_columns(
        points=worth - worth.shift(1, fill_value=0).over("person_id")
    )
    forger.carry(counted=True)
    forger.write()


def invented_payment(book: Path) -> None:
    forger = Forger(book)
    last = forger.ledger.filter(pl.col("run_id") == LAST).tail(1)
    invented = last.with_columns(
        transaction_id=pl.lit("T999"),
        amount=pl.lit(8000, pl.Int64),
        net_amount=pl.lit(8000, pl.Int64),
    )
    forger.ledger = pl.concat([forger.ledger, invented]).drop("place").with_row_index("place")
    _earn_again(forger)


def declined_row_removed(book: Path) -> None:
    table(book, "declined", lambda rows: rows.head(rows.height - 1))
    Forger(book).write()


def declined_row_given_another_account_and_reason(book: Path) -> None:
    def change(rows: pl.DataFrame) -> pl.DataFrame:
        chosen = pl.col("reason") == "before_window"
        return rows.with_columns(
            account_id=pl.when(chosen).then(pl.lit("A99")).otherwise("account_id"),
            reason=pl.when(chosen).then(pl.lit("not_enrolled")).otherwise("reason"),
        )

    table(book, "declined", change)
    Forger(book).write()


def person_given_anothers_applications_and_entries(book: Path) -> None:
    forger = Forger(book)

    def renamed(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(pl.col("person_id").replace("P5", "P5b"))

    table(book, "accepted_enrollments", renamed)
    forger.ledger = renamed(forger.ledger)
    forger.write()


def application_moved_earlier_and_an_early_payment_booked(book: Path) -> None:
    forger = Forger(book)
    table(
        book,
        "accepted_enrollments",
        lambda rows: rows.with_columns(
            applied_at=pl.when(pl.col("person_id") == "P4")
            .then(pl.col("applied_at") - pl.duration(days=30))
            .otherwise("applied_at")
        ),
    )
    entry = forger.entry(pl.col("person_id") == "P4", pl.col("run_id") == "000001")
    forger.set(entry["place"], occurred_at=dt.datetime(2020, 9, 1, 8, 0))
    forger.write()


def payment_of_the_wrong_kind_in_the_ledger(book: Path) -> None:
    forger = Forger(book)
    entry = forger.entry(pl.col("person_id") == "P3")
    forger.set(entry["place"], kind="charge")
    forger.write()


def deadline_of_the_card_moved(book: Path) -> None:
    text(book, "programme.toml", "2021-04-30", "2021-05-30")
    for number in (1, 2):
        record(
            book,
            number,
            lambda value: value["programme"]["terms"].update(card_applications_last="2021-05-30"),
        )
    Forger(book).write()


def end_of_a_service_moved(book: Path) -> None:
    text(book, "services.toml", "2020-12-31", "2021-01-31")
    Forger(book).write()


def cap_moved_and_the_ledger_left(book: Path) -> None:
    text(book, "programme.toml", "20_000", "3_000")
    Forger(book).write()


def quarantined_text(book: Path) -> None:
    table(
        book,
        "quarantine",
        lambda rows: rows.with_columns(pl.col("raw").str.replace("many", "lots")),
    )
    Forger(book).write()


def rejected_person(book: Path) -> None:
    table(
        book,
        "rejected_enrollments",
        lambda rows: rows.with_columns(person_id=pl.lit("P99")),
    )
    Forger(book).write()


def last_run_cut_off(book: Path) -> None:
    shutil.rmtree(book / "runs" / LAST)
    for path in [*(book / "ledger").glob(f"{LAST}-*"), log_of(book)[-1]]:
        path.unlink()


def last_run_cut_off_and_what_knew_of_it(book: Path) -> None:
    last_run_cut_off(book)
    shutil.rmtree(book / "index")
    (book / ".acknowledged").write_text(f"{NIGHTS - 1}\n")


def booked_on_moved_to_the_next_month(book: Path) -> None:
    forger = Forger(book)
    day = dt.date(2021, 6, 1)
    forger.ledger = forger.ledger.with_columns(
        booked_on=pl.when(pl.col("run_id") == LAST).then(pl.lit(day)).otherwise("booked_on")
    )
    record(book, NIGHTS, lambda value: value.update(booked_on=day.isoformat()))
    forger.write()


def times_of_the_log_moved(book: Path) -> None:
    moved = 6 * 365 * 86_400_000
    before: str | None = None
    for commit in log_of(book):
        actions = [json.loads(line) for line in commit.read_text("utf-8").split("\n")]
        for action in actions:
            if "commitInfo" in action:
                action["commitInfo"]["timestamp"] -= moved
                if before is not None:
                    action["commitInfo"]["previous_commit_sha256"] = before
            if "add" in action:
                action["add"]["modificationTime"] -= moved
            if "metaData" in action:
                action["metaData"]["createdTime"] -= moved
        lines = [json.dumps(a, ensure_ascii=False, separators=(",", ":")) for a in actions]
        commit.write_text("\n".join(lines), "utf-8")
        before = hashlib.sha256(commit.read_bytes()).hexdigest()


def name_of_an_input(book: Path) -> None:
    record(book, 1, lambda value: value["inputs"][0].update(name="another.csv"))
    Forger(book).write()


def versions_in_the_records(book: Path) -> None:
    record(book, 1, lambda value: value["engine"].update(polars="1.0.0"))
    Forger(book).write()


def runs_swapped(book: Path) -> None:
    runs = book / "runs"
    (runs / "000001").rename(runs / "swapped")
    (runs / "000002").rename(runs / "000001")
    (runs / "swapped").rename(runs / "000002")


def file_removed_in_the_log(book: Path) -> None:
    commit = log_of(book)[-1]
    action = {"remove": {"path": "000001-00000.parquet", "dataChange": True}}
    commit.write_text(commit.read_text() + "\n" + json.dumps(action, separators=(",", ":")))


def commit_too_many(book: Path) -> None:
    commit = log_of(book)[-1]
    shutil.copy(commit, commit.with_name(f"{NIGHTS:020}.json"))


def blank_in_the_statistics(book: Path) -> None:
    commit = log_of(book)[-1]
    commit.write_text(commit.read_text().replace('numRecords\\":', 'numRecords\\": ', 1))


def files_added_to_ledger_and_runs(book: Path) -> None:
    log = book / "ledger" / "_delta_log"
    for name in (
        log / f"{NIGHTS - 1:020}.checkpoint.parquet",
        log / f".{NIGHTS - 1:020}.json.crc",
        book / "ledger" / "000002-00099.parquet",
        book / "runs" / "000001" / "notes.txt",
    ):
        name.write_bytes(b"x")


def file_added_to_the_root(book: Path) -> None:
    (book / "notes.txt").write_text("x")


def file_added_to_staging(book: Path) -> None:
    (book / "staging").mkdir()
    (book / "staging" / "notes.txt").write_text("x")


def file_added_to_the_index(book: Path) -> None:
    (book / "index" / "notes.txt").write_text("x")


def ledger_file_replaced_by_a_link(book: Path) -> None:
    path = book / "ledger" / "000001-00000.parquet"
    path.rename(book.parent / "elsewhere.parquet")
    path.symlink_to(book.parent / "elsewhere.parquet")


def modes_opened(book: Path) -> None:
    (book / "ledger" / "000001-00000.parquet").chmod(0o666)
    book.chmod(0o777)


def times_of_files_moved(book: Path) -> None:
    for path in book.rglob("*"):
        os.utime(path, (0, 0))


def key_twice_in_a_record(book: Path) -> None:
    path = book / "runs" / "000001" / "record.json"
    path.write_text(path.read_text("utf-8").replace("{\n", '{\n "booked_on": "1999-01-01",\n', 1))
    forger = Forger(book)
    # The forger's own reader takes the last of two keys, and would mend the record.
    kept = path.read_bytes()
    forger.write()
    path.write_bytes(kept)
    sha256 = hashlib.sha256(kept).hexdigest()
    commit = log_of(book)[0]
    first, rest = commit.read_text("utf-8").split("\n", 1)
    action = json.loads(first)
    action["commitInfo"]["record_sha256"] = sha256
    commit.write_text(json.dumps(action, ensure_ascii=False, separators=(",", ":")) + "\n" + rest)


@dataclass(frozen=True)
class Way:
    """A way to tamper.

    Attributes:
        alone: the gravest that is found in the book alone.
        delivered: the gravest that is found with all its deliveries.
        sealed: the gravest that is found in the book alone with a seal that was made before.
    """

    tamper: Callable[[Path], None]
    alone: str | None
    delivered: str | None
    sealed: str | None = FINDING


# The rest, without a seal, is nothing but times, versions and names: said to be unproven.
WAYS: Final = (
    Way(points_of_an_entry_nothing_rehashed, FINDING, FINDING),
    Way(points_of_an_entry_and_its_own_record, FINDING, FINDING),
    Way(points_of_an_entry, FINDING, FINDING),
    Way(amount_of_a_payment, None, FINDING),
    Way(invented_payment, None, FINDING),
    Way(declined_row_removed, None, FINDING),
    Way(declined_row_given_another_account_and_reason, None, FINDING),
    Way(person_given_anothers_applications_and_entries, None, FINDING),
    Way(application_moved_earlier_and_an_early_payment_booked, None, FINDING),
    Way(payment_of_the_wrong_kind_in_the_ledger, FINDING, FINDING),
    Way(deadline_of_the_card_moved, None, FINDING),
    Way(end_of_a_service_moved, FINDING, FINDING),
    Way(cap_moved_and_the_ledger_left, FINDING, FINDING),
    Way(quarantined_text, None, FINDING),
    Way(rejected_person, None, FINDING),
    Way(last_run_cut_off, FINDING, FINDING),
    Way(last_run_cut_off_and_what_knew_of_it, None, FINDING),
    Way(booked_on_moved_to_the_next_month, None, None),
    Way(times_of_the_log_moved, REMARK, REMARK, REMARK),
    Way(name_of_an_input, None, REMARK),
    Way(versions_in_the_records, None, None),
    Way(runs_swapped, FINDING, FINDING),
    Way(file_removed_in_the_log, FINDING, FINDING),
    Way(commit_too_many, FINDING, FINDING),
    Way(blank_in_the_statistics, FINDING, FINDING),
    Way(files_added_to_ledger_and_runs, FINDING, FINDING),
    Way(file_added_to_the_root, FINDING, FINDING),
    Way(file_added_to_staging, FINDING, FINDING),
    Way(file_added_to_the_index, FINDING, FINDING),
    Way(ledger_file_replaced_by_a_link, FINDING, FINDING),
    Way(modes_opened, REMARK, REMARK, REMARK),
    Way(times_of_files_moved, REMARK, REMARK, REMARK),
    Way(key_twice_in_a_record, FINDING, FINDING),
)


def found_by(verified: Verified, without: set[str]) -> str | None:
    """The gravest that all other checks found."""
    found = [findings for check, findings in verified.by_check.items() if check not in without]
    if any(findings.totals for findings in found):
        return FINDING
    return REMARK if any(findings.remark_totals for findings in found) else None


def given(desk: Desk) -> dict[str, Any]:
    return {
        "transactions": sorted(desk.folder.glob("transactions-*.csv")),
        "enrollments": [desk.enrollments],
    }


def test_the_book_before_anyone_tampers_has_neither_findings_nor_remarks(desk: Desk) -> None:
    verified = verify(desk.book, **given(desk))
    lines = [f.line(show_ids=True) for f in (*verified.findings, *verified.findings.remarks())]
    assert not lines
    assert [seal.record.place for seal in verified.vouched.seals] == [f"runs/{LAST}"]
    assert set(desk.table("declined")["reason"]) == {
        *("not_enrolled", "before_window", "not_the_basis", "service_closed")
    }
    assert desk.table("rejected_enrollments").height == 1


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.tamper.__name__)
def test_a_way_to_tamper_is_found_by_what_can_know(desk: Desk, tmp_path: Path, way: Way) -> None:
    book = Path(shutil.copytree(desk.book, tmp_path / "book"))
    way.tamper(book)
    verified = verify(book, **given(desk))
    assert (
        found_by(verified, {ORIGIN, SEALS}),
        found_by(verified, {SEALS}),
        found_by(verified, {ORIGIN}),
    ) == (
        way.alone,
        way.delivered,
        way.sealed,
    ), [f.line(show_ids=True) for f in (*verified.findings, *verified.findings.remarks())]
    # With everything, every way is found.
    gravest = FINDING if FINDING in (way.delivered, way.sealed) else REMARK
    assert found_by(verified, set()) == gravest
    shown = list(lines_of(verified, Texts("verify", "ja"), made_at=now(), show_ids=True))
    found = [line for line in shown if re.match("C[1-5] (指摘|注記): ", line)]
    assert len(found) == len([*verified.findings, *verified.findings.remarks()])
    assert not [line for line in found if re.search("[a-z]+ [a-z]+ [a-z]+", line)]
    if way.delivered is None:
        said = {what.code for what in unproven(verified)}
        assert "unproven_times" in said
