"""A book: what a run leaves in it, what it remembers and refuses, and that its sums are true."""

import dataclasses
import datetime as dt
import json
import re
import shutil
import stat
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import oracle
import polars as pl
import pytest
import worlds
from deliveries import (
    KEEPS_NO_RUN,
    ROOT,
    SAMPLE,
    SERVICES,
    Desk,
    as_csv,
    bodies,
    book_world,
    enrollment,
    sha256,
    transaction,
)

import mynapoint
from engine.booking.enrollment import EnrollmentOutcome
from engine.booking.fold import SliceOutcome
from engine.errors import BookError, InputError
from engine.io.book.manifest import read_manifest, write_manifest
from engine.io.durable import NewFile
from engine.io.run import calculation, one_run, slices
from engine.records import LedgerEntry
from engine.validation import is_sound, judged, validated

NEXT_DAY = dt.date(2020, 10, 1)
PROGRAMME = (ROOT / "engine" / "terms" / "programmes" / "mynapoint-2020.toml").read_text()
DERIVED = ("index/",)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def delivery(desk: Desk, number: int, **changed: str) -> Path:
    """A delivery of one transaction."""
    return desk.transactions([transaction(number, **changed)], f"t-{number}.csv")


# --- The same run again ---------------------------------------------------------------------------


def test_the_same_run_again_changes_no_byte(desk: Desk) -> None:
    first = desk.run(delivery(desk, 1), delivery(desk, 2, amount="x"))
    before = bodies(desk.book, without=DERIVED)
    again = desk.run(delivery(desk, 1), delivery(desk, 2, amount="x"))
    assert (first.already_booked, again.already_booked) == (False, True)
    assert again.record == first.record
    assert first.record.to_json() == desk.record()
    assert bodies(desk.book, without=DERIVED) == before
    after = bodies(desk.book)
    desk.run(delivery(desk, 1), delivery(desk, 2, amount="x"))
    assert bodies(desk.book) == after


def test_names_and_order_of_the_files_make_no_other_run(desk: Desk) -> None:
    desk.run(delivery(desk, 1), delivery(desk, 2))
    before = bodies(desk.book, without=DERIVED)
    (desk.folder / "t-1.csv").rename(desk.folder / "z.csv")
    assert desk.run(desk.folder / "t-2.csv", desk.folder / "z.csv").already_booked
    assert bodies(desk.book, without=DERIVED) == before


def test_a_run_before_the_last_is_known_too(desk: Desk) -> None:
    desk.run(delivery(desk, 1))
    desk.run(delivery(desk, 2))
    again = desk.run(delivery(desk, 1))
    assert again.already_booked
    assert again.record.run_id == "000001"


@pytest.mark.parametrize("change", ["date", "services", "programme", "terms", "a blank line"])
def test_anything_else_makes_another_run_that_books_nothing_twice(desk: Desk, change: str) -> None:
    path = delivery(desk, 1)
    desk.run(path)
    changes: dict[str, dict[str, Any]] = {
        "date": {"booked_on": NEXT_DAY},
        "services": {"services": desk.write("s.toml", SERVICES + "\n")},
        "programme": {"programme": desk.write("p.toml", PROGRAMME + "\n")},
        "terms": {"terms_as_of": dt.date(2020, 9, 1)},
    }
    if change == "a blank line":
        path.write_text(path.read_text() + "\n")
    second = desk.run(path, **changes.get(change, {}))
    assert (second.already_booked, second.record.run_id) == (False, "000002")
    assert second.record.counts.declined == {"duplicate": 1}
    assert second.record.counts.enrollments.unchanged == 1
    assert desk.booked() == ["T1"]


def test_going_back_to_earlier_services_is_a_run_of_its_own(desk: Desk) -> None:
    path, others = delivery(desk, 1), desk.write("s.toml", SERVICES + "\n")
    first = desk.run(path)
    desk.run(path, services=others)
    back = desk.run(path)
    assert (back.already_booked, back.record.run_id) == (False, "000003")
    assert back.record.services_sha256 == first.record.services_sha256
    assert desk.booked() == ["T1"]


def test_a_transaction_declined_for_want_of_an_enrollment_is_booked_by_the_run_that_brings_one(
    desk: Desk,
) -> None:
    path = delivery(desk, 1)
    first = desk.run(path, enrollments=[])
    assert first.record.counts.declined == {"not_enrolled": 1}
    assert desk.run(path, enrollments=[]).already_booked
    enrolling = desk.run(enrollments=[desk.enrollments])
    assert (enrolling.record.counts.read, enrolling.record.counts.reconsidered) == (0, 1)
    assert desk.booked() == ["T1"]
    again = desk.run(path, enrollments=[])
    assert (again.already_booked, desk.booked()) == (True, ["T1"])


def test_a_night_that_books_nothing_is_a_commit_too(desk: Desk) -> None:
    desk.run(enrollments=[desk.enrollments])
    second = desk.run(delivery(desk, 1, account_id="A9"))
    assert (second.record.ledger_version, second.record.counts.booked) == (1, 0)
    assert desk.ledger().height == 0
    assert len(list((desk.book / "ledger" / "_delta_log").glob("*.json"))) == 2


# --- What is kept ---------------------------------------------------------------------------------


def test_services_and_programme_are_kept_and_change_only_when_they_are_given(desk: Desk) -> None:
    last = "window_last = 2021-09-30"
    assert last in PROGRAMME
    short = desk.write("short.toml", PROGRAMME.replace(last, "window_last = 2020-09-05"))
    closed = desk.write("closed.toml", SERVICES + 'excluded_methods = ["x"]\n')
    nights: list[dict[str, Any]] = [
        {"programme": short},
        {"services": None},
        {"services": closed, "programme": "mynapoint-2020"},
        {"services": None},
    ]
    records = [
        desk.run(
            delivery(desk, number, occurred_at=f"2020-09-{number + 4:02} 10:00:00"), **options
        ).record
        for number, options in enumerate(nights, 1)
    ]
    used = [(record.programme.sha256, record.services_sha256) for record in records]
    first = (sha256(short.read_bytes()), sha256(SERVICES.encode()))
    then = (sha256(PROGRAMME.encode()), sha256(closed.read_bytes()))
    assert used == [first, first, then, then]
    kept = desk.book / "runs" / "000002"
    assert (kept / "programme.toml").read_bytes() == short.read_bytes()
    assert (kept / "services.toml").read_bytes() == desk.services.read_bytes()
    # The second day is in the window of the later terms alone.
    assert [record.counts.declined for record in records] == [{}, {"after_window": 1}, {}, {}]
    booked = desk.ledger().select("run_id", "transaction_id").rows()
    assert booked == [("000001", "T1"), ("000003", "T2"), ("000003", "T3"), ("000004", "T4")]


def test_without_any_the_built_in_services_and_programme_are_used(desk: Desk) -> None:
    result = desk.run(delivery(desk, 1), services=None)
    assert result.record.programme.id == "mynapoint-2020"
    assert result.record.programme.terms.announced_on == dt.date(2021, 3, 25)
    assert result.record.services_sha256 == mynapoint.load_services(None).sha256
    assert result.record.counts.declined == {"unknown_service": 1}


DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "services changed": (
        "runs/000002/services.toml",
        lambda path: path.write_text(path.read_text().replace("month", "cumulative")),
        "services.toml",
    ),
    "services missing": ("runs/000002/services.toml", Path.unlink, "services.toml"),
    "programme changed": (
        "runs/000002/programme.toml",
        lambda path: path.write_text(path.read_text() + "#"),
        "programme.toml",
    ),
    "a record missing": ("runs/000001/record.json", Path.unlink, "000001"),
    "the last record missing": ("runs/000002/record.json", Path.unlink, "000002"),
    "a record cut": (
        "runs/000002/record.json",
        lambda path: path.write_text(path.read_text()[:100]),
        "000002",
    ),
    "another run's record": (
        "runs/000002/record.json",
        lambda path: path.write_text(path.read_text().replace("000002", "000003")),
        "000002",
    ),
    "a commit broken": (
        "ledger/_delta_log/00000000000000000000.json",
        lambda path: path.write_text("{"),
        "ledger",
    ),
    "a ledger file missing": ("ledger/000001-00000.parquet", Path.unlink, "000001"),
    "enrollments cut": (
        "runs/000001/accepted_enrollments.parquet",
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        "000001",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_book_is_refused_by_name_and_left_as_it_is(desk: Desk, what: str) -> None:
    for number in (1, 2):
        desk.run(delivery(desk, number))
    shutil.rmtree(desk.book / "index")
    name, damage, named = DAMAGE[what]
    damage(desk.book / name)
    before = bodies(desk.book, without=DERIVED)
    with pytest.raises(BookError, match=re.escape(named)) as caught:
        desk.run(delivery(desk, 3), services=None)
    assert caught.value.exit_code == 3
    assert str(desk.book) in caught.value.message
    assert bodies(desk.book, without=DERIVED) == before


@pytest.mark.parametrize("lost", ["the last commit", "the whole log"])
@pytest.mark.parametrize("also", ["nothing", "the acknowledgement"])
def test_a_log_that_lost_a_booked_run_is_damage_and_nothing_of_the_run_is_cleared(
    desk: Desk, lost: str, also: str
) -> None:
    for number in (1, 2, 3):
        desk.run(delivery(desk, number))
    log = desk.book / "ledger" / "_delta_log"
    for commit in sorted(log.iterdir())[0 if lost == "the whole log" else 1 :]:
        commit.unlink()
    if also == "the acknowledgement":
        (desk.book / ".acknowledged").unlink()
    before = bodies(desk.book, without=DERIVED)
    with pytest.raises(BookError, match="was booked"):
        desk.run(delivery(desk, 4))
    assert bodies(desk.book, without=DERIVED) == before


def test_what_the_engine_did_not_write_is_not_its_to_clear(desk: Desk) -> None:
    desk.run(delivery(desk, 1))
    for name in ("runs/notes/a.txt", "ledger/mine.parquet", "ledger/zzz.txt"):
        (desk.book / name).parent.mkdir(exist_ok=True)
        (desk.book / name).write_text("mine")
        desk.run(delivery(desk, 2))
        assert (desk.book / name).read_text() == "mine"


# --- Memory ---------------------------------------------------------------------------------------


def corrupt(folder: Path, how: str) -> None:
    manifest = folder / "manifest.json"
    said = read_manifest(folder)
    assert said is not None
    if how == "deleted":
        shutil.rmtree(folder)
    elif how == "a manifest that is not JSON":
        manifest.write_text("{")
    elif how == "a manifest of another version":
        write_manifest(folder, said | {"format": -1})
    elif how == "a manifest of another book":
        write_manifest(folder, said | {"last_record": "0" * 64})
    elif how == "no manifest":
        manifest.unlink()


WAYS = (
    "deleted",
    "a manifest that is not JSON",
    "a manifest of another version",
    "a manifest of another book",
    "no manifest",
)


@cache
def worlds_with_refunds(rounding: str) -> list[worlds.World]:
    """Worlds of several nights whose refunds reach back to earlier ones."""
    found: list[worlds.World] = []
    seed = 0
    while not found:
        seed += 1
        world = worlds.make(seed, clean=True, rounding=rounding)
        nights = worlds.booked_by_the_oracle(world)
        entries = [entry for night in nights for entry in night.ledger]
        run_of = {(entry.service_id, entry.transaction_id): entry.run_id for entry in entries}
        late = [
            entry
            for entry in entries
            if entry.original_transaction_id
            and run_of[entry.service_id, entry.original_transaction_id] != entry.run_id
        ]
        if len(nights) >= 4 and len(late) >= 3 and any(entry.points for entry in late):
            found.append(world)
    return found


@pytest.mark.parametrize(
    ("rounding", "first_way"), [("cumulative", 0), ("month", 2), ("transaction", 4)]
)
def test_without_its_index_a_book_goes_on_just_the_same(
    tmp_path: Path, rounding: str, first_way: int
) -> None:
    for world in worlds_with_refunds(rounding):
        folder = tmp_path / str(world.seed)
        whole, torn = folder / "whole", folder / "torn"
        for number in range(len(world.nights)):
            book_world(world, folder, number, whole)
            book_world(world, folder, number, torn)
            if (torn / "index").exists():
                corrupt(torn / "index", WAYS[(first_way + number) % len(WAYS)])
        kept = [bodies(book, without=[*DERIVED, "ledger/_delta_log"]) for book in (whole, torn)]
        # A record says when it ran, too.
        assert kept[0].keys() == kept[1].keys()
        assert all(kept[0][name] == kept[1][name] for name in kept[0] if "/record" not in name)
        expected = [row for night in worlds.booked_by_the_oracle(world) for row in night.ledger]
        ledger = pl.read_delta(str(torn / "ledger")).sort("run_id", "person_id", "entry_seq")
        assert ledger.rows() == [dataclasses.astuple(entry) for entry in expected]


def test_many_nights_make_few_segments_of_keys_that_still_know_every_night(desk: Desk) -> None:
    for night in range(1, 11):
        rows = [transaction(n, amount=str(night)) for n in range(3 * night, 3 * night + 3)]
        desk.run(desk.transactions(rows))
    segments = json.loads((desk.book / "index" / "manifest.json").read_bytes())["keys"]
    assert 1 <= len(segments) <= 4
    everything = [transaction(n, amount=str(n // 3)) for n in range(3, 33)]
    again = desk.run(desk.transactions([*everything, transaction(40)]), booked_on=NEXT_DAY)
    assert again.record.counts.declined == {"duplicate": 30}
    changed = [row | {"amount": "77"} for row in everything]
    conflicts = desk.run(desk.transactions(changed), booked_on=NEXT_DAY)
    assert conflicts.record.counts.quarantined == 30
    assert len(desk.booked()) == 31


# --- Whole or not at all --------------------------------------------------------------------------


def test_what_a_dead_run_left_is_cleared_by_the_next(desk: Desk) -> None:
    desk.run(delivery(desk, 1))
    part = (desk.book / "ledger" / "000001-00000.parquet").read_bytes()
    for name in (
        "staging/run/declined.parquet",
        "staging/work/enrolled-00000.arrow",
        "staging/ledger/000002-00000.parquet",
        "ledger/000002-00000.parquet",
        "ledger/000002-00007.parquet",
        "runs/000002/record.json",
        "runs/000003/record.json",
    ):
        path = desk.book / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(part)
    desk.run(delivery(desk, 2))
    assert not (desk.book / "staging").exists()
    assert sorted(path.name for path in (desk.book / "runs").iterdir()) == ["000001", "000002"]
    loose = pl.concat(
        [pl.read_parquet(path) for path in sorted((desk.book / "ledger").glob("*.parquet"))]
    )
    assert loose.equals(desk.ledger())
    assert desk.booked() == ["T1", "T2"]


@pytest.mark.parametrize("first", [True, False], ids=["first run", "later run"])
@pytest.mark.parametrize(
    ("module", "step"),
    [(one_run, "commit"), (slices, "write_part"), (one_run, "write_json")],
    ids=["commit", "write_part", "write_json"],
)
def test_a_run_that_fails_on_its_way_books_nothing_and_the_next_books_all(
    desk: Desk, module: ModuleType, step: str, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not first:
        desk.run(delivery(desk, 0))
    before = [] if first else desk.ledger().rows()

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/the/disk")

    with monkeypatch.context() as patch:
        patch.setattr(module, step, fails)
        with pytest.raises(BookError, match="No space left on device") as caught:
            desk.run(delivery(desk, 1), delivery(desk, 2))
    assert caught.value.exit_code == 3
    assert not (desk.book / "staging").exists()
    assert (before == []) if first else (desk.ledger().rows() == before)
    desk.run(delivery(desk, 1), delivery(desk, 2))
    assert desk.booked()[-2:] == ["T1", "T2"]
    assert len(list((desk.book / "runs").iterdir())) == 1 + (not first)


def test_a_book_is_closed_to_all_but_its_owner(desk: Desk) -> None:
    desk.run(delivery(desk, 1))
    assert stat.S_IMODE(desk.book.stat().st_mode) == 0o700
    assert stat.S_IMODE((desk.book / ".lock").stat().st_mode) == 0o600


def test_an_empty_folder_becomes_a_book(desk: Desk) -> None:
    desk.book.mkdir()
    desk.run(delivery(desk, 1))
    assert desk.booked() == ["T1"]


def test_a_book_that_may_not_be_made_is_an_error_with_a_hint(desk: Desk) -> None:
    desk.book = desk.services / "book"
    with pytest.raises(mynapoint.MynapointError, match=r"services\.toml") as caught:
        desk.run(delivery(desk, 1))
    assert caught.value.hint


# --- No entry that breaks its declaration, no row that is lost ------------------------------------


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Two people's entries, a refund among them."""
    desk = Desk(tmp_path_factory.mktemp("entries"))
    rows = [
        transaction(1, amount="1000"),
        transaction(2, amount="2000", occurred_at="2020-09-06 10:00:00"),
        transaction(3, amount="500", kind="refund", original_transaction_id="T2")
        | {"occurred_at": "2020-09-07 10:00:00"},
        transaction(4, account_id="A2", amount="30000"),
    ]
    desk.write("enrollments.csv", as_csv([enrollment(1), enrollment(2)]))
    desk.run(desk.transactions(rows))
    ledger = desk.ledger()
    assert ledger["points"].to_list() == [250, 500, -125, 5000]
    return ledger


def put(column: str, *values: Any) -> pl.Expr:
    return pl.Series(column, values)  # type: ignore[return-value]


BROKEN: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "points that are not in the running sum": lambda f: f.with_columns(
        put("points", 250, 500, -124, 5000)
    ),
    "a running sum of points that starts anew": lambda f: f.with_columns(
        put("points_after", 250, 500, 375, 5000)
    ),
    "net spending that is not in the running sum": lambda f: f.with_columns(
        put("net_spend_after", 1000, 3000, 3500, 30000)
    ),
    "net spending below nothing": lambda f: f.with_columns(
        put("net_spend_after", -1, 1999, 1499, 30000)
    ),
    "more counted than was spent": lambda f: f.with_columns(
        put("counted_amount", 1001, 2000, -500, 20000)
    ),
    "a purchase that takes away": lambda f: f.with_columns(
        put("counted_amount", -1, 2000, -500, 20000)
    ),
    "a refund that adds": lambda f: f.with_columns(put("counted_amount", 1000, 2000, 500, 20000)),
    "a refund that takes more than it is": lambda f: f.with_columns(
        put("counted_amount", 1000, 2000, -501, 20000)
    ),
    "a gap in the numbers": lambda f: f.with_columns(put("entry_seq", 1, 3, 4, 1)),
    "a number twice": lambda f: f.with_columns(put("entry_seq", 1, 1, 2, 1)),
    "a number below one": lambda f: f.with_columns(put("entry_seq", 0, 1, 2, 1)),
    "people out of order": lambda f: pl.concat([f[3:], f[:3]]),
    "an unknown kind": lambda f: f.with_columns(
        put("kind", "gift", "purchase", "refund", "purchase")
    ),
    "an amount of nothing": lambda f: f.with_columns(put("amount", 1000, 2000, 500, 0)),
    "an amount beyond the bounds": lambda f: f.with_columns(
        put("amount", 1000, 2000, 500, 100_000_001)
    ),
    "an amount below nothing": lambda f: f.with_columns(put("amount", 1000, 2000, -500, 30000)),
    "an original of a purchase": lambda f: f.with_columns(
        put("original_transaction_id", "T0", None, "T2", None)
    ),
    "a refund of nothing": lambda f: f.with_columns(
        put("original_transaction_id", None, None, None, None).cast(pl.String)
    ),
    "no person": lambda f: f.with_columns(put("person_id", None, "P1", "P1", "P2")),
    "an ID that is too long": lambda f: f.with_columns(
        put("account_id", "A" * 65, "A1", "A1", "A2")
    ),
    "an ID that is empty": lambda f: f.with_columns(put("transaction_id", "", "T2", "T3", "T4")),
    "a run that is not a number": lambda f: f.with_columns(run_id=pl.lit("1a")),
    "no time": lambda f: f.with_columns(occurred_at=pl.lit(None, pl.Datetime("us"))),
    "times in another unit": lambda f: f.with_columns(
        pl.col("occurred_at").dt.cast_time_unit("ns")
    ),
    "money that is not a whole number": lambda f: f.with_columns(pl.col("amount").cast(pl.Float64)),
    "money of fewer bits": lambda f: f.with_columns(pl.col("points").cast(pl.Int32)),
    "a column missing": lambda f: f.drop("method"),
    "a column too many": lambda f: f.with_columns(note=pl.lit("")),
    "columns in another order": lambda f: f.select(f.columns[::-1]),
}


def test_entries_as_they_are_booked_keep_their_declaration(entries: pl.DataFrame) -> None:
    assert validated(entries, LedgerEntry) is entries


@pytest.mark.parametrize("what", BROKEN)
def test_a_bad_entry_is_refused_before_it_is_booked(entries: pl.DataFrame, what: str) -> None:
    with pytest.raises(BookError, match="LedgerEntry: a row breaks its declaration") as caught:
        validated(BROKEN[what](entries), LedgerEntry)
    assert "nothing was booked" in caught.value.hint
    assert not re.search(r"\b(P|A|T)[1-4]\b", caught.value.message), "names nobody"


def test_what_is_passed_at_once_is_what_pandera_passes(entries: pl.DataFrame) -> None:
    assert is_sound(entries, LedgerEntry)
    assert judged(entries, LedgerEntry) is entries
    for what, broken in BROKEN.items():
        assert not is_sound(broken(entries), LedgerEntry), what
        with pytest.raises(BookError):
            judged(broken(entries), LedgerEntry)


def test_an_id_of_more_bytes_than_characters_keeps_its_declaration(entries: pl.DataFrame) -> None:
    longest = entries.with_columns(account_id=pl.lit("口" * 64))
    assert not is_sound(longest, LedgerEntry), "bytes pass no text of so many"
    assert is_sound(longest, LedgerEntry, count_characters=True)
    assert validated(longest, LedgerEntry) is judged(longest, LedgerEntry) is longest
    longer = entries.with_columns(account_id=pl.lit("口" * 65))
    assert not is_sound(longer, LedgerEntry, count_characters=True)


def meddled(monkeypatch: pytest.MonkeyPatch, step: str, change: Callable[[Any], Any]) -> None:
    """Changes what a step of the run gives."""
    module = slices if step == "fold" else calculation
    original = getattr(module, step)
    monkeypatch.setattr(module, step, lambda *args, **more: change(original(*args, **more)))


def test_a_run_with_a_bad_entry_books_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.run(delivery(desk, 1))
    before = bodies(desk.book, without=DERIVED)

    def generous(folded: SliceOutcome) -> SliceOutcome:
        more = folded.entries.with_columns(pl.col("points") + 1)
        return dataclasses.replace(folded, entries=pl.concat([folded.entries[:1], more[1:]]))

    meddled(monkeypatch, "fold", generous)
    path = desk.transactions([transaction(2), transaction(3)])
    with pytest.raises(BookError, match="a_persons_entries_follow_each_other"):
        desk.run(path)
    assert bodies(desk.book, without=DERIVED) == before


def without_one_entry(folded: SliceOutcome) -> SliceOutcome:
    return dataclasses.replace(folded, entries=folded.entries[:-1])


def without_one_declined(folded: SliceOutcome) -> SliceOutcome:
    return dataclasses.replace(folded, declined=folded.declined[:-1])


def with_one_declined_twice(folded: SliceOutcome) -> SliceOutcome:
    return dataclasses.replace(folded, declined=pl.concat([folded.declined, folded.declined[:1]]))


def with_a_yen_less(folded: SliceOutcome) -> SliceOutcome:
    return dataclasses.replace(folded, declined=folded.declined.with_columns(pl.col("amount") - 1))


def without_one_enrollment(enrolled: EnrollmentOutcome) -> EnrollmentOutcome:
    return dataclasses.replace(enrolled, rejected=enrolled.rejected[:-1])


@pytest.mark.parametrize(
    ("step", "change", "said"),
    [
        ("fold", without_one_entry, "3 rows of transactions were read, 2 accounted for"),
        ("fold", without_one_declined, "3 rows of transactions were read, 2 accounted for"),
        ("fold", with_one_declined_twice, "3 rows of transactions were read, 4 accounted for"),
        ("fold", with_a_yen_less, "300 yen of transactions were read, 299 accounted for"),
        ("enroll", without_one_enrollment, "2 enrollments were read, 1 accounted for"),
    ],
)
def test_a_row_or_a_yen_that_is_lost_on_the_way_stops_the_run(
    desk: Desk,
    step: str,
    change: Callable[[Any], Any],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk.write("enrollments.csv", as_csv([enrollment(1), enrollment(2, service_id="gone")]))
    rows = [transaction(1), transaction(2), transaction(3, kind="charge")]
    meddled(monkeypatch, step, change)
    with pytest.raises(BookError, match=f"control totals do not agree: {said}"):
        desk.run(desk.transactions(rows))
    assert desk.holds_nothing()


def test_a_disk_that_gives_back_something_else_stops_the_run(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = pl.scan_parquet
    monkeypatch.setattr(pl, "scan_parquet", lambda *args, **more: read(*args, **more).slice(1))
    with pytest.raises(BookError, match="read back differs"):
        desk.run(delivery(desk, 1), delivery(desk, 2))
    assert desk.holds_nothing()


def test_a_disk_that_gives_back_what_is_no_table_stops_the_run(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = NewFile.finish

    def spoil(file: NewFile) -> str:
        sha256 = finish(file)
        if file.path.parent.name == "ledger":
            with file.path.open("r+b") as written:
                written.seek(len("PAR1"))
                written.write(b"\xff" * (file.bytes // 2))
        return sha256

    monkeypatch.setattr(NewFile, "finish", spoil)
    with pytest.raises(BookError, match="cannot be read back"):
        desk.run(delivery(desk, 1), delivery(desk, 2))
    assert desk.holds_nothing()


# --- The record, on the sample --------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The book of the six committed sample nights."""
    desk = Desk(tmp_path_factory.mktemp("sample"))
    readme = (SAMPLE / "README.md").read_text(encoding="utf-8")
    for night in sorted(SAMPLE.glob("night-*")):
        booked_on = re.search(rf"`{night.name}` \| (\S+) \|", readme)
        assert booked_on
        desk.run(
            f"{night}/transactions-*",
            enrollments=[night / "enrollments.csv"],
            services=None,
            booked_on=dt.date.fromisoformat(booked_on[1]),
            max_quarantined=0.05,
        )
    return desk


NIGHTS = range(1, 7)


def test_records_are_a_chain(sample: Desk) -> None:
    previous = None
    for number in NIGHTS:
        record = sample.record(number)
        assert (record["run_id"], record["ledger_version"]) == (f"{number:06}", number - 1)
        assert record["previous_sha256"] == previous
        previous = sha256((sample.book / "runs" / f"{number:06}" / "record.json").read_bytes())


def test_what_a_record_says_of_files_is_true(sample: Desk) -> None:
    named: set[str] = set()
    for number in NIGHTS:
        record = sample.record(number)
        for output in record["outputs"]:
            data = (sample.book / output["name"]).read_bytes()
            assert (output["bytes"], output["sha256"]) == (len(data), sha256(data))
            if output["name"].endswith(".parquet"):
                assert output["rows"] == pl.read_parquet(data).height
            named.add(output["name"])
        for given in record["inputs"]:
            data = Path(given["name"]).read_bytes()
            assert (given["bytes"], given["sha256"]) == (len(data), sha256(data))
        for role, read in (
            ("transactions", record["counts"]["read"]),
            ("enrollments", record["counts"]["enrollments"]["read"]),
        ):
            assert read == sum(
                source["rows"] for source in record["inputs"] if source["role"] == role
            )
    there = set(bodies(sample.book, without=[*KEEPS_NO_RUN, "index/", "ledger/_delta_log/"]))
    assert there == named | {f"runs/{number:06}/record.json" for number in NIGHTS}


def test_counts_yen_and_points_are_those_of_the_tables_and_add_up(sample: Desk) -> None:
    ledger = sample.ledger()
    for number in NIGHTS:
        record, entries = sample.record(number), ledger.filter(run_id=f"{number:06}")
        declined = sample.table("declined", number)
        by_reason = declined.group_by("reason").agg(pl.len(), pl.col("amount").sum())
        counts, yen, points = record["counts"], record["yen"], record["points"]
        kinds = Counter(entries["kind"])
        assert counts["recounted"] == kinds.pop("recount", 0)
        assert counts["voided"] == 0
        assert kinds.keys() <= {"charge", "purchase", "refund"}
        assert counts["booked"] == kinds.total()
        assert yen["booked"] == entries.filter(pl.col("kind") != "recount")["amount"].sum()
        assert counts["declined"] == dict(by_reason.select("reason", "len").iter_rows())
        assert yen["declined"] == dict(by_reason.select("reason", "amount").iter_rows())
        for split in (counts, yen):
            assert split["read"] + split["reconsidered"] == (
                split["booked"] + sum(split["declined"].values()) + split["quarantined"]
            )
        asked = counts["enrollments"]
        bad = sample.table("quarantine", number).height
        assert counts["quarantined"] + asked["quarantined"] == bad
        assert asked["accepted"] == sample.table("accepted_enrollments", number).height
        rejected = sample.table("rejected_enrollments", number)["reason"].value_counts()
        assert asked["rejected"] == dict(rejected.iter_rows())
        assert asked["read"] + asked["reconsidered"] == (
            asked["accepted"]
            + asked["unchanged"]
            + sum(asked["rejected"].values())
            + asked["quarantined"]
        )
        awarded = entries.filter(pl.col("points") > 0)["points"].to_list()
        reversed_ = entries.filter(pl.col("points") < 0)["points"].to_list()
        assert points == {"awarded": sum(awarded), "reversed": -sum(reversed_)}
        assert points["reversed"] > 0
        assert counts["people"] == entries["person_id"].n_unique()
        last = entries.group_by("person_id").agg(pl.col("net_spend_after").last())
        assert (
            counts["people_at_the_cap"] == last.filter(pl.col("net_spend_after") >= 20_000).height
        )


def test_everything_that_can_be_said_of_a_row_is_said_of_some_sample_row(sample: Desk) -> None:
    declined: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    for number in NIGHTS:
        declined.update(sample.record(number)["counts"]["declined"])
        rejected.update(sample.record(number)["counts"]["enrollments"]["rejected"])
        codes.update(code for row in sample.table("quarantine", number)["errors"] for code in row)
    # These nights are booked without their events.
    by_events = {"voided", "enrollment_stopped"}
    assert set(declined) == set(oracle.DECLINE_REASONS) - by_events
    assert set(rejected) == set(oracle.ENROLLMENT_REASONS) - {"voided"}
    said = {code.split(":")[1] for code in codes}
    assert said == {"missing", "malformed", "out_of_range", "unknown", "unexpected", "conflict"}
    assert {"row:malformed", "person_id:conflict", "transaction_id:conflict"} <= set(codes)


def test_nobody_holds_more_than_a_quarter_of_what_counts(sample: Desk) -> None:
    held = sample.ledger().with_columns(
        counted=pl.col("counted_amount").cum_sum().over("person_id", order_by="entry_seq")
    )
    at_most = pl.col("net_spend_after").clip(0, 20_000)
    # What a refund gives back to later transactions is in the recounts that follow it.
    follows = pl.col("kind").shift(-1).over("person_id", order_by="entry_seq")
    is_complete = follows.ne_missing("recount")
    assert held.filter(pl.col("counted") > at_most).is_empty()
    assert held.filter(is_complete & (pl.col("counted") != at_most)).is_empty()
    assert held.filter(pl.col("points_after") > pl.col("counted") * 25 // 100).is_empty()
    assert held["points_after"].max() == 5_000


def test_a_sample_night_delivered_late_books_nothing_more(sample: Desk, tmp_path: Path) -> None:
    again = Desk(tmp_path)
    again.book = tmp_path / "copy"
    shutil.copytree(sample.book, again.book)
    result = again.run(
        f"{SAMPLE}/night-002/transactions-*",
        enrollments=[SAMPLE / "night-002" / "enrollments.csv"],
        services=None,
        booked_on=dt.date(2022, 1, 1),
    )
    late = result.record.counts
    assert late.enrollments.accepted == 0
    # What was declined for want of an enrollment then may be booked now, and nothing else.
    early = sample.table("declined", 2).filter(reason="not_enrolled")["transaction_id"]
    now = again.ledger().filter(run_id="000007")["transaction_id"]
    assert set(now) <= set(early)
    assert not set(now) & set(sample.ledger()["transaction_id"])


def test_a_share_that_is_just_allowed_is_allowed(desk: Desk) -> None:
    rows = [transaction(n, amount="x" if n < 29 else "1") for n in range(100)]
    desk.run(desk.transactions(rows), enrollments=[], max_quarantined=0.29)
    assert desk.record()["counts"]["quarantined"] == 29


def test_a_service_that_never_ends_may_end_on_the_last_of_all_days(desk: Desk) -> None:
    never = SERVICES.replace(
        'basis = "purchase"\n',
        'basis = "purchase"\napplications_close_on = 9999-12-31\nawards_close_on = 9999-12-31\n',
    )
    desk.run(delivery(desk, 1), services=desk.write("never.toml", never))
    assert desk.booked() == ["T1"]


def test_a_share_of_bad_rows_that_is_no_share_is_refused(desk: Desk) -> None:
    with pytest.raises(InputError, match="must be between 0 and 1"):
        desk.run(delivery(desk, 1), max_quarantined=float("nan"))
