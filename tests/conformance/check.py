#!/usr/bin/env python3
"""Hold a command line to the conformance cases of docs/specification.md.

    check.py [--command "mynapoint"] [--keep DIR] [CASE.toml | FOLDER ...]

A case is a TOML file with a `title` and `[[nights]]`; without arguments, all those beside this
file are tried, in their folders: `late` has late facts and corrections, `payout` payouts. A night
is one `run` into the case's book, with `--max-quarantined 1`:

    booked_on                             the day of booking
    enrollments, events, transactions     delivered files, as CSV text
    services, programme                   files; the first night has `services.toml` by default
    args                                  more arguments
    exit                                  the exit code, where it is not 0
    [nights.expected]                     tables as CSV: ledger, declined, quarantine,
                                          rejected_enrollments, rejected_events

or, with `payout` (a day) or `answers`, a payout run. An answer names the payout of a service, an
account and a direction: the last one, or the `nth`. Tables expected of it: payouts, quarantine,
and the `bridge` on that day. The tables must have the expected rows, in the columns that the
expectation's header names; a table that is not mentioned must be empty. The counts of the run's
record must add up, and the ledger's files must hold the rows of its log.

Needs Polars and deltalake. Ends with `N passed, N failed`; exit 0, or 1 if one failed.
"""

import argparse
import csv
import io
import json
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

HERE = Path(__file__).parent
SERVICES = HERE / "services.toml"
TABLES = ("ledger", "declined", "quarantine", "rejected_enrollments", "rejected_events")
ROLES = ("events", "enrollments", "transactions")
MOST_FAULTS_SHOWN = 20

Row: TypeAlias = tuple[str, ...]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--command", default="mynapoint")
    parser.add_argument("--keep", type=Path, help="keep the books in this folder")
    parser.add_argument("cases", nargs="*", type=Path, default=[HERE])
    arguments = parser.parse_args()
    cases = [case for place in arguments.cases for case in cases_at(place)]
    failed = 0
    for case in cases:
        with tempfile.TemporaryDirectory() as temporary:
            folder = (arguments.keep or Path(temporary)) / case.stem
            folder.mkdir(parents=True)
            try:
                faults = CaseRun(shlex.split(arguments.command), folder).faults_of(case)
            except (pl.exceptions.PolarsError, OSError, KeyError, IndexError) as error:
                faults = [f"{type(error).__name__}: {error}".splitlines()[0]]
        print(f"{'FAILED' if faults else 'ok'}  {case.stem}", flush=True)
        for fault in faults[:MOST_FAULTS_SHOWN]:
            print(f"        {fault}")
        failed += bool(faults)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return int(failed > 0)


def cases_at(place: Path) -> list[Path]:
    if not place.is_dir() and not place.suffix:
        place = HERE / place
    if not place.is_dir():
        return [place]
    return [case for case in sorted(place.rglob("*.toml")) if case.name != SERVICES.name]


class CaseRun:
    """One case's nights, booked one after the other into a book in `folder`."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self.command = command
        self.folder = folder
        self.book = folder / "book"
        self.runs = 0
        self.payouts: list[list[dict[str, str]]] = []
        """What each payout run instructed."""

    def faults_of(self, case: Path) -> list[str]:
        faults: list[str] = []
        for number, night in enumerate(tomllib.loads(case.read_text(encoding="utf-8"))["nights"]):
            files = self.folder / f"night-{number + 1}"
            files.mkdir()
            is_payout = "payout" in night or "answers" in night
            of_night = self.payout(night, files) if is_payout else self.run(night, files, number)
            faults += [f"night {number + 1}: {fault}" for fault in of_night]
        loose = sum(
            pl.read_parquet(file).height for file in (self.book / "ledger").glob("*.parquet")
        )
        if loose != pl.read_delta(str(self.book / "ledger")).height:
            faults.append("the ledger's Parquet files hold other rows than its log")
        return faults

    def call(self, *arguments: str, exit_code: int = 0) -> tuple[str, list[str]]:
        """What the command prints, and what is wrong with how it ended."""
        ended = subprocess.run(
            [*self.command, *arguments], capture_output=True, text=True, check=False
        )
        if ended.returncode == exit_code:
            return ended.stdout, []
        printed = " | ".join((ended.stdout + ended.stderr).strip().splitlines()[-3:])
        return "", [f"exit {ended.returncode}, {exit_code} expected: {printed}"]

    # Runs

    def run(self, night: dict[str, Any], files: Path, number: int) -> list[str]:
        arguments = ["run", str(self.book), "--booked-on", str(night["booked_on"])]
        arguments += ["--max-quarantined", "1", *night.get("args", [])]
        first_services = SERVICES.read_text(encoding="utf-8") if number == 0 else None
        texts = {
            "services.toml": night.get("services", first_services),
            "programme.toml": night.get("programme"),
            **{f"{role}.csv": night.get(role) for role in ROLES},
        }
        for name, text in texts.items():
            if text is not None:
                (files / name).write_text(text, encoding="utf-8")
                arguments += [f"--{name.partition('.')[0]}", str(files / name)]
        exit_code = night.get("exit", 0)
        _, faults = self.call(*arguments, exit_code=exit_code)
        if faults or exit_code:
            return faults
        self.runs += 1
        run_id = f"{self.runs:06}"
        for table in TABLES:
            columns, expected = expected_rows(night, table)
            faults += differences(table, expected, self.rows_of(run_id, table, columns))
        record = json.loads((self.book / "runs" / run_id / "record.json").read_bytes())
        return faults + faults_of_counts(record["counts"])

    def rows_of(self, run_id: str, table: str, columns: Row) -> list[Row]:
        file = self.book / "runs" / run_id / f"{table}.parquet"
        if table == "ledger":
            frame = pl.read_delta(str(self.book / "ledger")).filter(run_id=run_id)
        elif table == "rejected_events" and not file.exists():
            return []
        else:
            frame = pl.read_parquet(file)
        return sorted(
            tuple(shown(column, row[column]) for column in columns or frame.columns)
            for row in frame.to_dicts()
        )

    # Payout runs

    def payout(self, night: dict[str, Any], files: Path) -> list[str]:
        arguments = ["payout", str(self.book)]
        if "payout" in night:
            arguments += ["--due-by", str(night["payout"]), "--out", str(files / "out")]
            for service_id in night.get("services_asked", ()):
                arguments += ["--service", service_id]
        else:
            self.write_answers(night["answers"], files / "answers.csv")
            arguments += ["--answers", str(files / "answers.csv"), "--max-quarantined", "1"]
        exit_code = night.get("exit", 0)
        _, faults = self.call(*arguments, exit_code=exit_code)
        if faults or exit_code:
            return faults
        instructed = [
            row for file in sorted((files / "out").glob("payouts-*.csv")) for row in csv_rows(file)
        ]
        self.payouts.append(instructed)
        columns, expected = expected_rows(night, "payouts")
        found = [tuple(row[column] for column in columns or row) for row in instructed]
        faults += differences("payouts", expected, found)
        if "answers" in night:
            payout_run = self.book / "payout_runs" / f"{len(self.payouts):06}"
            _, expected = expected_rows(night, "quarantine")
            quarantined = pl.read_parquet(payout_run / "quarantine.parquet").to_dicts()
            found = [tuple(shown(c, row[c]) for c in ("row", "errors")) for row in quarantined]
            faults += differences("quarantine", expected, found)
        return faults + self.faults_of_bridge(night)

    def write_answers(self, text: str, file: Path) -> None:
        columns = ["payout_id", "outcome", "points", "answered_on", "code"]
        with file.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.DictWriter(opened, columns, restval="")
            writer.writeheader()
            for answer in csv.DictReader(io.StringIO(text.strip())):
                nth = int(answer.pop("nth", None) or 0) - 1
                named = tuple(answer.pop(c) for c in ("service_id", "account_id", "direction"))
                lines = [
                    line["payout_id"]
                    for run in self.payouts
                    for line in run
                    if (line["service_id"], line["account_id"], line["direction"]) == named
                ]
                writer.writerow(answer | {"payout_id": lines[nth]})

    def faults_of_bridge(self, night: dict[str, Any]) -> list[str]:
        columns, expected = expected_rows(night, "bridge")
        if not columns:
            return []
        day = night.get("payout") or max(
            line["instructed_on"] for run in self.payouts for line in run
        )
        printed, faults = self.call("due", str(self.book), "--on", str(day), "--json")
        if faults:
            return faults
        found = [
            (service_id, *(str(figures.get(column)) for column in columns[1:]))
            for service_id, figures in json.loads(printed)["services"].items()
        ]
        return differences("bridge", expected, found)


def expected_rows(night: dict[str, Any], table: str) -> tuple[Row, list[Row]]:
    """The columns that the expectation names, none where there is no expectation, and its rows."""
    rows = list(csv.reader(io.StringIO(night.get("expected", {}).get(table, "").strip())))
    return (tuple(rows[0]), [tuple(row) for row in rows[1:]]) if rows else ((), [])


def csv_rows(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"))))


def shown(column: str, value: Any) -> str:
    if value is None:
        return ""
    if column == "file":
        return Path(value).stem
    return " ".join(sorted(value)) if isinstance(value, list) else str(value)


def differences(table: str, expected: Sequence[Row], found: Sequence[Row]) -> list[str]:
    """Rows that are not there and rows too many, each as often as that is so."""
    missing, surplus = list(expected), []
    for row in found:
        if row in missing:
            missing.remove(row)
        else:
            surplus.append(row)
    return [f"{table}: not there: {','.join(row)}" for row in missing] + [
        f"{table}: too much: {','.join(row)}" for row in surplus
    ]


def faults_of_counts(counts: dict[str, Any]) -> list[str]:
    def total(name: str) -> int:
        number: int | dict[str, int] = counts.get(name, 0)
        return sum(number.values()) if isinstance(number, dict) else number

    came = total("read") + total("reconsidered")
    went = sum(total(name) for name in ("booked", "declined", "quarantined", "skipped"))
    return [] if came == went else [f"record: {came} rows came and {went} went: {counts}"]


if __name__ == "__main__":
    sys.exit(main())
