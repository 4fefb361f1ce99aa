"""A night is told of in Japanese and in English: its summary, warnings, refusals and errors."""

import re
import sys
from pathlib import Path

import pytest
from command_line import in_this_process
from deliveries import SERVICES, Desk, as_csv, transaction

from pipelines.shown.said import said

GATES = """
[[gates]]
name = "件数"
measure = "read"
warn_below = 100

[[gates]]
name = "対象外"
measure = "declined"
reason = "not_enrolled"
of = "read"
warn_above = 1
"""
JAPANESE = re.compile("[ぁ-んァ-ン一-龠]")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def night(desk: Desk, *more: object, lang: str = "ja") -> tuple[int, str, str]:
    """Books a night; the exit code, and what was said on both streams."""
    rows = [transaction(n, transaction_id=f"{n}.5E+15") for n in (1, 2)]
    rows += [transaction(3, account_id="nobody", method="魔法")]
    path = desk.write("t.csv", as_csv(rows).removesuffix("\n"))
    # A service that lists its methods, so that others are unknown.
    desk.services.write_text(SERVICES.replace('"coin"\n', '"coin"\nexcluded_methods = ["gift"]\n'))
    done = in_this_process(
        *("run", desk.book, "--booked-on", "2020-10-01", "--services", desk.services, "--lang"),
        *(lang, "--enrollments", desk.enrollments, "--transactions", path, *more),
    )
    return done.returncode, done.stdout, done.stderr


def test_the_summary_is_in_the_language_that_was_asked_for(desk: Desk) -> None:
    _, japanese, _ = night(desk, "--dry-run")
    assert japanese.startswith("試行: 何も記帳していません。")
    assert "申込: 読込 1、受理 1、変更なし 0、却下 0、読込不可 0" in japanese
    assert [
        line.split() for line in japanese.splitlines() if line.startswith(("読込 ", "取引 "))
    ] == [
        ["取引", "件数", "円"],
        ["読込", "3", "300"],
    ]
    _, english, _ = night(desk, "--dry-run", lang="en")
    assert "points: 50 awarded, 0 reversed, 50 net" in english
    assert not JAPANESE.search(english)


def test_every_warning_is_in_japanese(desk: Desk) -> None:
    code, _, warned = night(desk, "--gates", desk.write("gates.toml", GATES), "--quiet")
    assert code == 0
    path = desk.folder / "t.csv"
    method = '"魔法"'
    expected = (
        f"note: {desk.book}: 台帳がなかったため、新しく作成しました。",
        "warning: 関門 件数: 読込 3 は、下限 100 を下回っています",
        "warning: 関門 対象外: 対象外(not_enrolled) 1 は、読込 3 の 1 % を上回っています",
        f"warning: {path}: 3 行目: 最後の行に改行がなく、途中で切れているおそれがあります",
        f"warning: {path}: 1 行目: transaction_id は表計算ソフトで丸められた値(1.2E+15)",
        f"warning: {path}: 3 行目: 決済手段 {method} はどのサービスの定義にもありません(1 件)",
    )
    for line, begins in zip(warned.splitlines(), expected, strict=True):
        assert line.startswith(begins)


def test_what_is_refused_is_counted_in_japanese(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.run(desk.transactions([transaction(1)]))
    rows = [transaction(1, amount="200"), transaction(2, amount="百円")]
    path = desk.transactions([*rows, transaction(3), transaction(3, amount="1")], "b.csv")
    words = ("run", desk.book, "--booked-on", "2020-10-01", "--transactions", path)
    monkeypatch.setattr(sys, "argv", ["mynapoint", *map(str, words), "--lang", "ja"])
    done = in_this_process(*words, "--lang", "ja")
    assert done.returncode == 2
    error, hint = done.stderr.splitlines()
    counts = (
        f"台帳の記帳内容と相違 1 件({path} row 1)、"
        f"読み取り不可 1 件: amount:malformed 1({path} row 2)、"
        f"受信ファイル内で相違 2 件({path} row 3, {path} row 4)"
    )
    assert error.startswith(
        "error: 読込 4 件のうち 4 件が読込不可となり、許容割合 0.05 を超えるため"
    )
    assert error.endswith(f"、記帳していません: {counts}")
    assert hint.startswith("hint: 受信ファイルの訂正を依頼するか、--max-quarantined を引き上げて")


def test_an_error_is_in_the_language_of_the_command_line_or_else_of_the_locale(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    words = ("run", desk.book, "--booked-on", "2020-10-01", "--transactions", "nowhere.csv")
    for locale, more, shown in (
        ("ja_JP.UTF-8", (), "ファイル、フォルダ、または一致するものがありません"),
        ("ja_JP.UTF-8", ("--lang=en",), "there is no such file, folder or match"),
        ("C", ("--lang", "ja"), "ファイル、フォルダ、または一致するものがありません"),
    ):
        monkeypatch.setenv("LANG", locale)
        monkeypatch.setattr(sys, "argv", ["mynapoint", *map(str, words), *more])
        error, hint = in_this_process(*words, *more).stderr.splitlines()
        assert error == f"error: transactions: nowhere.csv: {shown}"
        assert hint.startswith("hint: ")
        assert bool(JAPANESE.search(hint)) == bool(JAPANESE.search(error))


def test_what_is_not_known_stays_as_it_is() -> None:
    assert said("a message that nobody has met", "ja") == "a message that nobody has met"
    assert said("the last record has no line end, so it may be cut short", "en").startswith("the")
