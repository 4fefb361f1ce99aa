"""Deliveries in an object store: the same bytes as from the disk, or nothing booked."""

import errno
import fcntl
import gc
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import obstore
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from deliveries import Desk, bodies, sha256, transaction
from obstore.store import S3Store
from store import BUCKET, Fault, Proxy, once, put, running_store

import mynapoint
from engine.io import object_store
from engine.io.delivered.deliveries import find_delivered
from engine.io.delivered.stored_deliveries import FOLDERS
from engine.io.durable import NewFile
from pipelines.cli import call

FAULTS: tuple[Fault, ...] = ("refused", "cut before", "cut in the middle", "answer lost")
ROWS = [transaction(number) for number in range(1, 200)]


@pytest.fixture(scope="module")
def store() -> Iterator[Proxy]:
    with running_store() as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def scratch(store: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where deliveries are fetched to; each is read in several requests."""
    store.forget()
    monkeypatch.setattr(object_store, "READ_BYTES", 2048)
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def delivery(desk: Desk) -> Path:
    return desk.transactions(ROWS)


def fetched(url: str) -> list[bytes]:
    return [delivered.path.read_bytes() for delivered in find_delivered([url], "transactions")]


def test_a_night_from_a_store_is_the_night_from_the_disk(
    desk: Desk, delivery: Path, tmp_path: Path, scratch: Path
) -> None:
    parquet = desk.folder / "more.parquet"
    pq.write_table(pyarrow.csv.read_csv(desk.transactions([transaction(500)], "more.csv")), parquet)
    urls = [put("night/tx-1.csv", delivery), put("night/tx-2.parquet", parquet)]
    here = desk.run(delivery, parquet).record
    there = Desk(tmp_path / "there").run(f"s3://{BUCKET}/night/tx-*").record
    assert [read.name for read in there.inputs if read.role == "transactions"] == urls
    assert [(read.sha256, read.bytes, read.rows) for read in there.inputs] == [
        (read.sha256, read.bytes, read.rows) for read in here.inputs
    ]
    ledger = {
        name: body for name, body in bodies(desk.book / "ledger").items() if "log" not in name
    }
    assert ledger == {
        name: body
        for name, body in bodies(tmp_path / "there" / "book" / "ledger").items()
        if "log" not in name
    }
    assert not list(scratch.iterdir()), "a copy was left"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_middle_is_overcome_whichever_request_it_meets(
    store: Proxy, delivery: Path, fault: Fault
) -> None:
    url = put("in/tx.csv", delivery)
    store.forget()
    fetched(url)
    requests = len(store.requests)
    assert requests > 4
    for number in range(1, requests + 1):
        store.forget(once(fault, number))
        assert fetched(url) == [delivery.read_bytes()]
        assert len(store.requests) > requests or store.requests[number - 1][0] == "HEAD"


def test_a_store_that_says_nothing_is_asked_again(
    store: Proxy, delivery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = put("in/tx.csv", delivery)
    monkeypatch.setattr(object_store, "TIMEOUT", "4s")
    store.forget(once("silent", 3))
    assert fetched(url) == [delivery.read_bytes()]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_goes_on_failing_ends_the_run_and_nothing_is_booked(
    store: Proxy, desk: Desk, delivery: Path, scratch: Path, fault: Fault
) -> None:
    url = put("in/tx.csv", delivery)
    store.forget(lambda number, _method, _path: fault if number > 2 else None)
    with pytest.raises(mynapoint.InputError, match=f"^{url}: the store failed: .*") as failed:
        desk.run(url)
    assert failed.value.code == "store_failed"
    assert "127.0.0.1" not in failed.value.message
    assert "then run again" in failed.value.hint
    assert desk.holds_nothing()
    # The error holds what it came from.
    del failed
    gc.collect()
    assert not list(scratch.iterdir()), "a copy was left"


@pytest.mark.parametrize("change", ["other bytes", "removed"])
def test_an_object_that_changes_in_the_middle_is_refused(
    store: Proxy, desk: Desk, delivery: Path, change: str
) -> None:
    url = put("in/tx.csv", delivery)

    def fault(number: int, _method: str, _path: str) -> None:
        if number == 3:
            behind = S3Store(BUCKET, endpoint=f"http://127.0.0.1:{store.behind}")
            if change == "removed":
                obstore.delete(behind, "in/tx.csv")
            else:
                obstore.put(behind, "in/tx.csv", delivery.read_bytes()[::-1])

    store.forget(fault)
    with pytest.raises(mynapoint.InputError, match="the object changed while it was read") as error:
        desk.run(url)
    assert "nothing was booked" in error.value.hint
    assert desk.holds_nothing()


def test_what_a_url_matches_is_what_a_path_of_this_machine_matches(tmp_path: Path) -> None:
    keys = ["a.csv", "b/a.csv", "b/c/a.csv", "b/日本 [1]%20#.csv", "b/c/.hidden.csv", "d-1/x.csv"]
    for key in keys:
        (tmp_path / "like" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "like" / key).write_text(key)
        put(f"like/{key}", key.encode())
    for named in (
        *("", "*.csv", "*", "b", "b/*", "b/c", "**/*.csv", "**", "?/a.csv", "b/[a]*", "d-?"),
        *("b/日本 [1]%20#.csv", "b/.*", "b/c/.h*", "nothing*", "d-1/x.csv"),
    ):
        here, there = (
            {
                file.name.removeprefix(place).strip("/")
                for file in find_delivered([f"{place}/{named}"], "-", nothing_is_fine=True)
            }
            for place in (str(tmp_path / "like"), f"s3://{BUCKET}/like")
        )
        assert here == there, named


@pytest.mark.parametrize(
    ("url", "message", "hint"),
    [
        (f"s3://{BUCKET}/none.csv", "there is no such object, folder or match", "check the URL"),
        ("s3://nowhere/x/", "404 Not Found: NoSuchBucket", "check the bucket's name"),
        ("s3://", "the URL names no bucket", "write s3://BUCKET/KEY"),
        (f"s3://{BUCKET}/kinds", "an object of a kind that is not read stands", "name the objects"),
    ],
)
def test_what_cannot_be_found_is_named(url: str, message: str, hint: str) -> None:
    put("kinds/readme.txt", b"-")
    with pytest.raises(mynapoint.InputError) as error:
        find_delivered([url], "transactions")
    assert url.strip("/") in error.value.message
    assert message in error.value.message
    assert error.value.hint.startswith(hint)


def test_a_store_that_cannot_be_opened_is_named(
    delivery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = put("in/tx.csv", delivery)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(mynapoint.InputError, match="does not let us do this") as refused:
        find_delivered([url], "transactions")
    assert refused.value.hint.startswith("check the credentials in the environment")
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(mynapoint.InputError, match="the store failed") as plain:
        find_delivered([url], "transactions")
    assert "AWS_ALLOW_HTTP=true" in plain.value.hint
    for missing, words in (("gs://b/k", "gs://b/k"), ("az://b/k", "az://b/k: the store failed: ")):
        with pytest.raises(mynapoint.InputError, match=words):
            find_delivered([missing], "transactions")


def test_without_obstore_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.extras._can_be_imported", lambda _module: False)
    with pytest.raises(mynapoint.InputError, match="obstore is not installed") as missing:
        find_delivered(["s3://bucket/x.csv"], "transactions")
    assert missing.value.hint == "pip install 'mynapoint[store]'"


def test_a_disk_without_room_is_found_out_before_anything_is_fetched(
    store: Proxy, delivery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: NewFile, more: int) -> None:
        assert more == delivery.stat().st_size
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file.path))

    url = put("in/tx.csv", delivery)
    store.forget()
    monkeypatch.setattr(NewFile, "allocate", full)
    with pytest.raises(mynapoint.InputError, match="No space left on device") as error:
        find_delivered([url], "transactions")
    assert "TMPDIR" in error.value.hint
    assert [method for method, _ in store.requests] == ["HEAD"]


def test_what_a_killed_run_has_fetched_goes_with_the_next(delivery: Path, scratch: Path) -> None:
    url = put("in/tx.csv", delivery)
    left, at_work = scratch / f"{FOLDERS}left", scratch / f"{FOLDERS}at-work"
    for folder in (left, at_work):
        folder.mkdir()
        (folder / "000000").write_text("rows")
    lock = os.open(at_work, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert fetched(url) == [delivery.read_bytes()]
    finally:
        os.close(lock)
    assert [path.name for path in scratch.iterdir()] == [at_work.name]


def test_a_night_by_its_sources_file_takes_files_and_notes_out_of_a_store(
    desk: Desk, delivery: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk.folder)
    put("20200930/tx-A1.csv", delivery)
    note = f"{sha256(delivery.read_bytes())}  tx-A1.csv\n".encode()
    put("20200930/SHA256SUMS", note)
    desk.write(
        "mynapoint.toml",
        f"""
        [run]
        services = "services.toml"
        log_json = "log.json"
        [[sources]]
        name = "applications"
        role = "enrollments"
        files = "enrollments.csv"
        [[sources]]
        name = "payments"
        files = "s3://{BUCKET}/{{booked_on:%Y%m%d}}/tx-*.csv"
        manifest = "s3://{BUCKET}/{{booked_on:%Y%m%d}}/SHA256SUMS"
        """,
    )
    night = ["night", "book", "--booked-on", "2020-09-30", "--new-book", "--json"]
    assert call(night) == 0
    record = json.loads(capsys.readouterr().out)
    assert [read["name"] for read in record["inputs"]][-1] == f"s3://{BUCKET}/20200930/tx-A1.csv"
    logged = [json.loads(line) for line in (desk.folder / "log.json").read_text().splitlines()]
    [fetch] = [line for line in logged if line.get("phase") == "fetch"]
    assert fetch["bytes"] == delivery.stat().st_size
    put("20201001/tx-A1.csv", desk.transactions([transaction(700)]))
    put("20201001/SHA256SUMS", note)
    with pytest.raises(mynapoint.InputError, match="the deliveries are not what is noted"):
        call(["night", "book", "--booked-on", "2020-10-01"])
    with pytest.raises(mynapoint.InputError, match=r"there is no file s3://bucket/20201002/tx-\*"):
        call(["night", "book", "--booked-on", "2020-10-02"])
