"""A published ledger: whole runs at each moment, the bytes of the book, nothing but additions."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import obstore
import polars as pl
import pytest
from deltalake import DeltaTable
from obstore.store import S3Store
from polars.testing import assert_frame_equal
from small_nights import deliver, ledger_of
from store import BUCKET, Fault, Proxy, once, put, running_store

import mynapoint
from engine.io import object_store
from pipelines.cli import call

FAULTS: tuple[Fault, ...] = ("refused", "cut before", "cut in the middle", "answer lost")


@pytest.fixture(scope="module")
def store() -> Iterator[Proxy]:
    with running_store() as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def no_faults(store: Proxy) -> None:
    store.forget()


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A book after its first night and after its second; and another one."""
    folder = tmp_path_factory.mktemp("books")
    nights = [deliver(folder, number) for number in (1, 2)]
    nights[0].book(folder / "grown")
    copy(folder / "grown", folder / "first")
    nights[1].book(folder / "grown")
    nights[0].book(folder / "another")
    return {name: folder / name for name in ("first", "grown", "another")}


def copy(book: Path, to: Path) -> None:
    import shutil

    shutil.copytree(book, to)


def url(place: str) -> str:
    return f"s3://{BUCKET}/{place}"


def publish(book: Path, place: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert call(["publish", str(book), url(place), "--json"]) == 0
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    return value


def objects(store: Proxy, place: str) -> dict[str, bytes]:
    """What is at a place, past the proxy."""
    behind = S3Store(BUCKET, endpoint=f"http://127.0.0.1:{store.behind}")
    return {
        meta["path"].removeprefix(f"{place}/"): bytes(obstore.get(behind, meta["path"]).bytes())
        for metas in obstore.list(behind, place)
        for meta in metas
    }


def ledger_files(book: Path) -> dict[str, bytes]:
    folder = book / "ledger"
    found = [*folder.glob("*.parquet"), *folder.glob("_delta_log/*")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_what_is_published_is_the_ledger_and_readers_open_it(
    store: Proxy, books: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(books["first"], "whole", capsys)["new_runs"] == 1
    value = publish(books["grown"], "whole", capsys)
    assert objects(store, "whole") == ledger_files(books["grown"])
    assert (value["runs"], value["new_runs"]) == (2, 1)
    assert value["files"] == len(ledger_files(books["grown"])) - len(ledger_files(books["first"]))
    table = DeltaTable(url("whole"))
    assert table.version() == 1
    entries = pl.scan_delta(table).collect().sort("run_id", "person_id", "entry_seq")
    assert_frame_equal(entries, ledger_of(books["grown"]))


def seen_by_duckdb(store: Proxy, place: str) -> list[tuple[Any, ...]]:
    """By run that DuckDB sees at a place, entries and points; past the proxy."""
    behind = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.behind}"}
    published = DeltaTable(url(place), storage_options=behind).to_pyarrow_dataset()
    with duckdb.connect() as database:
        database.register("published", published)
        return database.sql(
            "SELECT run_id, count(*), sum(points) FROM published GROUP BY run_id ORDER BY run_id"
        ).fetchall()


def test_duckdb_reads_whole_runs_through_deltalake(
    store: Proxy, books: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    publish(books["first"], "sql", capsys)

    def no_commits(_number: int, method: str, path: str) -> Fault | None:
        return "refused" if method == "PUT" and "_delta_log" in path else None

    store.forget(no_commits)
    with pytest.raises(mynapoint.InputError):
        call(["publish", str(books["grown"]), url("sql")])
    assert objects(store, "sql").keys() > ledger_files(books["first"]).keys()
    for book in ("first", "grown"):
        of_runs = ledger_of(books[book]).group_by("run_id").agg(pl.len(), pl.col("points").sum())
        assert seen_by_duckdb(store, "sql") == of_runs.sort("run_id").rows()
        store.forget()
        publish(books["grown"], "sql", capsys)


def test_the_same_again_copies_nothing_and_says_so_in_both_languages(
    store: Proxy, books: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    publish(books["grown"], "again", capsys)
    store.forget()
    assert publish(books["grown"], "again/", capsys)["files"] == 0
    assert "PUT" not in {method for method, _ in store.requests}
    for lang, words in (
        ("en", "runs 1 to 2 of the ledger are there"),
        ("ja", "今回複写したのは 0 回分"),
    ):
        assert call(["publish", str(books["grown"]), url("again"), "--lang", lang]) == 0
        assert words in capsys.readouterr().out


def whole_runs(store: Proxy, place: str, book: Path) -> int:
    """How many runs readers see; each of them is whole."""
    there, in_book = objects(store, place), ledger_files(book)
    assert there.items() <= in_book.items()
    commits = sorted(name for name in there if name.startswith("_delta_log/"))
    assert (
        commits
        == sorted(name for name in in_book if name.startswith("_delta_log/"))[: len(commits)]
    )
    for name in commits:
        actions = [json.loads(line) for line in there[name].split(b"\n") if line]
        assert {action["add"]["path"] for action in actions if "add" in action} <= there.keys()
    return len(commits)


@pytest.mark.parametrize("fault", ["cut before", "answer lost"])
def test_wherever_a_publication_ends_readers_see_whole_runs_and_the_next_one_completes_it(
    store: Proxy, books: dict[str, Path], capsys: pytest.CaptureFixture[str], fault: Fault
) -> None:
    book, seen = books["grown"], set()
    publish(book, f"{fault}-0", capsys)
    requests = len(store.requests)
    for last in range(requests):
        place = f"{fault}-{last + 1}"
        store.forget(lambda number, _m, _p, last=last: fault if number > last else None)  # type: ignore[misc]
        with pytest.raises(mynapoint.InputError) as failed:
            call(["publish", str(book), url(place)])
        assert failed.value.code == "store_failed"
        seen.add(whole_runs(store, place, book))
        store.forget()
        publish(book, place, capsys)
        assert whole_runs(store, place, book) == 2
        assert objects(store, place) == ledger_files(book)
    # A commit whose answer was lost may be there.
    assert seen == ({0, 1} if fault == "cut before" else {0, 1, 2})


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_overcome_whichever_request_it_meets(
    store: Proxy, books: dict[str, Path], capsys: pytest.CaptureFixture[str], fault: Fault
) -> None:
    publish(books["first"], f"once-{fault}-0", capsys)
    for number in range(1, len(store.requests) + 1):
        place = f"once-{fault}-{number}"
        store.forget(once(fault, number))
        assert publish(books["first"], place, capsys)["new_runs"] == 1
        assert objects(store, place) == ledger_files(books["first"])


def test_a_commit_that_is_never_answered_is_looked_for(
    store: Proxy,
    books: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(books["first"], "silent-0", capsys)
    monkeypatch.setattr(object_store, "TIMEOUT", "4s")
    store.forget(once("silent", len(store.requests)))
    publish(books["first"], "silent-1", capsys)
    assert objects(store, "silent-1") == ledger_files(books["first"])


def refused(book: Path, place: str) -> str:
    with pytest.raises(mynapoint.InputError) as error:
        call(["publish", str(book), url(place)])
    assert "nothing there was changed" in error.value.hint
    return error.value.message


def test_a_place_that_holds_something_else_is_refused_and_left_as_it_is(
    store: Proxy, books: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    put("others/readme.txt", b"-")
    assert "readme.txt: the place is not empty" in refused(books["first"], "others")
    # A publication of another book that ended before its first commit.
    put("begun/000001-00000.parquet", b"-")
    assert "another object of this name is there" in refused(books["first"], "begun")
    publish(books["another"], "another", capsys)
    before = objects(store, "another")
    assert "another book's commit" in refused(books["first"], "another")
    assert "another book's commit" in refused(books["grown"], "another")
    assert objects(store, "another") == before


def test_a_commit_that_another_program_made_there_is_refused(
    store: Proxy, books: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    publish(books["first"], "foreign", capsys)
    # Past the proxy: this call lets no other thread of the process work meanwhile.
    behind = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.behind}"}
    table = DeltaTable(url("foreign"), storage_options=behind)
    table.alter.set_table_properties({"delta.appendOnly": "true"})
    before = objects(store, "foreign")
    assert "not of the book's log: another program wrote" in refused(books["first"], "foreign")
    assert "this is another book's commit, or was changed" in refused(books["grown"], "foreign")
    put("foreign/_delta_log/_last_checkpoint", b"{}")
    assert "_last_checkpoint: this is not of the book's log" in refused(books["grown"], "foreign")
    assert objects(store, "foreign") == before | {"_delta_log/_last_checkpoint": b"{}"}


@pytest.mark.parametrize("who", ["another program", "another publication of the book"])
def test_who_commits_at_the_same_moment_is_met_by_the_write_itself(
    store: Proxy, books: dict[str, Path], capsys: pytest.CaptureFixture[str], who: str
) -> None:
    [commit] = (books["first"] / "ledger" / "_delta_log").iterdir()
    place, data = f"race/{who}", b"{}" if who == "another program" else commit.read_bytes()

    def fault(_number: int, method: str, path: str) -> None:
        if method == "PUT" and "_delta_log" in path:
            behind = S3Store(BUCKET, endpoint=f"http://127.0.0.1:{store.behind}")
            obstore.put(behind, f"{place}/_delta_log/{commit.name}", data)

    store.forget(fault)
    if who == "another program":
        assert "another object of this name is there" in refused(books["first"], place)
    else:
        assert publish(books["first"], place, capsys)["runs"] == 1
    assert objects(store, place)[f"_delta_log/{commit.name}"] == data


def test_a_book_that_was_put_back_is_refused(
    books: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    publish(books["grown"], "ahead", capsys)
    assert "the book was put back to an earlier state" in refused(books["first"], "ahead")


def test_a_run_that_may_not_be_on_the_disk_yet_is_left_to_the_next_publication(
    store: Proxy, books: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy(books["grown"], tmp_path / "book")
    (tmp_path / "book" / ".acknowledged").write_text("1")
    assert publish(tmp_path / "book", "acknowledged", capsys)["runs"] == 1
    assert objects(store, "acknowledged") == ledger_files(books["first"])
    assert publish(books["grown"], "acknowledged", capsys)["new_runs"] == 1


def test_a_damaged_file_is_not_published(
    store: Proxy, books: dict[str, Path], tmp_path: Path
) -> None:
    copy(books["first"], tmp_path / "book")
    [file, *_] = sorted((tmp_path / "book" / "ledger").glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(mynapoint.BookError, match="this is not the file that run 000001 wrote"):
        call(["publish", str(tmp_path / "book"), url("damaged")])
    assert objects(store, "damaged") == {}


def test_what_is_no_place_and_no_book_is_named(books: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(mynapoint.InputError, match="not a place in an object store"):
        call(["publish", str(books["first"]), str(tmp_path)])
    with pytest.raises(mynapoint.InputError, match="there is no book"):
        call(["publish", str(tmp_path), url("nothing")])
    with pytest.raises(mynapoint.InputError, match="this is a URL, not a path"):
        call(["publish", "s3://bucket/book", url("nothing")])
