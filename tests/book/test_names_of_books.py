"""A path names one file or folder, by its letters: not a pattern, a URL or a store."""

import os
import shutil
import socket
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest
from command_line import in_this_process
from command_line import mynapoint as mynapoint_in_a_process
from small_nights import deliver, digests

import mynapoint
from pipelines.cli import call

NAME = "a[1] ?*%20 帳簿"
# What the name would match as a pattern or mean as a URL.
NEIGHBOURS = ("a1 xyz%20 帳簿", "a1 ?*%20 帳簿", "a[1] ?*  帳簿", "a[1] xx%20 帳簿")


def run(*arguments: str | Path, cwd: Path) -> tuple[int, str]:
    done = in_this_process(*arguments, cwd=cwd)
    return done.returncode, done.stderr


def rows_of(book: Path) -> pl.DataFrame:
    """The ledger's rows, each file by its own name."""
    parts = sorted(file for file in (book / "ledger").iterdir() if file.suffix == ".parquet")
    rows = pl.concat(pl.read_parquet(part, glob=False) for part in parts)
    return rows.sort("run_id", "person_id", "entry_seq")


OTHER_NAMES = ("-back\\slash", "s3:p=1", "file:a{1,2}#x")


@pytest.mark.parametrize("name", [NAME, *OTHER_NAMES])
def test_every_command_takes_a_books_name_letter_by_letter(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside neighbours that are damaged books: whoever opens one of them says so."""
    nights = [deliver(tmp_path / "nights", number) for number in (1, 2)]
    plain = tmp_path / "plain"
    for night in nights:
        night.book(plain)
    place = tmp_path / "place"
    place.mkdir()
    # Results stand in such a folder, too.
    results = tmp_path / f"r{name}"
    results.mkdir()
    monkeypatch.chdir(place)
    for neighbour in NEIGHBOURS if name == NAME else ():
        other = Path(shutil.copytree(plain, place / neighbour))
        for file in [*other.rglob("*.parquet"), *other.rglob("*.json")]:
            file.write_bytes(b"of another book")
    left_alone = {neighbour: digests(place / neighbour) for neighbour in NEIGHBOURS}
    book = f"./{name}"
    assert call(nights[0].arguments(Path(book).absolute())) == 0
    # Once as a shell hands it on.
    command = mynapoint_in_a_process if name == NAME else in_this_process
    done = command(*nights[1].arguments(Path(book).absolute()))
    assert done.returncode == 0, done.stderr
    assert rows_of(place / name).equals(rows_of(plain))
    delivered = [word for night in nights for word in ("--transactions", str(night.transactions))]
    delivered += [word for night in nights for word in ("--enrollments", str(night.enrollments))]
    delivered += [word for night in nights for word in ("--events", str(night.events))]
    claim = tmp_path / "claim.csv"
    claim.write_text("service_id,account_id,points\ncoin,A010,1\n")
    always: list[tuple[int, list[str | Path]]] = [
        (0, ["payout", book, "--due-by", "2020-10-31", "--out", results / "payouts"]),
        (0, ["verify", book, *delivered]),
    ]
    commands: list[tuple[int, list[str | Path]]] = [
        (0, ["explain", book, "--person", "P010", "--html", results / "p.html", "--declined"]),
        (0, ["explain", book, "--transaction", "coin", "T010-9"]),
        (1, ["reconcile", book, claim, "--out", results / "breaks"]),
        (0, ["claim", book, "--final", "--out", results / "claim"]),
        (0, ["diff", book, "1", "2", "--out", results / "changed"]),
        (0, ["quarantine", book, "1", "--csv", "--out", results / "quarantine"]),
        (
            0,
            ["report", book, "--out", results / "r.html", "--xlsx", results / "r.xlsx", "--verify"],
        ),
        (0, ["remarks", book, "--out", results / "remarks"]),
        (0, ["workpapers", book, "--out", results / "papers.zip"]),
        (0, ["draw", book, "--units", "3", "--seed", "1", "--out", results / "sample"]),
        (0, ["simulate", book, "--rate", "30/100", "--quiet"]),
        (0, ["pending", book, "--out", results / "pending"]),
        (0, ["payout", book, "--again", "1", "--out", results / "again"]),
        (0, ["due", book, "--on", "2020-10-31"]),
        (0, ["runs", book]),
        (0, ["check", book, "--enrollments", nights[0].enrollments]),
        (0, ["status", book]),
    ]
    if name != NAME:
        # Every command takes one name more.
        commands = commands[OTHER_NAMES.index(name) :: len(OTHER_NAMES)]
    for expected, arguments in always + commands:
        code, err = run(*arguments, cwd=place)
        assert code == expected, (arguments[0], err)
    assert left_alone == {neighbour: digests(place / neighbour) for neighbour in NEIGHBOURS}
    assert {path.name for path in place.iterdir()} == {name, *(NEIGHBOURS if name == NAME else ())}


@pytest.mark.parametrize("url", ["s3://bucket/book", "gs://b/c", "https://h/b", "file:///tmp/b"])
def test_a_url_is_no_book_and_leaves_nothing_behind(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = deliver(tmp_path / "nights", 1)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def no_network(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    claim = tmp_path / "claim.csv"
    claim.write_text("service_id,account_id,points\n")
    for arguments in (
        [*night.arguments(Path("BOOK"))],
        ["verify", "BOOK"],
        ["seal", "BOOK", "--key", "key"],
        ["diff", "BOOK", "1", "2"],
        ["explain", "BOOK", "--person", "P"],
        ["browse", "BOOK"],
        ["remarks", "BOOK"],
        ["workpapers", "BOOK", "--out", "papers.zip"],
        ["draw", "BOOK", "--units", "1", "--seed", "1", "--out", "out"],
        ["reconcile", "BOOK", str(claim), "--out", "out"],
        ["claim", "BOOK", "--final"],
        ["quarantine", "BOOK", "1"],
        ["report", "BOOK", "--out", "r.html"],
        ["simulate", "BOOK", "--rate", "30/100"],
        ["payout", "BOOK", "--due-by", "2020-10-31", "--out", "payouts"],
        ["due", "BOOK", "--on", "2020-10-31"],
        ["pending", "BOOK"],
        ["runs", "BOOK"],
        ["check", "BOOK", "--transactions", str(night.transactions)],
        ["runs", "BOOK", "--attempts"],
        ["publish", "BOOK", "s3://bucket/book"],
        ["status", "BOOK"],
        ["sample", "BOOK"],
    ):
        with pytest.raises(mynapoint.InputError, match="this is a URL"):
            call([url if word == "BOOK" else word for word in arguments])
    assert not list(here.iterdir())


def test_a_name_that_is_no_text_is_refused_or_kept_as_it_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night, name = deliver(tmp_path / "nights", 1), os.fsdecode(b"b\xff")
    monkeypatch.chdir(tmp_path)
    book = ["run", "book", *night.arguments(Path("book"))[2:]]
    for words in (
        ["run", name, *book[2:]],
        ["verify", name],
        ["claim", "book", "--final", "--out", name],
        [*book[:-1], "--rejects", name],
    ):
        code, err = run(*words, cwd=tmp_path)
        assert (code, "the name is not UTF-8" in err) == (2, True), err
    (tmp_path / name).mkdir()
    code, err = run(*book, cwd=tmp_path / name)
    assert (code, "the name is not UTF-8" in err) == (2, True), err
    assert {path.name for path in tmp_path.iterdir()} == {"nights", name}
    # What is only read may be called so.
    shutil.copy(night.services, tmp_path / name / "s.toml")
    book[book.index("--services") + 1] = f"{name}/s.toml"
    monkeypatch.setattr("sys.argv", ["mynapoint", *book])
    code, err = run(*book, cwd=tmp_path)
    assert code == 0, err
    record = (tmp_path / "book" / "runs" / "000001" / "record.json").read_text("utf-8")
    assert "b\\\\udcff/s.toml" in record


def test_a_path_below_a_folder_that_is_gone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(mynapoint.InputError, match="the command was run in is gone"):
        call(["verify", "book"])


def test_what_is_no_book_is_exit_2_for_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    claim = tmp_path / "claim.csv"
    claim.write_text("service_id,account_id,points\n")
    for name in ("nothing", "file", "empty"):
        for arguments in (
            ["verify", name],
            ["seal", name, "--key", "key"],
            ["diff", name, "1", "2"],
            ["explain", name, "--person", "P"],
            ["browse", name],
            ["remarks", name],
            ["workpapers", name, "--out", "papers.zip"],
            ["draw", name, "--units", "1", "--seed", "1", "--out", "out"],
            ["reconcile", name, str(claim), "--out", "out"],
            ["claim", name, "--final"],
            ["quarantine", name, "1"],
            ["report", name, "--out", "r.html"],
            ["simulate", name, "--rate", "30/100"],
            ["payout", name, "--due-by", "2020-10-31", "--out", "payouts"],
            ["due", name, "--on", "2020-10-31"],
            ["pending", name],
            ["runs", name],
            ["publish", name, "s3://bucket/book"],
            ["status", name],
        ):
            with pytest.raises(mynapoint.InputError, match="there is no book") as raised:
                call(arguments)
            assert raised.value.exit_code == 2
    assert {path.name for path in tmp_path.iterdir()} == {"file", "empty", "claim.csv"}


def test_a_tilde_is_the_users_folder_wherever_a_path_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a folder is called so: what its path says is never read from elsewhere."""
    home, here = tmp_path / "home", tmp_path / "here"
    monkeypatch.setenv("HOME", str(home))
    (here / "~" / "night-01").mkdir(parents=True)
    night = deliver(home, 1)
    frame = pl.read_csv(night.transactions, infer_schema=False)
    frame.write_parquet(home / "night-01" / "t.parquet")
    frame.head(1).write_parquet(here / "~" / "night-01" / "t.parquet")
    shipped = files("engine.terms").joinpath("programmes/mynapoint-2020.toml")
    (home / "own.toml").write_text(shipped.read_text("utf-8"), "utf-8")
    arguments = ["--services", "~/night-01/services.toml", "--programme", "~/own.toml"]
    arguments += ["--enrollments", "~/night-01/enrollments.csv", "--max-quarantined=1", "--quiet"]
    code, err = run("run", "~/book", "--booked-on", "2020-10-01", *arguments,
        "--transactions", "~/night-01/*.parquet", cwd=here)  # fmt: skip
    assert code == 0, err
    assert (
        mynapoint.load_programme("mynapoint-2020").sha256
        in (home / "book" / "runs" / "000001" / "record.json").read_text()
    )
    for words in (
        ["report", "~/book", "--out", "~/r.html", "--xlsx", "~/r.xlsx"],
        ["explain", "~/book", "--person", "P010", "--html", "~/p.html"],
        ["claim", "~/book", "--final", "--out", "~/claim"],
        ["verify", "~/book", "--out", "~/verified", "--claim", "~/claim/claim.json"],
        ["pending", "~/book", "--out", "~/pending"],
        ["due", "~/book", "--on", "2020-10-31"],
        ["payout", "~/book", "--due-by", "2020-10-31", "--out", "~/payouts"],
        ["preview", "~/night-01/transactions.csv"],
        ["sample", "~/sample"],
    ):
        code, err = run(*words, cwd=here)
        assert code in (0, 1), (words, err)
    written = {"book", "r.html", "r.xlsx", "p.html", "claim", "pending", "payouts", "sample"}
    assert written <= {p.name for p in home.iterdir()}
    # The folder called so, by a path that does not begin with it.
    code, err = run("run", "./book", "--booked-on", "2020-10-01", *arguments,
        "--transactions", "./~/night-01/t.parquet", cwd=here)  # fmt: skip
    assert code == 0, err
    record = (here / "book" / "runs" / "000001" / "record.json").read_text()
    assert '"read": 1,' in record
    assert {path.name for path in here.iterdir()} == {"~", "book"}
