"""The READMEs: mynapoint takes every command that they show, and what they point to is there."""

import re
import shlex

import pytest
from deliveries import ROOT

from pipelines.cli import app

READMES = ("README.md", "README.ja.md")


def commands(name: str) -> list[list[str]]:
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^\$ mynapoint (.*)$", text, re.MULTILINE)
    # What may be left out, alternatives, and what goes to a file are written as in a manual.
    plain = [re.sub(r"\[[^\]]*\]|\| --final|> \S+|…", "", line) for line in lines]
    return [shlex.split(line, comments=True) for line in plain]


@pytest.mark.parametrize("name", READMES)
def test_every_command_is_one(name: str) -> None:
    shown = commands(name)
    assert len(shown) > 15
    for words in shown:
        command = app[words[0]]
        if words[0] in ("layout", "config"):
            command = command[words[1]]
        known = {n for option in command.assemble_argument_collection() for n in option.names}
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= known, words


@pytest.mark.parametrize("name", READMES)
def test_what_they_point_to_is_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in target]
    assert len(targets) > 10
    for target in targets:
        assert (ROOT / target).exists(), target
