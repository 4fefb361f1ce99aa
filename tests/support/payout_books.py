"""Small books with payouts, made by the real command line."""

import csv
import datetime as dt
import io
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipelines.cli import call

ENROLLMENT_HEADER = "person_id,service_id,account_id,applied_at,card_applied_on\n"
TRANSACTION_HEADER = (
    "transaction_id,service_id,account_id,occurred_at,kind,amount,original_transaction_id\n"
)
ANSWER_HEADER = "payout_id,outcome,points,answered_on,code\n"
SERVICE = """\
[[services]]
service_id = "coin"
name = "a coin"
basis = "purchase"
"""

Line = dict[str, str]


@dataclass
class PayoutBook:
    """A book that is run, paid out and answered."""

    folder: Path
    nights: int = 0
    instructed: list[list[Line]] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.folder / "book"

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def run(
        self,
        booked_on: str,
        transactions: str,
        accounts: tuple[str, ...] = (),
        services: str | None = None,
        person: str = "P-{account}",
    ) -> None:
        """Books a night; each line is `ID,account,day,kind,yen[,original]`, of one service."""
        self.nights += 1
        arguments = ["run", str(self.path), "--booked-on", booked_on, "--quiet"]
        rows = [line.split(",") for line in transactions.split()]
        text = "".join(
            f"{transaction_id},coin,{account},{day} 10:00:00,{kind},{yen},{''.join(original)}\n"
            for transaction_id, account, day, kind, yen, *original in rows
        )
        file = self.file(f"transactions-{self.nights}.csv", TRANSACTION_HEADER + text)
        arguments += ["--transactions", str(file)]
        if accounts:
            text = "".join(
                f"{person.format(account=account)},coin,{account},2020-07-01 00:00:00,2020-06-01\n"
                for account in accounts
            )
            file = self.file(f"enrollments-{self.nights}.csv", ENROLLMENT_HEADER + text)
            arguments += ["--enrollments", str(file)]
        if services is not None:
            file = self.file(f"services-{self.nights}.toml", services)
            arguments += ["--services", str(file)]
        assert call(arguments) == 0

    def pay(self, due_by: str, *more: str, out: str = "out") -> list[Line]:
        """Makes a payout run; gives its lines."""
        folder = self.folder / out
        before = set(folder.glob("*.csv"))
        arguments = ["payout", str(self.path), "--due-by", due_by, "--out", str(folder), *more]
        assert call(arguments) == 0
        lines = [
            row
            for file in sorted({*folder.glob("*.csv")} - before)
            for row in csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")))
        ]
        self.instructed.append(lines)
        return lines

    def answer(self, *answers: str, more: tuple[str, ...] = ()) -> int:
        """Takes in answers, each `ID,outcome,points,day,code`."""
        self.nights += 1
        text = ANSWER_HEADER + "".join(f"{answer}\n" for answer in answers)
        file = self.file(f"answers-{self.nights}.csv", text)
        return call(["payout", str(self.path), "--answers", str(file), *more])


def service(payout: str) -> str:
    """The services file of one service with a schedule."""
    return f"{SERVICE}payout = {payout}\n"


def points(lines: list[Line]) -> list[tuple[str, str, int]]:
    """Of lines the account, the direction and the points."""
    return [(line["account_id"], line["direction"], int(line["points"])) for line in lines]


@pytest.fixture
def paid(tmp_path: Path) -> PayoutBook:
    """An empty folder for a book."""
    return PayoutBook(tmp_path)


def set_today(monkeypatch: pytest.MonkeyPatch, day: dt.date) -> None:
    """Sets the clock of payouts."""
    for module in ("payout_run", "answering"):
        monkeypatch.setattr(f"engine.io.payout.{module}.today", lambda: day)
