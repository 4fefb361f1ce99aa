"""A night by its sources file: what arrives from whom, and a run of it in one word."""

import datetime as dt
import hashlib
import json
import re
from pathlib import Path

import pytest
from deliveries import Desk, transaction

from engine.errors import InputError
from engine.io.run.changes import JAPAN
from pipelines.cli import call
from pipelines.night.sources import load_sources

CONFIG = """
[run]
existing = false
wait = 60
max_quarantined = [1, 2]
allow_quarantined = 3
services = "services.toml"
gates = "gates.toml"
log_json = "log/{booked_on}.jsonl"

[[sources]]
name = "coin"
files = "in/{booked_on:%Y%m%d}/coin-*.csv"
manifest = "in/{booked_on:%Y%m%d}/SHA256SUMS"

[[sources]]
name = "city"
role = "enrollments"
files = "in/{booked_on:%Y%m%d}/enrollments.csv"
required = false
"""
GATES = '[[gates]]\nname = "some"\nmeasure = "files"\nwarn_above = 9\n'


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path)
    desk.write("mynapoint.toml", CONFIG)
    desk.write("gates.toml", GATES)
    desk.write("log/.keep", "")
    deliver(desk, "20200929", 1)
    desk.write("in/20200929/enrollments.csv", desk.enrollments.read_bytes())
    monkeypatch.chdir(tmp_path)
    return desk


def deliver(desk: Desk, day: str, number: int) -> Path:
    path = desk.transactions([transaction(number)], f"in/{day}/coin-1.csv")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    desk.write(f"in/{day}/SHA256SUMS", f"{digest}  coin-1.csv\n")
    return path


def test_nights_are_booked_with_what_their_sources_have(desk: Desk) -> None:
    deliver(desk, "20200930", 2)
    for day in ("2020-09-29", "2020-09-30"):
        assert call(["night", "book", "--booked-on", day, "--quiet"]) == 0
    assert desk.booked() == ["T1", "T2"]
    roles = [[read["role"] for read in desk.record(n)["inputs"]] for n in (1, 2)]
    assert roles == [["enrollments", "transactions"], ["transactions"]]
    assert (desk.book / "runs" / "000002" / "gates.toml").read_text() == GATES
    assert len((desk.folder / "log" / "2020-09-30.jsonl").read_text().splitlines()) > 2


def test_the_environment_may_name_the_book_and_the_file(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.write("etc/other.toml", CONFIG.replace('"in/', '"../in/').replace('s.toml"', 's.toml"'))
    for name in ("services.toml", "gates.toml"):
        desk.write(f"etc/{name}", (desk.folder / name).read_bytes())
    desk.write("etc/log/.keep", "")
    monkeypatch.setenv("MYNAPOINT_BOOK", str(desk.book))
    monkeypatch.setenv("MYNAPOINT_CONFIG", "etc/other.toml")
    assert call(["night", "--booked-on", "2020-09-29", "--quiet"]) == 0
    assert (desk.folder / "etc" / "log" / "2020-09-29.jsonl").exists()


def test_a_required_source_that_is_missing_is_named_and_nothing_booked(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    night = ["night", "book", "--booked-on", "2020-09-30"]
    with pytest.raises(InputError, match=r"source coin: there is no file .*in/20200930/coin-\*"):
        call(night)
    assert not desk.book.exists()
    assert call(["config", "show", "--booked-on", "2020-09-30"]) == 1
    assert "none, and required" in capsys.readouterr().out
    assert call(["config", "show", "--booked-on", "2020-09-29", "--lang", "ja"]) == 0
    assert call([*night, "--nothing-delivered", "--quiet"]) == 0
    assert desk.record()["inputs"] == []


def test_watchers_hear_of_a_night_whose_required_source_is_missing(desk: Desk) -> None:
    watchers = f'metrics = "night.prom"\non_finish = "tee {desk.folder / "told.json"}"\n'
    desk.write("mynapoint.toml", CONFIG.replace("[run]\n", f"[run]\n{watchers}"))
    assert call(["night", "book", "--booked-on", "2020-09-29", "--quiet"]) == 0
    with pytest.raises(InputError, match="source coin: there is no file"):
        call(["night", "book", "--booked-on", "2020-09-30"])
    log = (desk.folder / "log" / "2020-09-30.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["exit"] == 2
    attempts = (desk.book / "attempts.jsonl").read_text().splitlines()
    assert json.loads(attempts[-1])["exit"] == 2
    assert "source coin" in json.loads((desk.folder / "told.json").read_text())["error"]["message"]
    metrics = (desk.folder / "night.prom").read_text()
    assert re.search(r"^mynapoint_attempt_exit_code[{].*[}] 2[.]0$", metrics, re.MULTILINE)


def test_a_note_of_a_source_speaks_of_its_own_files(desk: Desk) -> None:
    desk.write("in/20200929/SHA256SUMS", f"{'0' * 64}  coin-1.csv\n")
    with pytest.raises(InputError, match="the deliveries are not what is noted") as caught:
        call(["night", "book", "--booked-on", "2020-09-29"])
    assert caught.value.code == "manifest_differs"


def test_the_book_has_to_be_there_unless_the_night_makes_a_new_one(desk: Desk) -> None:
    desk.write("mynapoint.toml", CONFIG.replace("existing = false\n", ""))
    night = ["night", "book", "--booked-on", "2020-09-29", "--quiet"]
    with pytest.raises(InputError) as caught:
        call(night)
    assert caught.value.code == "no_book"
    assert call([*night, "--dry-run", "--new-book"]) == 0
    assert not desk.book.exists()
    assert call([*night, "--new-book"]) == 0


def test_parameters_may_stand_in_a_files_name(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    waon = '[[sources]]\nname = "waon"\nfiles = "in/waon-*.csv"\nlayout = "waon"\n'
    desk.write("w.toml", f"{waon}parameters_from_name = 'waon-(?P<account_id>[0-9]+)[.]csv'\n")
    desk.write("in/waon-6900.csv", "x\n")
    assert call(["config", "validate", "--config", "w.toml"]) == 0
    capsys.readouterr()
    show = ["config", "show", "--config", "w.toml", "--booked-on", "2020-09-29", "--json"]
    assert call(show) == 0
    [source] = json.loads(capsys.readouterr().out)["sources"]
    assert source["files"] == [str(desk.folder / "in" / "waon-6900.csv")]
    desk.write("in/waon-x.csv", "x\n")
    with pytest.raises(InputError, match="the name is not as parameters_from_name says"):
        call(show)


@pytest.mark.usefixtures("desk")
def test_today_and_yesterday_are_japans(capsys: pytest.CaptureFixture[str]) -> None:
    before = dt.datetime.now(JAPAN).date()
    assert call(["config", "show", "--booked-on", "yesterday", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    after = dt.datetime.now(JAPAN).date()
    days = [day - dt.timedelta(1) for day in (before, after)]
    assert any(f"{day:%Y%m%d}" in said["sources"][0]["pattern"] for day in days)
    assert said["options"]["max_quarantined"] == [1, 2]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('role = "enrollments"', 'role = "answers"', "answers"),
        ("wait = 60", "wait = -1", "wait"),
        ("wait = 60", "waiting = 60", "waiting"),
        ('name = "city"', 'name = "coin"', "twice"),
        ("{booked_on:%Y%m%d}/coin", "{day}/coin", "cannot be filled in"),
        ("required = false", "parameters_from_name = '('", "parameters_from_name"),
        ("required = false", "parameters_from_name = 'a'", "no named group"),
        ("[[sources]]", "[[source]]", "source"),
    ],
)
def test_the_file_is_read_strictly(desk: Desk, old: str, new: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        load_sources(desk.write("bad.toml", CONFIG.replace(old, new)))


def test_a_programme_that_is_a_file_begins_at_the_folder_of_the_sources_file(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    own = CONFIG.replace("[run]\n", '[run]\nprogramme = "terms.toml"\n')
    desk.write("etc/mynapoint.toml", own)
    show = ["config", "show", "--config", "etc/mynapoint.toml", "--booked-on", "2020-09-29"]
    assert call([*show, "--json"]) == 1
    options = json.loads(capsys.readouterr().out)["options"]
    assert options["programme"] == str(desk.folder / "etc" / "terms.toml")
    for name in ("services.toml", "gates.toml"):
        desk.write(f"etc/{name}", (desk.folder / name).read_bytes())
    with pytest.raises(InputError, match=r"etc/terms\.toml"):
        call(["config", "validate", "--config", "etc/mynapoint.toml"])


def test_validate_leaves_out_what_is_another_file_each_night(desk: Desk) -> None:
    desk.write("mynapoint.toml", CONFIG.replace("gates.toml", "gates-{booked_on:%Y}.toml"))
    assert call(["config", "validate"]) == 0


def test_a_folder_may_be_called_like_a_pattern(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.write("[1]/mynapoint.toml", CONFIG)
    desk.write("[1]/in/20200929/coin-1.csv", "x\n")
    show = ["config", "show", "--config", "[1]/mynapoint.toml", "--booked-on", "2020-09-29"]
    assert call([*show, "--json"]) == 0
    [coin, _] = json.loads(capsys.readouterr().out)["sources"]
    assert coin["files"] == [str(desk.folder / "[1]" / "in" / "20200929" / "coin-1.csv")]


def test_validate_reads_what_the_file_names(desk: Desk) -> None:
    assert call(["config", "validate"]) == 0
    desk.write("gates.toml", "[[gates]]\n")
    with pytest.raises(InputError, match=r"gates\.toml"):
        call(["config", "validate"])
    with pytest.raises(InputError, match="no such file"):
        call(["config", "validate", "--config", "gone.toml"])
