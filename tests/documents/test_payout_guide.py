"""The guides to payouts: every command that they show can be typed, in their order."""

import csv
import re
import shlex
import shutil
from pathlib import Path

import pytest
from deliveries import ROOT

from pipelines.cli import call

DOCS = ROOT / "docs"
GUIDES = ("payouts.md", "payouts.ja.md")


def commands(guide: str) -> list[list[str]]:
    text = (DOCS / guide).read_text(encoding="utf-8")
    return [shlex.split(line) for line in re.findall(r"^\$ mynapoint (.*)$", text, re.MULTILINE)]


def form(guide: str) -> str:
    """The form that the guide shows."""
    text = (DOCS / guide).read_text(encoding="utf-8")
    shown: list[str] = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    [own_form] = [block for block in shown if 'role = "payouts"' in block]
    return own_form


@pytest.mark.parametrize("guide", GUIDES)
def test_every_command_of_the_guide_can_be_typed(
    guide: str, six_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(six_nights, tmp_path / "build" / "book")
    monkeypatch.chdir(tmp_path)
    typed = commands(guide)
    assert len(typed) == 9
    (tmp_path / "own-system.toml").write_text(form(guide), encoding="utf-8")
    for arguments in typed:
        if "answers.csv" in arguments:
            _answer(tmp_path)
        assert call(arguments) == 0, arguments


def _answer(folder: Path) -> None:
    """What a points system would answer: one refusal, the first of the failures, the rest done."""
    lines = [
        row["payout_id"]
        for file in sorted((folder / "payouts").glob("*.csv"))
        for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    ]
    header = "payout_id,outcome,answered_on,code\n"
    done = "".join(f"{payout_id},done,2021-11-02,\n" for payout_id in lines[:-1])
    (folder / "answers.csv").write_text(header + done, encoding="utf-8")
    failed = f"{lines[-1]},refused,2021-11-02,closed\n"
    (folder / "failed.csv").write_text(header + failed, encoding="utf-8")


def test_both_guides_show_the_same_commands() -> None:
    assert commands(GUIDES[0]) == commands(GUIDES[1])
