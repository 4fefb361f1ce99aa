"""The ledger's log: one commit a run, in Delta Lake's form.

The commits are written and read here and not by delta-rs, which takes paths for URLs, syncs
nothing, and passes over a commit at which a look-up fails. Tests read them with delta-rs.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.errors import BookError
from engine.io.durable import link, operation, write_text

APPLICATION: Final = "mynapoint"
COMMIT_FILE: Final = re.compile(r"[0-9]{20}\.json")
# What delta-rs, which made the commits of earlier versions, leaves when it dies at one.
HALF_A_COMMIT: Final = re.compile(r"[0-9]{20}\.json#[0-9]+|_commit_.*\.tmp")

Action = dict[str, Any]


def run_id(number: int) -> str:
    """A run's name, such as ``000001``."""
    return f"{number:06}"


def commit_name(number: int) -> str:
    """The name of a run's commit."""
    return f"{number - 1:020}.json"


@dataclass(frozen=True, slots=True)
class Log:
    """The folder of the commits; a run's is the version that is its number less one."""

    path: Path

    def commit_file(self, number: int) -> Path:
        """Where a run's commit is."""
        return self.path / commit_name(number)

    def last(self) -> int:
        """The number of the last commit, after a look at the folder.

        Raises:
            BookError: one before it is missing.
            OSError: the folder cannot be looked at.
        """
        if not self.path.exists():
            return 0
        names = {name for name in os.listdir(self.path) if COMMIT_FILE.fullmatch(name)}  # noqa: PTH208
        for number in range(1, len(names) + 1):
            if commit_name(number) not in names:
                raise BookError(
                    f"{self.commit_file(number)}: the commit of run {run_id(number)} is missing",
                    hint="restore the book from a copy; nothing was booked",
                )
        return len(names)

    def read(self, number: int) -> bytes:
        """A commit as it was written."""
        # There may be years of them: a path is made once.
        with open(f"{self.path}/{commit_name(number)}", "rb") as file:
            return file.read()

    def actions(self, number: int) -> list[Action]:
        """What a commit says.

        Raises:
            ValueError: it is not a commit.
        """
        # Not splitlines(): a person's ID may hold what only Python takes for the end of a line.
        lines = self.read(number).split(b"\n")
        actions = [json.loads(line) for line in lines if line]
        if not all(isinstance(action, dict) for action in actions):
            raise ValueError(number)
        return actions

    def refuse_foreign(self, number: int, actions: list[Action]) -> None:
        """Refuses a commit that no run has made.

        Raises:
            BookError: naming the program and what it did.
        """
        maker = foreign_maker(actions)
        if maker:
            raise BookError(
                f"{self.commit_file(number)}: this commit was made by {maker}, not by a run",
                hint="no other program may write to a book; docs/reliability.md, 'Other programs', "
                "says how to undo it; nothing was booked",
            )

    def stage(self, number: int, actions: list[Action], folder: Path) -> Path:
        """Writes a commit to another folder, whole and synced."""
        text = "\n".join(
            json.dumps(action, ensure_ascii=False, separators=(",", ":")) for action in actions
        )
        staged = folder / self.commit_file(number).name
        write_text(staged, text)
        return staged

    def enter(self, number: int, staged: Path) -> None:
        """Gives a staged commit its place in the log, in one act.

        Raises:
            FileExistsError: there is such a commit.
        """
        path = self.commit_file(number)
        operation("commit", path)
        link(staged, path)
        operation("committed", path)


def foreign_maker(actions: list[Action]) -> str | None:
    """The program that made a commit, and its operation; None for a run's commit."""
    info: object = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    if not isinstance(info, dict) or "run_id" in info or not actions:
        return None
    if any(application(action) == APPLICATION for action in actions):
        return None
    program = info.get("engineInfo") or info.get("clientVersion") or "another program"
    return f"{str(program)[:80]} ({str(info.get('operation', 'operation unknown'))[:80]})"


def application(action: Action) -> str | None:
    """The application whose transaction an action notes."""
    noted = action.get("txn")
    return noted.get("appId") if isinstance(noted, dict) else None
