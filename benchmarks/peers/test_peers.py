"""The peers book what is specified, on first nights of cases that are within their scope."""

import csv
import importlib.util
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import oracle
import polars as pl
import pytest

HERE = Path(__file__).parent

SERVICES = """
[[services]]
service_id = "coin"
name = "purchases, one running sum"
basis = "purchase"

[[services]]
service_id = "gate"
name = "charges, registration beforehand, summed by month"
basis = "charge"
rounding = "month"
preregistration = true

[[services]]
service_id = "both"
name = "charges or purchases as chosen, rounded at each transaction"
basis = "either"
rounding = "transaction"
excluded_methods = ["gift_card", "points"]

[[services]]
service_id = "ends"
name = "charges, ended early"
basis = "charge"
applications_close_on = 2021-03-15
awards_close_on = 2021-03-31

[[services]]
service_id = "morrow"
name = "purchases, from the day after the application"
basis = "purchase"
counts_from = "next_day"

[[services]]
service_id = "dawn"
name = "purchases, the whole day of the application included"
basis = "purchase"
counts_from = "application_day"
"""
ENROLLMENT = "person_id,service_id,account_id,applied_at,card_applied_on\n"
FULL_ENROLLMENT = (
    "person_id,service_id,account_id,applied_at,card_applied_on,"
    "basis,reserved_at,certificate_issued_at,preregistered_on\n"
)
TRANSACTION = "transaction_id,service_id,account_id,occurred_at,kind,amount\n"
WITH_ORIGINAL = TRANSACTION.strip() + ",original_transaction_id\n"
WITH_METHOD = WITH_ORIGINAL.strip() + ",method\n"
P1 = ENROLLMENT + "P1,coin,A1,2020-09-01 09:00:00,2020-06-01\n"


@dataclass(frozen=True)
class Case:
    """A first night, and the person, seq, transaction, counted, points, net, points after.

    Counted and points are those at the end of the night: of a refund, 0.
    """

    enrollments: str
    transactions: str
    ledger: str
    declined: str = ""
    conflicts: int = 0


CASES = {
    "a quarter of each purchase": Case(
        P1,
        TRANSACTION
        + """T1,coin,A1,2020-09-01 10:00:00,purchase,999
T2,coin,A1,2020-09-01 11:00:00,purchase,1
T3,coin,A1,2020-09-01 12:00:00,purchase,4000
""",
        """P1,1,T1,999,249,999,249
P1,2,T2,1,1,1000,250
P1,3,T3,4000,1000,5000,1250
""",
    ),
    "twenty thousand is the cap": Case(
        P1,
        TRANSACTION
        + """T1,coin,A1,2020-09-05 10:00:00,purchase,15000
T2,coin,A1,2020-09-06 10:00:00,purchase,15000
T3,coin,A1,2020-09-07 10:00:00,purchase,3000
""",
        """P1,1,T1,15000,3750,15000,3750
P1,2,T2,5000,1250,30000,5000
P1,3,T3,0,0,33000,5000
""",
    ),
    "both ends of the window belong to it": Case(
        ENROLLMENT + "P1,coin,A1,2020-07-01 09:00:00,2020-06-01\n",
        TRANSACTION
        + """T1,coin,A1,2020-08-31 23:59:59.999999,purchase,1000
T2,coin,A1,2020-09-01 00:00:00,purchase,1000
T3,coin,A1,2021-09-30T23:59:59.999999,purchase,1000
T4,coin,A1,2021-10-01 00:00:00,purchase,1000
""",
        """P1,1,T2,1000,250,1000,250
P1,2,T3,1000,250,2000,500
""",
        """coin,T1,before_window
coin,T4,after_window
""",
    ),
    "nothing counts before the application": Case(
        ENROLLMENT
        + """P1,coin,A1,2020-10-10 12:00:00,2020-06-01
P2,morrow,A2,2020-10-10 12:00:00,2020-06-01
P3,dawn,A3,2020-10-10 12:00:00,2020-06-01
""",
        TRANSACTION
        + """T1,coin,A1,2020-10-10 11:59:59,purchase,1000
T2,coin,A1,2020-10-10 12:00:00,purchase,1000
T3,morrow,A2,2020-10-10 23:00:00,purchase,1000
T4,morrow,A2,2020-10-11 00:00:00,purchase,1000
T5,dawn,A3,2020-10-09 23:59:59,purchase,1000
T6,dawn,A3,2020-10-10 00:00:00,purchase,1000
""",
        """P1,1,T2,1000,250,1000,250
P2,1,T4,1000,250,1000,250
P3,1,T6,1000,250,1000,250
""",
        """coin,T1,before_application
dawn,T5,before_application
morrow,T3,before_application
""",
    ),
    "charge or purchase, never both": Case(
        FULL_ENROLLMENT
        + """P1,coin,A1,2020-09-01 09:00:00,2020-06-01,,,,
P2,both,A2,2020-09-01 09:00:00,2020-06-01,charge,,,
P3,both,A3,2020-09-01 09:00:00,2020-06-01,purchase,,,
P4,both,A4,2020-09-01 09:00:00,2020-06-01,,,,
""",
        WITH_METHOD
        + """T1,coin,A1,2020-09-05 10:00:00,charge,1000,,
T2,both,A2,2020-09-05 10:00:00,charge,1000,,bank
T3,both,A2,2020-09-05 11:00:00,purchase,1000,,
T4,both,A3,2020-09-05 10:00:00,purchase,1000,,
T5,both,A3,2020-09-05 11:00:00,purchase,1000,,points
T6,both,A4,2020-09-05 11:00:00,purchase,1000,,
""",
        """P2,1,T2,1000,250,1000,250
P3,1,T4,1000,250,1000,250
""",
        """both,T3,not_the_basis
both,T5,excluded_method
both,T6,not_enrolled
coin,T1,not_the_basis
""",
    ),
    "who is enrolled by the rules about one row": Case(
        FULL_ENROLLMENT
        + """P01,coin,A01,2021-09-30 23:59:59,2021-04-30,,,,
P02,coin,A02,2021-10-01 00:00:00,2021-04-30,,,,
P03,coin,A03,2021-05-01 09:00:00,2021-05-01,,,,
P05,ends,A05,2021-03-15 23:59:59,2021-01-10,,,,
P06,ends,A06,2021-03-16 00:00:00,2021-01-10,,,,
P07,coin,A07,2021-01-20 09:00:00,2021-01-10,,2021-01-20 09:00:01,,
P08,coin,A08,2021-01-20 09:00:00,2021-01-10,,2021-01-20 09:00:00,2021-01-19 09:00:00,
P09,coin,A09,2021-01-20 09:00:00,2021-01-10,,2021-01-20 08:59:59,2021-01-19 09:00:00,
P10,gate,A10,2021-01-20 09:00:00,2021-01-10,,,,2021-01-20
P11,gate,A11,2021-01-20 09:00:00,2021-01-10,,,,2021-01-21
P12,gate,A12,2021-01-20 09:00:00,2021-01-10,,,,
P15,coin,A15,2021-01-20 09:00:00,2021-01-10,,,2021-01-19 09:00:01,
""",
        TRANSACTION
        + """T01,coin,A01,2021-09-30 23:59:59,purchase,4
T02,coin,A02,2021-09-30 23:59:59,purchase,4
T03,coin,A03,2021-09-30 23:59:59,purchase,4
T05,ends,A05,2021-03-31 23:59:59,charge,4
T5L,ends,A05,2021-04-01 00:00:00,charge,4
T06,ends,A06,2021-03-31 23:59:59,charge,4
T07,coin,A07,2021-09-30 23:59:59,purchase,4
T08,coin,A08,2021-09-30 23:59:59,purchase,4
T09,coin,A09,2021-09-30 23:59:59,purchase,4
T10,gate,A10,2021-09-30 23:59:59,charge,4
T11,gate,A11,2021-09-30 23:59:59,charge,4
T12,gate,A12,2021-09-30 23:59:59,charge,4
T15,coin,A15,2021-09-30 23:59:59,purchase,4
""",
        """P01,1,T01,4,1,4,1
P05,1,T05,4,1,4,1
P08,1,T08,4,1,4,1
P10,1,T10,4,1,4,1
""",
        """coin,T02,not_enrolled
coin,T03,not_enrolled
coin,T07,not_enrolled
coin,T09,not_enrolled
coin,T15,not_enrolled
ends,T06,not_enrolled
ends,T5L,service_closed
gate,T11,not_enrolled
gate,T12,not_enrolled
""",
    ),
    # The case's two nights in one: the second is later than all of the first.
    "one service unless it ended": Case(
        ENROLLMENT
        + """P1,coin,A3,2021-04-01 09:00:00,2020-06-01
P2,dawn,A4,2021-04-01 09:00:00,2020-06-01
P1,ends,A1,2020-09-01 09:00:00,2020-06-01
P2,coin,A2,2020-09-01 09:00:00,2020-06-01
""",
        TRANSACTION
        + """T1,ends,A1,2020-12-01 10:00:00,charge,13000
T2,ends,A1,2021-03-31 23:59:59,charge,1000
T3,ends,A1,2021-04-01 00:00:00,charge,1000
T4,coin,A3,2021-04-02 10:00:00,purchase,10000
T5,dawn,A4,2021-04-02 10:00:00,purchase,1000
""",
        """P1,1,T1,13000,3250,13000,3250
P1,2,T2,1000,250,14000,3500
P1,3,T4,6000,1500,24000,5000
""",
        """dawn,T5,not_enrolled
ends,T3,service_closed
""",
    ),
    # Two accounts with a running sum each: fractions do not carry over from one to the other.
    "each account gathers its own fractions": Case(
        ENROLLMENT
        + """P1,ends,A1,2020-09-01 09:00:00,2020-06-01
P1,coin,A3,2021-04-01 09:00:00,2020-06-01
""",
        TRANSACTION
        + """T1,ends,A1,2020-12-01 10:00:00,charge,7
T2,coin,A3,2021-04-02 10:00:00,purchase,7
T3,coin,A3,2021-04-03 10:00:00,purchase,1
""",
        """P1,1,T1,7,1,7,1
P1,2,T2,7,1,14,2
P1,3,T3,1,1,15,3
""",
    ),
    "a refund gives room to what another account counts": Case(
        ENROLLMENT
        + """P1,ends,A1,2020-09-01 09:00:00,2020-06-01
P1,coin,A3,2021-04-01 09:00:00,2020-06-01
""",
        WITH_ORIGINAL
        + """T1,ends,A1,2020-12-01 10:00:00,charge,20000,
T2,coin,A3,2021-04-02 10:00:00,purchase,8000,
R1,ends,A1,2021-04-03 10:00:00,refund,10003,T1
""",
        """P1,1,T1,9997,2499,20000,2499
P1,2,T2,8000,2000,28000,4499
P1,3,R1,0,0,17997,4499
""",
    ),
    "three scopes of rounding": Case(
        FULL_ENROLLMENT
        + """P1,coin,A1,2020-09-01 09:00:00,2020-06-01,,,,
P2,gate,A2,2020-09-01 09:00:00,2020-06-01,,,,2020-08-30
P3,both,A3,2020-09-01 09:00:00,2020-06-01,purchase,,,
""",
        TRANSACTION
        + """C1,coin,A1,2020-09-10 10:00:00,purchase,7
C2,coin,A1,2020-09-20 10:00:00,purchase,7
C3,coin,A1,2020-09-30 10:00:00,purchase,7
C4,coin,A1,2020-10-01 10:00:00,purchase,7
C5,coin,A1,2020-10-02 10:00:00,purchase,4
M1,gate,A2,2020-09-10 10:00:00,charge,7
M2,gate,A2,2020-09-20 10:00:00,charge,7
M3,gate,A2,2020-09-30 10:00:00,charge,7
M4,gate,A2,2020-10-01 10:00:00,charge,7
M5,gate,A2,2020-10-02 10:00:00,charge,4
E1,both,A3,2020-09-10 10:00:00,purchase,7
E2,both,A3,2020-09-20 10:00:00,purchase,7
E3,both,A3,2020-09-30 10:00:00,purchase,7
E4,both,A3,2020-10-01 10:00:00,purchase,7
E5,both,A3,2020-10-02 10:00:00,purchase,4
""",
        """P1,1,C1,7,1,7,1
P1,2,C2,7,2,14,3
P1,3,C3,7,2,21,5
P1,4,C4,7,2,28,7
P1,5,C5,4,1,32,8
P2,1,M1,7,1,7,1
P2,2,M2,7,2,14,3
P2,3,M3,7,2,21,5
P2,4,M4,7,1,28,6
P2,5,M5,4,1,32,7
P3,1,E1,7,1,7,1
P3,2,E2,7,1,14,2
P3,3,E3,7,1,21,3
P3,4,E4,7,1,28,4
P3,5,E5,4,1,32,5
""",
    ),
    # The case's three nights in one.
    "a refund takes back and frees the cap": Case(
        P1,
        WITH_ORIGINAL
        + """T1,coin,A1,2020-09-05 10:00:00,purchase,15000,
T2,coin,A1,2020-09-06 10:00:00,purchase,10000,
R1,coin,A1,2020-10-01 10:00:00,refund,4000,T2
R2,coin,A1,2020-10-01 11:00:00,refund,6000,T2
T3,coin,A1,2021-09-30 10:00:00,purchase,9000,
R3,coin,A1,2021-10-20 10:00:00,refund,14999,T1
""",
        """P1,1,T1,1,0,15000,0
P1,2,T2,0,0,25000,0
P1,3,R1,0,0,21000,0
P1,4,R2,0,0,15000,0
P1,5,T3,9000,2250,24000,2250
P1,6,R3,0,0,9001,2250
""",
    ),
    "refunds that cannot stand": Case(
        ENROLLMENT
        + """P1,coin,A1,2020-09-01 09:00:00,2020-06-01
P2,coin,A2,2020-09-01 09:00:00,2020-06-01
""",
        WITH_ORIGINAL
        + """T1,coin,A1,2020-09-05 10:00:00,purchase,1000,
T2,coin,A1,2020-08-05 10:00:00,purchase,1000,
R1,coin,A1,2020-09-06 10:00:00,refund,100,T9
R2,coin,A1,2020-09-06 10:00:00,refund,100,T2
R3,coin,A2,2020-09-06 10:00:00,refund,100,T1
R4,coin,A1,2020-09-05 09:59:59,refund,100,T1
R5,coin,A1,2020-09-06 10:00:00,refund,700,T1
R6,coin,A1,2020-09-06 11:00:00,refund,400,T1
R7,coin,A1,2020-09-06 12:00:00,refund,300,T1
R8,coin,A1,2020-09-07 12:00:00,refund,100,R5
R9,coin,A3,2020-09-07 12:00:00,refund,100,T1
RA,gone,A1,2020-09-07 12:00:00,refund,100,T1
RB,coin,A1,2020-09-07 12:00:00,refund,1,T1
""",
        """P1,1,T1,0,0,1000,0
P1,2,R5,0,0,300,0
P1,3,R6,0,0,0,0
""",
        """coin,R1,original_not_booked
coin,R2,original_not_booked
coin,R3,refund_account_differs
coin,R4,refund_before_original
coin,R7,refund_exceeds_original
coin,R8,original_not_booked
coin,R9,not_enrolled
coin,RB,refund_exceeds_original
coin,T2,before_window
gone,RA,unknown_service
""",
    ),
    "the same row twice, and the same key with other content": Case(
        P1,
        TRANSACTION
        + """T1,coin,A1,2020-09-05 10:00:00,purchase,1000
T2,coin,A1,2020-09-06 10:00:00,purchase,2000
T2,coin,A1,2020-09-06T10:00:00,purchase,2000
T3,coin,A1,2020-09-07 10:00:00,purchase,3000
T3,coin,A1,2020-09-07 10:00:00,purchase,3001
""",
        """P1,1,T1,1000,250,1000,250
P1,2,T2,2000,500,3000,750
""",
        "coin,T2,duplicate\n",
        conflicts=2,
    ),
    "the order of delivery changes nothing": Case(
        P1,
        WITH_ORIGINAL
        + """R1,coin,A1,2020-09-06 10:00:00,refund,3000,T2
T3,coin,A1,2020-09-06 10:00:00,purchase,9000,
T2,coin,A1,2020-09-06 10:00:00,purchase,15000,
T1,coin,A1,2020-09-05 10:00:00,purchase,2000,
T10,coin,A1,2020-09-06 10:00:00,purchase,50,
""",
        """P1,1,T1,2000,500,2000,500
P1,2,T10,50,12,2050,512
P1,3,T2,12000,3000,17050,3512
P1,4,T3,5950,1488,26050,5000
P1,5,R1,0,0,23050,5000
""",
    ),
    # The case's two nights in one: the second is later than all of the first.
    "a refund by month and by transaction": Case(
        FULL_ENROLLMENT
        + """P2,gate,A2,2020-09-01 09:00:00,2020-06-01,,,,2020-08-30
P3,both,A3,2020-09-01 09:00:00,2020-06-01,purchase,,,
""",
        WITH_ORIGINAL
        + """M1,gate,A2,2020-09-10 10:00:00,charge,10002,
M2,gate,A2,2020-10-10 10:00:00,charge,9999,
M3,gate,A2,2020-10-12 10:00:00,charge,5000,
E1,both,A3,2020-09-10 10:00:00,purchase,1003,
E2,both,A3,2020-09-11 10:00:00,purchase,30000,
E3,both,A3,2020-09-12 10:00:00,purchase,5001,
MR,gate,A2,2020-11-02 10:00:00,refund,6000,M1
ER,both,A3,2020-11-02 10:00:00,refund,29999,E2
ES,both,A3,2020-11-03 10:00:00,refund,1,E3
""",
        """P2,1,M1,4002,1000,10002,1000
P2,2,M2,9999,2499,20001,3499
P2,3,M3,5000,1250,25001,4749
P2,4,MR,0,0,19001,4749
P3,1,E1,1003,250,1003,250
P3,2,E2,1,0,31003,250
P3,3,E3,5000,1250,36004,1500
P3,4,ER,0,0,6005,1500
P3,5,ES,0,0,6004,1500
""",
    ),
}
LEDGER = {
    "run_id": pl.String(),
    "booked_on": pl.Date(),
    "person_id": pl.String(),
    "entry_seq": pl.Int64(),
    "service_id": pl.String(),
    "account_id": pl.String(),
    "transaction_id": pl.String(),
    "occurred_at": pl.Datetime("us"),
    "kind": pl.String(),
    "amount": pl.Int64(),
    "original_transaction_id": pl.String(),
    "method": pl.String(),
    "enrolled_account_id": pl.String(),
    "net_amount": pl.Int64(),
    "counted_amount": pl.Int64(),
    "points": pl.Int64(),
    "net_spend_after": pl.Int64(),
    "points_after": pl.Int64(),
    "event_id": pl.String(),
}


def text_of(frame: pl.DataFrame) -> str:
    """A table as the cases write it."""
    return frame.write_csv(include_header=False)


def table(path: Path) -> pl.DataFrame:
    """A table that a peer wrote, as a file or as a folder of files in order."""
    return pl.read_parquet(path / "*.parquet" if path.is_dir() else path)


def deliver(table: str, folder: Path, kind: str) -> Path:
    """Write a delivered table as CSV, or as typed Parquet."""
    folder.mkdir(exist_ok=True)
    file = folder / f"night.{kind}"
    if kind == "csv":
        file.write_text(table, encoding="utf-8")
        return file
    frame = pl.read_csv(table.encode(), infer_schema=False)
    times = [c for c in frame.columns if c in ("occurred_at", "applied_at") or c.endswith("ed_at")]
    frame.with_columns(
        pl.col(times).str.replace("T", " ").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us"),
        pl.col([c for c in frame.columns if c.endswith("_on")]).str.to_date(),
        pl.col([c for c in frame.columns if c == "amount"]).cast(pl.Int64),
    ).write_parquet(file)
    return file


def run(peer: str, case: Case, folder: Path, kind: str) -> dict[str, Any]:
    """Run a peer on a case; what it printed."""
    services = folder / "services.toml"
    services.write_text(SERVICES, encoding="utf-8")
    arguments = {
        "--transactions": deliver(case.transactions, folder / "transactions", kind),
        "--enrollments": deliver(case.enrollments, folder / "enrollments", kind),
        "--services": services,
        "--out": folder / "out",
    }
    command = [sys.executable, str(HERE / f"{peer}_job.py")]
    for name, value in arguments.items():
        command += [name, str(value)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert isinstance(printed, dict)
    return printed


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_oracle_books_and_declines_what_the_case_expects(case: Case) -> None:
    night = oracle.run(
        oracle.Book(),
        booked_on=date(2021, 10, 1),
        transactions=[("transactions.csv", case.transactions)],
        enrollments=[("enrollments.csv", case.enrollments)],
        services=oracle.read_services(SERVICES),
    )
    entries = [entry for entry in night.ledger if entry.kind != "recount"]
    expected = [line.split(",") for line in case.ledger.splitlines()]
    assert [(e.person_id, e.transaction_id, e.net_spend_after) for e in entries] == [
        (person, transaction, int(net)) for person, _, transaction, _, _, net, _ in expected
    ]
    assert {e.person_id: e.points_after for e in night.ledger} == {
        person: int(points) for person, *_, points in expected
    }
    declined = sorted((d.service_id, d.transaction_id, d.reason) for d in night.declined)
    assert "".join(",".join(row) + "\n" for row in declined) == case.declined
    assert len(night.quarantine) == case.conflicts


@pytest.fixture(params=["duckdb", "polars", "pandas"])
def peer(request: pytest.FixtureRequest) -> str:
    """The name of a peer whose library is here."""
    name = str(request.param)
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_peer_books_and_declines_what_the_case_expects(
    peer: str, case: Case, tmp_path: Path
) -> None:
    check(peer, case, tmp_path, "csv")


def check(peer: str, case: Case, folder: Path, kind: str) -> None:
    """Runs a peer on a case; its tables and its counts must be those of the case."""
    printed = run(peer, case, folder, kind)
    ledger, declined = (
        table(folder / "out" / f"{name}.parquet") for name in ("ledger", "declined")
    )

    columns = ["person_id", "entry_seq", "transaction_id", "counted_amount", "points"]
    columns += ["net_spend_after", "points_after"]
    assert text_of(ledger.select(columns)) == case.ledger
    in_order = declined.sort("service_id", "transaction_id")
    assert text_of(in_order.select("service_id", "transaction_id", "reason")) == case.declined

    assert printed["rows"] == case.transactions.count("\n") - 1
    assert printed["booked"] == ledger.height
    assert printed["conflicts"] == case.conflicts
    assert sum(printed["declined"].values()) == declined.height
    assert printed["points_net"] == ledger["points"].sum()
    net = pl.col("net_amount").cum_sum().over("person_id")
    assert ledger.select((net == pl.col("net_spend_after")).all()).item()


def test_a_peer_reads_typed_parquet_as_it_reads_csv(peer: str, tmp_path: Path) -> None:
    for name in ("charge or purchase, never both", "a refund by month and by transaction"):
        folder = tmp_path / name
        folder.mkdir()
        from_parquet = run(peer, CASES[name], folder, "parquet")
        from_csv = run(peer, CASES[name], folder, "csv")
        for measured in ("seconds", "cpu_seconds", "peak_mb"):
            del from_parquet[measured], from_csv[measured]
        assert from_parquet == from_csv


def test_a_peers_ledger_has_the_columns_and_types_of_the_engines(peer: str, tmp_path: Path) -> None:
    run(peer, CASES["the order of delivery changes nothing"], tmp_path, "csv")
    assert dict(pl.read_parquet_schema(tmp_path / "out" / "ledger.parquet")) == LEDGER


def all_in_one() -> Case:
    """All cases as one night, each with people, accounts and transactions of its own."""
    enrollments, transactions, ledger, declined = [], [], [], []
    for number, case in enumerate(CASES.values()):
        prefix = f"{number:02}-"
        enrollments += renamed(case.enrollments, prefix)
        transactions += renamed(case.transactions, prefix)
        for line in case.ledger.splitlines():
            person, seq, transaction, rest = line.split(",", 3)
            ledger.append(f"{prefix}{person},{seq},{prefix}{transaction},{rest}\n")
        for line in case.declined.splitlines():
            service, transaction, reason = line.split(",")
            declined.append((service, f"{prefix}{transaction}", reason))
    return Case(
        written(FULL_ENROLLMENT, enrollments),
        written(WITH_METHOD, transactions),
        "".join(ledger),
        "".join(",".join(row) + "\n" for row in sorted(declined)),
        sum(case.conflicts for case in CASES.values()),
    )


def renamed(table: str, prefix: str) -> list[dict[str, str]]:
    """A table's rows, with IDs of their own."""
    ids = ("person_id", "account_id", "transaction_id", "original_transaction_id")
    rows = list(csv.DictReader(io.StringIO(table)))
    return [{n: f"{prefix}{v}" if n in ids and v else v for n, v in row.items()} for row in rows]


def written(header: str, rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    into = csv.DictWriter(text, header.strip().split(","), restval="", lineterminator="\n")
    into.writeheader()
    into.writerows(rows)
    return text.getvalue()


@pytest.mark.spark
def test_spark_books_and_declines_what_the_cases_expect(tmp_path: Path) -> None:
    # At once: each start of Spark takes longer than all cases together.
    check("spark", all_in_one(), tmp_path, "csv")
    ledger = sorted((tmp_path / "out" / "ledger.parquet").glob("*.parquet"))
    assert dict(pl.read_parquet_schema(ledger[0])) == LEDGER


def test_the_floor_writes_as_many_rows_as_it_is_told_in_the_ledgers_shape(tmp_path: Path) -> None:
    case = CASES["three scopes of rounding"]
    command = [
        sys.executable,
        str(HERE / "floor.py"),
        *("--transactions", str(deliver(case.transactions, tmp_path / "transactions", "csv"))),
        *("--enrollments", str(deliver(case.enrollments, tmp_path / "enrollments", "csv"))),
        *("--rows-out", "12", "--out", str(tmp_path / "out")),
    ]
    printed = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert (printed["rows_in"], printed["rows_out"]) == (15, 12)
    written = pl.read_parquet(tmp_path / "out" / "*.parquet")
    assert written.height == 12
    assert dict(written.schema) == LEDGER
