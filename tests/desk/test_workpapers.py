"""`workpapers`: all that an audit rests on in one file, of one book, with the digests of all."""

import hashlib
import json
import stat
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from deliveries import Desk, bodies, transaction

import mynapoint
from engine.errors import InputError
from pipelines.cli import call


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    for night in (1, 2):
        desk.run(desk.transactions([transaction(night, amount="4000")]))
    return desk


def packed(
    desk: Desk, capsys: pytest.CaptureFixture[str], *options: object, name: str = "papers.zip"
) -> tuple[int, Path, dict[str, Any]]:
    out = desk.folder / name
    capsys.readouterr()
    code = call(["workpapers", str(desk.book), "--out", str(out), "--json", *map(str, options)])
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, out, value


def last_record_sha256(desk: Desk) -> str:
    return hashlib.sha256((desk.book / "runs" / "000002" / "record.json").read_bytes()).hexdigest()


def test_results_that_were_altered_are_refused_and_seals_are_files(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = desk.write("claim.csv", "service_id,account_id,points\ncoin,A1,1\n")
    breaks = desk.folder / "breaks"
    call(["reconcile", str(desk.book), str(claim), "--out", str(breaks)])
    (desk.book / "seals" / "old").mkdir(parents=True)
    assert packed(desk, capsys, "--differences", breaks)[1].exists()
    (breaks / "breaks.csv").write_text("service_id\n")
    with pytest.raises(InputError, match="this is not the file that"):
        packed(desk, capsys, "--differences", breaks, name="altered.zip")


def test_a_sample_is_the_one_that_its_seed_and_the_book_give(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its sheet is as it was drawn, or filled in: never of other units, or of other points."""
    sample = tmp_path / "sample"
    call(["draw", str(desk.book), "--units", "2", "--seed", "1", "--out", str(sample)])
    sheet, description = sample / "sample.csv", sample / "sample.json"
    # As it stands, with its mark and its line ends.
    drawn, described = sheet.read_bytes().decode(), description.read_text("utf-8")

    def refused(why: str) -> None:
        with pytest.raises(InputError, match=why):
            packed(desk, capsys, "--sample", sample, name="refused.zip")

    assert ",1000,,," in drawn
    # The points of an award are another, and the digest is made anew.
    altered = drawn.replace(",1000,,,", ",999,,,", 1)
    sheet.write_text(altered, "utf-8", newline="")
    before, after = (hashlib.sha256(text.encode()).hexdigest() for text in (drawn, altered))
    assert before in described
    description.write_text(described.replace(before, after), "utf-8")
    refused("is not as the sample's seed and the book give it")
    description.write_text(described, "utf-8")
    refused("is not as the sample's seed and the book give it")
    sheet.write_text(drawn.replace(",1000,,,", ",1000,1000,,", 1), "utf-8", newline="")
    refused("audited_points is empty")
    description.write_text(described.replace('"points": 2000', '"points": 2001'), "utf-8")
    refused("is not as the sample's seed")
    description.write_text(described, "utf-8")
    saved = drawn.removeprefix("\ufeff").replace(",1000,,,", ",1000,1000,確認済み,")
    sheet.write_text(saved, "cp932", newline="")
    assert packed(desk, capsys, "--sample", sample)[0] == 0
    sheet.unlink()
    refused("is missing")


def test_one_file_has_all_papers_and_their_digests(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = desk.write("claim.csv", "service_id,account_id,points\ncoin,A1,1\n")
    history, sample = tmp_path / "history", tmp_path / "sample"
    call(["reconcile", str(desk.book), str(claim), "--history", str(history)])
    call(["draw", str(desk.book), "--units", "2", "--seed", "1", "--out", str(sample)])
    before = bodies(desk.book)
    # The verification is held against all that `verify` takes.
    call(["claim", str(desk.book), "--final", "--out", str(tmp_path / "filed")])
    given = (
        *("--differences", history / "000001", "--sample", sample),
        *("--claim", tmp_path / "filed" / "claim.json", "--head", last_record_sha256(desk)),
    )
    code, out, value = packed(desk, capsys, *given)
    assert code == 0
    assert bodies(desk.book) == before
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert value["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(out) as papers:
        assert papers.testzip() is None
        papers.extractall(unpacked)
    names = set(bodies(unpacked))
    for name in (
        *("verification.json", "verification.txt", "head.json", "SHA256SUMS"),
        *("claim/claim.csv", "claim/claim.json", "claim/claim.xlsx", "remarks/remarks.json"),
        *("differences/01-000001/breaks.csv", "differences/01-000001/resolutions.csv"),
        *("samples/02-sample/sample.csv", "samples/02-sample/sample.json"),
        *("chain/runs/000001/record.json", "chain/runs/000002/record.json"),
    ):
        assert name in names, name
    assert value["papers"] == len(names) - 1
    # Whoever has the file checks it with what every system has.
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=unpacked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count(": OK") == len(names) - 1
    # The chain can be followed to the head that all results name.
    first, second = (unpacked / "chain" / "runs" / f"00000{n}" / "record.json" for n in (1, 2))
    sha256 = hashlib.sha256(first.read_bytes()).hexdigest()
    assert json.loads(second.read_bytes())["previous_sha256"] == sha256
    head = hashlib.sha256(second.read_bytes()).hexdigest()
    for name in ("claim/claim.json", "remarks/remarks.json", "differences/01-000001/summary.json"):
        assert json.loads((unpacked / name).read_bytes())["chain_sha256"] == head
    assert json.loads((unpacked / "head.json").read_bytes())["head"]["sha256"] == head
    assert value["chain_sha256"] == head
    verification = json.loads((unpacked / "verification.json").read_bytes())
    assert [claim["sha256"] for claim in verification["claims"]] == [head]
    assert [claim["sha256"] for claim in verification["heads"]] == [head]


def test_what_was_found_is_packed_too_and_said_by_the_exit_code(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table of the first run is of another run: its bytes are not those of the record."""
    table = desk.book / "runs" / "000001" / "declined.parquet"
    table.write_bytes(table.read_bytes() + b" ")
    code, out, value = packed(desk, capsys)
    assert code == 1
    assert value["findings"] >= 1
    with zipfile.ZipFile(out) as papers:
        assert b"declined.parquet" in papers.read("verification.json")
        assert b"declined.parquet" in papers.read("verification.txt")


def test_nothing_is_written_over_and_nothing_of_another_book_is_packed(
    desk: Desk, six_nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = packed(desk, capsys)
    before = out.read_bytes()
    with pytest.raises(mynapoint.InputError, match="there is something already"):
        packed(desk, capsys)
    assert out.read_bytes() == before
    other = tmp_path / "other"
    call(["draw", str(six_nights), "--units", "2", "--seed", "1", "--out", str(other)])
    with pytest.raises(mynapoint.InputError, match="another book"):
        packed(desk, capsys, "--sample", other, name="two.zip")
    with pytest.raises(mynapoint.InputError, match="cannot be read as what mynapoint reconcile"):
        packed(desk, capsys, "--differences", other, name="two.zip")
    (other / "more").mkdir()
    own = tmp_path / "own"
    call(["draw", str(desk.book), "--units", "2", "--seed", "1", "--out", str(own)])
    (own / "link").symlink_to("/etc/passwd")
    with pytest.raises(mynapoint.InputError, match="this is not a file"):
        packed(desk, capsys, "--sample", own, name="two.zip")
    assert not (desk.folder / "two.zip").exists()
    with pytest.raises(mynapoint.InputError, match="within the book"):
        call(["workpapers", str(desk.book), "--out", str(desk.book / "papers.zip")])


def test_results_of_an_earlier_state_of_the_book_are_packed(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = tmp_path / "sample"
    call(["draw", str(desk.book), "--units", "2", "--seed", "1", "--out", str(sample)])
    desk.run(desk.transactions([transaction(3, amount="400")]))
    assert packed(desk, capsys, "--sample", sample)[0] == 0
    capsys.readouterr()
    call(["workpapers", str(desk.book), "--out", str(tmp_path / "ja.zip"), "--lang", "ja"])
    assert "調書を" in capsys.readouterr().out
