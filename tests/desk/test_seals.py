"""Seals: what they vouch for, and what they find that nothing inside of a book can."""

import datetime as dt
import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from deliveries import Desk, transaction
from time_stamping import Authority

from engine.errors import InputError
from pipelines.cli import call
from pipelines.seal import seal
from pipelines.seal.signatures import NAMESPACE
from pipelines.verify import Expected, Verified, verify

YEAR = dt.timedelta(days=365)
SCHEMA = json.loads(files("pipelines.verify").joinpath("verification.schema.json").read_text())


def book_of(folder: Path, amount: str, nights: int = 2) -> Desk:
    desk = Desk(folder)
    for night in range(1, nights + 1):
        file = desk.transactions([transaction(night, amount=amount)], f"transactions-{night}.csv")
        desk.run(
            file,
            booked_on=dt.date(2020, 10, night),
            enrollments=[desk.enrollments] if night == 1 else [],
        )
    return desk


def given(desk: Desk) -> dict[str, Any]:
    return {
        "transactions": sorted(desk.folder.glob("transactions-*.csv")),
        "enrollments": [desk.enrollments],
    }


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return book_of(tmp_path_factory.mktemp("seals") / "desk", "8000")


@pytest.fixture
def book(desk: Desk, tmp_path: Path) -> Path:
    return Path(shutil.copytree(desk.book, tmp_path / "book"))


def key_of(folder: Path, who: str) -> Path:
    key = folder / who
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", who, "-f", str(key)], check=True
    )
    return key


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of two people; the file of signers names one."""
    folder = tmp_path_factory.mktemp("keys")
    for who in ("auditor", "stranger"):
        key_of(folder, who)
    public = (folder / "auditor.pub").read_text().split()
    (folder / "signers").write_text(f"auditor@example.jp {public[0]} {public[1]}\n")
    return folder


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Authority, str]]:
    authority = Authority(tmp_path_factory.mktemp("authority") / "tsa", valid=(-YEAR, YEAR))
    with authority.served() as url:
        yield authority, url


def kinds(verified: Verified) -> tuple[set[str], set[str]]:
    findings = verified.findings
    return set(findings.totals), set(findings.remark_totals)


def test_a_signed_and_stamped_book_is_vouched_for_by_name_and_since_when(
    book: Path, keys: Path, authority: tuple[Authority, str]
) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=2)
    sealed = seal(book, key=keys / "auditor", tsa=authority[1])
    assert [file.name for file in sealed.files] == ["run-000002.1.sig", "run-000002.2.tsr"]
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in sealed.files)
    verified = verify(book, expected=Expected.of(keys / "signers", authority[0].trust))
    assert kinds(verified) == (set(), set())
    signature, stamp = verified.vouched.seals
    assert (signature.by, signature.at, signature.trusted) == ("auditor@example.jp", None, True)
    assert (stamp.by, stamp.trusted) == ("CN=Authority of tsa", True)
    assert stamp.at is not None
    assert before <= stamp.at <= dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2)
    record = (book / "runs" / "000002" / "record.json").read_bytes()
    assert {hashlib.sha256(record).hexdigest()} == {
        seal.record.sha256 for seal in verified.vouched.seals
    }


def test_seals_need_no_mynapoint_to_be_checked(
    book: Path, keys: Path, authority: tuple[Authority, str]
) -> None:
    signature, stamp = seal(book, key=keys / "auditor", tsa=authority[1]).files
    record = book / "runs" / "000002" / "record.json"
    subprocess.run(
        [
            *("ssh-keygen", "-Y", "verify", "-f", str(keys / "signers")),
            *("-I", "auditor@example.jp", "-n", NAMESPACE, "-s", str(signature)),
        ],
        input=record.read_bytes(),
        check=True,
        capture_output=True,
    )
    root = authority[0].trust / "root.pem"
    subprocess.run(
        ["openssl", "ts", "-verify", "-data", record, "-in", stamp, "-CAfile", root],
        check=True,
        capture_output=True,
    )


def test_seals_are_added_at_any_time_and_runs_go_on_behind_them(
    desk: Desk, book: Path, keys: Path, tmp_path: Path
) -> None:
    seal(book, key=keys / "stranger", tsa=None)
    second = seal(book, key=keys / "auditor", tsa=None)
    assert [file.name for file in second.files] == ["run-000002.2.sig"]
    later = Desk(tmp_path / "later")
    later.book, later.services = book, desk.services
    later.run(later.transactions([transaction(9)]), booked_on=dt.date(2020, 10, 9), enrollments=[])
    verified = verify(book, expected=Expected.of(keys / "signers"))
    # The stranger's is remarked on; the auditor's still stands for the runs up to the second.
    assert kinds(verified) == (set(), {"unknown_signer"})
    assert [seal.record.place for seal in verified.vouched.seals] == ["runs/000002"] * 2
    third = seal(book, key=keys / "auditor", tsa=None)
    assert [file.name for file in third.files] == ["run-000003.1.sig"]


def test_a_whole_book_made_anew_from_edited_deliveries_is_found_by_a_seal_alone(
    desk: Desk, keys: Path, authority: tuple[Authority, str], tmp_path: Path
) -> None:
    sealed = Path(shutil.copytree(desk.book, tmp_path / "sealed"))
    seals = seal(sealed, key=keys / "auditor", tsa=authority[1])
    forged = book_of(tmp_path / "forged", "9000")
    assert kinds(verify(forged.book, **given(forged))) == (set(), set())
    copies = verify(forged.book, expected=Expected.of(copies=seals.files))
    assert kinds(copies) == ({"seal"}, set())
    head = verify(forged.book, expected=Expected.of(heads=[seals.record.sha256]))
    assert kinds(head) == ({"head"}, set())
    missing = verify(forged.book, expected=Expected.of(keys / "signers", authority[0].trust))
    assert missing.findings.totals == {"not_sealed": 2}
    shutil.copytree(sealed / "seals", forged.book / "seals")
    kept = verify(forged.book, **given(forged))
    assert kept.findings.totals == {"seal": 2}


def test_a_head_that_was_written_down_says_up_to_where_nothing_has_changed(book: Path) -> None:
    first = hashlib.sha256((book / "runs/000001/record.json").read_bytes()).hexdigest()
    verified = verify(book, expected=Expected.of(heads=[first.upper()]))
    assert kinds(verified) == (set(), set())
    assert [record.place for record in verified.vouched.heads] == ["runs/000001"]
    with pytest.raises(InputError, match="--head: expected a SHA-256"):
        Expected.of(heads=["000001"])


def test_a_tail_that_was_cut_off_with_all_that_knew_of_it_is_found_by_a_seal(
    book: Path, keys: Path
) -> None:
    seal(book, key=keys / "auditor", tsa=None)
    shutil.rmtree(book / "runs" / "000002")
    shutil.rmtree(book / "index", ignore_errors=True)
    for path in (*(book / "ledger").glob("000002-*"), *(book / "ledger").glob("_*/*01.json")):
        path.unlink()
    (book / ".acknowledged").write_text("1\n")
    verified = verify(book)
    [finding] = verified.findings
    assert finding.kind == "seal"
    assert finding.what == "runs/000002 was sealed and is not in the book: runs were cut off"


def test_a_key_that_nobody_named_has_does_not_seal_for_them(book: Path, keys: Path) -> None:
    seal(book, key=keys / "stranger", tsa=None)
    verified = verify(book, expected=Expected.of(keys / "signers"))
    assert kinds(verified) == ({"not_sealed"}, {"unknown_signer"})
    unnamed = verify(book)
    assert kinds(unnamed) == (set(), set())
    assert [seal.trusted for seal in unnamed.vouched.seals] == [None]


@pytest.mark.parametrize("harm", ["another", "empty", "text"])
def test_a_seal_that_is_not_of_its_record_is_found(
    book: Path, keys: Path, authority: tuple[Authority, str], harm: str
) -> None:
    for file in seal(book, key=keys / "auditor", tsa=authority[1]).files:
        if harm == "another":
            file.rename(file.with_name(file.name.replace("000002", "000001")))
        else:
            file.write_text("" if harm == "empty" else "seal")
    (book / "seals" / "notes.txt").write_text("x")
    assert verify(book).findings.totals == {"seal": 2, "unknown": 1}


def test_a_certificate_that_has_expired_since_leaves_its_time_stamps_valid(
    book: Path, tmp_path: Path
) -> None:
    """And one that had expired before vouches for nothing."""
    for seconds in (3, 30):
        soon = Authority(tmp_path / f"{seconds}s", valid=(-YEAR, dt.timedelta(seconds=seconds)))
        # Certificates know whole seconds.
        last = time.monotonic() + seconds - 1
        with soon.served() as url:
            seal(book, key=None, tsa=url)
        if time.monotonic() < last:
            break
        # A busy machine sealed too late.
        shutil.rmtree(book / "seals")
    expired = Authority(tmp_path / "expired", valid=(-2 * YEAR, -YEAR))
    with expired.served() as url:
        seal(book, key=None, tsa=url)
    time.sleep(max(0, last + 2 - time.monotonic()))
    verified = verify(book, expected=Expected.of(trust=soon.trust))
    assert [seal.trusted for seal in verified.vouched.seals] == [True, False]
    assert kinds(verified) == (set(), {"unknown_signer"})
    late = verify(book, expected=Expected.of(trust=expired.trust))
    assert kinds(late) == ({"not_sealed"}, {"unknown_signer"})


@pytest.mark.parametrize("answer", [b"", b"<html>", None])
def test_an_authority_that_gives_no_time_stamp_leaves_nothing(
    book: Path, keys: Path, authority: tuple[Authority, str], answer: bytes | None
) -> None:
    if answer is None:
        # A valid answer, to another question.
        seal(book, key=None, tsa=authority[1])
        [file] = (book / "seals").iterdir()
        answer = file.read_bytes()
        shutil.rmtree(book / "seals")
    with authority[0].served(answer) as url, pytest.raises(InputError, match="--tsa: http"):
        seal(book, key=keys / "auditor", tsa=url)
    assert not (book / "seals").exists()


def test_what_cannot_seal_is_named(
    book: Path, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = str(tmp_path / "nothing")
    for words, error in (
        ([], "seal: one of --key and --tsa is needed"),
        (["--key", nothing], "there is no such file"),
        (["--key", str(keys / "signers")], "ssh-keygen cannot sign with it"),
        (["--tsa", "ftp://example.jp"], "not a URL that begins with http:// or https://"),
        (["--tsa", "http://127.0.0.1:9/"], "the authority cannot be asked"),
    ):
        with pytest.raises(InputError) as raised:
            call(["seal", str(book), *words])
        assert error in raised.value.message
        assert raised.value.hint
    assert not (book / "seals").exists()
    assert capsys.readouterr().out == ""


def test_a_book_whose_chain_is_broken_is_not_sealed(book: Path, keys: Path) -> None:
    path = book / "runs" / "000001" / "record.json"
    path.write_text(path.read_text().replace('"user": "', '"user": "x'))
    with pytest.raises(Exception, match="was made after another one than runs/000001"):
        seal(book, key=keys / "auditor", tsa=None)


# --- The verification as evidence -----------------------------------------------------------------


def said(book: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = call(["verify", str(book), *words])
    out, err = capsys.readouterr()
    assert err == ""
    return code, out


def test_what_is_printed_is_as_the_schema_says_and_kept_in_a_file(
    desk: Desk,
    book: Path,
    keys: Path,
    authority: tuple[Authority, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seal(book, key=keys / "auditor", tsa=authority[1])
    head = hashlib.sha256((book / "runs/000001/record.json").read_bytes()).hexdigest()
    names = ["--signers", str(keys / "signers"), "--trust", str(authority[0].trust)]
    names += ["--head", head, "--enrollments", str(desk.enrollments), "--transactions"]
    names += [str(path) for path in given(desk)["transactions"]]
    kept = tmp_path / "kept.json"
    code, out = said(book, *names, "--json", "--out", str(kept), capsys=capsys)
    value = json.loads(out)
    jsonschema.validate(value, SCHEMA)
    assert code == 0
    assert json.loads(kept.read_text()) == value
    assert kept.stat().st_mode & 0o777 == 0o600
    assert value["unproven"] == []
    assert {check["check"]: check["state"] for check in value["checks"]} == {
        **dict.fromkeys(("bytes", "places", "arithmetic", "index", "origin", "seals"), "done"),
        "payouts": "nothing",
        "claims": "not_asked",
    }
    with pytest.raises(InputError, match="there is something already"):
        call(["verify", str(book), "--out", str(kept)])


def left_by_a_dead_run(book: Path) -> None:
    for folder in (book / "staging", book / "staging" / "run"):
        folder.mkdir(0o700)


def test_findings_are_as_the_schema_says(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (book / "ledger" / "000001-00000.parquet").write_bytes(b"x")
    left_by_a_dead_run(book)
    code, out = said(book, "--json", "--show-ids", capsys=capsys)
    value = json.loads(out)
    jsonschema.validate(value, SCHEMA)
    assert code == 1
    assert {finding["kind"] for finding in value["findings"]} == {"changed", "not_recalculated"}
    assert {remark["kind"] for remark in value["remarks"]} == {"left_over"}
    assert value["unproven"] == ["origin", "unsealed", "times"]


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("en", ("not proven: that the rows", "verified: 0 findings, 1 remarks", "C2 remark: stag")),
        (
            "ja",
            (
                "証明されていないこと: 各行",
                "検証結果: 指摘 0 件、注記 1 件",
                "C2 注記: staging/run: 異常",
            ),
        ),
    ],
)
def test_people_read_what_was_checked_and_what_is_not_proven(
    book: Path, lang: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    left_by_a_dead_run(book)
    code, out = said(book, "--lang", lang, capsys=capsys)
    assert code == 0
    for text in words:
        assert text in out, out
    record = (book / "runs" / "000002" / "record.json").read_bytes()
    assert hashlib.sha256(record).hexdigest() in out
