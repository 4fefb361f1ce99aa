"""The first night's job in plain pandas, short rather than quick.

It leaves out what the other peers leave out: reading with suspicion (offsets in times too), what
each entry changes (a charge or purchase says what it counts and earns at the end of the night, a
refund 0, nothing is recounted), accounts that two people claim, rejected and quarantined rows as
files, and everything that makes a book of a result (earlier nights, events, a lock, Delta, digests,
a read-back). `--threads` and `--memory-limit` have no meaning to pandas. Without pandas it exits 3.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import interface

try:
    import pandas as pd
except ModuleNotFoundError:
    print("pandas is not installed", file=sys.stderr)
    sys.exit(3)

# pandas is none of the project's dependencies, so its types cannot be named.
Frame = Any

KEY = ["service_id", "transaction_id"]
ACCOUNT = ["service_id", "account_id"]
TIMES = ["occurred_at", "applied_at", "reserved_at", "certificate_issued_at"]
DATES = ["card_applied_on", "preregistered_on"]
CAP = interface.SPENDING_CAP_YEN
DAY = pd.Timedelta(days=1)


def read(files: Sequence[Path], columns: Sequence[str]) -> Frame:
    """The files with all canonical columns, typed, those not delivered null."""
    if interface.is_parquet(files[0]):
        parts = [pd.read_parquet(path) for path in files]
    else:
        missing = {"keep_default_na": False, "na_values": [""]}
        parts = [pd.read_csv(path, dtype=str, **missing) for path in files]
    frame = pd.concat(parts, ignore_index=True).reindex(columns=list(columns))
    for name in columns:
        if name in TIMES or name in DATES:
            frame[name] = pd.to_datetime(frame[name], format="ISO8601").astype("datetime64[us]")
        elif name == "amount":
            frame[name] = frame[name].astype("int64")
        else:
            frame[name] = frame[name].astype("string")
    return frame


def first_reason(rows: Frame, rules: dict[str, Frame]) -> Frame:
    """For each row the first reason that holds, or none."""
    reason = pd.Series(pd.NA, index=rows.index, dtype="string")
    for name, holds in reversed(rules.items()):
        reason = reason.mask(holds.fillna(False).astype(bool), name)
    return reason


def accepted(enrollments: Frame, services: Frame) -> Frame:
    """The accepted enrollments: a later one of a person if the service before it had ended."""
    e = enrollments.merge(services, on="service_id", suffixes=("", "_of_service"))
    day = e.applied_at.dt.normalize()
    e["basis"] = e.basis_of_service.where(e.basis_of_service != "either", e.basis)
    e["counts_from_at"] = e.applied_at.where(
        e.counts_from == "instant", day.where(e.counts_from == "application_day", day + DAY)
    )
    prepared_at = e.reserved_at.fillna(e.applied_at)
    refused = (
        e.basis.isna()
        | (e.card_applied_on > pd.Timestamp(interface.CARD_APPLICATIONS_CLOSE_ON))
        | (day > pd.Timestamp(interface.APPLICATIONS_CLOSE_ON))
        | (day > e.applications_close_on)
        | (e.reserved_at > e.applied_at)
        | (prepared_at < e.certificate_issued_at + DAY)
        | (e.preregistration & ~(e.preregistered_on <= day))
    )
    e = e.assign(day=day)[~refused].sort_values(["person_id", "applied_at", *ACCOUNT])
    e = e[~e.person_id.duplicated() | (e.awards_close_on.shift() < e.day)]
    return e[["person_id", *ACCOUNT, "counts_from_at", "basis"]]


def decide(transactions: Frame, enrolled: Frame, services: Frame) -> tuple[Frame, int]:
    """Every transaction that is not in conflict, with its reason; and the number in conflict."""
    repeated = transactions[transactions.duplicated(KEY, keep=False)]
    contents = repeated.drop_duplicates()
    in_conflict = contents[contents.duplicated(KEY, keep=False)][KEY].drop_duplicates()
    in_conflict = pd.MultiIndex.from_frame(in_conflict)
    conflict = repeated.index[pd.MultiIndex.from_frame(repeated[KEY]).isin(in_conflict)]
    traits = services[["service_id", "rounding", "awards_close_on", "excluded_methods"]]
    t = (
        transactions.drop(index=conflict)
        .merge(traits, on="service_id", how="left")
        .merge(enrolled, on=ACCOUNT, how="left")
    )
    day, spending = t.occurred_at.dt.normalize(), t.kind != "refund"
    excluded = pd.Series(False, index=t.index)
    for service_id, methods in zip(services.service_id, services.excluded_methods, strict=True):
        excluded |= (t.service_id == service_id) & t.method.isin(methods)
    t["reason"] = first_reason(
        t,
        {
            "duplicate": t.duplicated(KEY),
            "unknown_service": t.rounding.isna(),
            "not_enrolled": t.person_id.isna(),
            "before_window": spending & (day < pd.Timestamp(interface.WINDOW_FIRST_DAY)),
            "after_window": spending & (day > pd.Timestamp(interface.WINDOW_LAST_DAY)),
            "before_application": spending & (t.occurred_at < t.counts_from_at),
            "service_closed": spending & (day > t.awards_close_on),
            "not_the_basis": spending & (t.kind != t.basis),
            "excluded_method": spending & excluded,
        },
    )
    standing = t[t.reason.isna()]
    originals = standing[standing.kind != "refund"].reset_index(names="row")
    of_original = ["row", "transaction_id", "account_id", "occurred_at", "amount"]
    originals = originals[["service_id", *of_original]].rename(
        columns={name: f"original_{name}" for name in of_original}
    )
    refunds = (
        standing[standing.kind == "refund"]
        .reset_index(names="refund_row")
        .merge(originals, on=["service_id", "original_transaction_id"], how="left")
        .set_index("refund_row")
    )
    refunds["reason"] = first_reason(
        refunds,
        {
            "original_not_booked": refunds.original_row.isna(),
            "refund_account_differs": refunds.original_account_id != refunds.account_id,
            "refund_before_original": refunds.occurred_at < refunds.original_occurred_at,
        },
    )
    # Each takes what those before it left of the original.
    taking = refunds[refunds.reason.isna()].sort_values(["occurred_at", "transaction_id"])
    taking = taking.astype({"original_row": "int64", "original_amount": "int64"})
    asked_before = taking.groupby("original_row").amount.cumsum() - taking.amount
    taking["taken"] = (taking.original_amount - asked_before).clip(0, taking.amount)
    refunds.loc[taking.index[taking.taken == 0], "reason"] = "refund_exceeds_original"
    t.loc[refunds.index, "reason"] = refunds.reason
    of_originals = taking.groupby("original_row").taken.sum()
    taken = pd.concat([taking.taken, of_originals]).reindex(t.index, fill_value=0)
    t["net_amount"] = t.amount.where(spending, -taken)
    t["left"] = (t.amount - taken).where(spending, 0)
    month = t.occurred_at.dt.year * 12 + t.occurred_at.dt.month
    group = month.where(t.rounding == "month", t.index.to_series())
    t["group"] = group.where(t.rounding != "cumulative", 0)
    return t, len(conflict)


def book(t: Frame) -> Frame:
    """The ledger of the rows that no reason declines."""
    t = t.assign(is_refund=t.kind == "refund")
    t = t.sort_values(["person_id", "occurred_at", "is_refund", *KEY], ignore_index=True)
    person = t.groupby("person_id", sort=False)
    left = person.left.cumsum()
    t["run_id"] = pd.Series(interface.RUN_ID, index=t.index, dtype="string")
    t["booked_on"] = interface.BOOKED_ON
    t["entry_seq"] = person.cumcount() + 1
    t["net_spend_after"] = person.net_amount.cumsum()
    t["counted_amount"] = left.clip(upper=CAP) - (left - t.left).clip(upper=CAP)
    in_group = t.groupby([*ACCOUNT, "group"], sort=False).counted_amount.cumsum()
    rate, whole = interface.RATE_NUMERATOR, interface.RATE_DENOMINATOR
    t["points"] = in_group * rate // whole - (in_group - t.counted_amount) * rate // whole
    t["points_after"] = t.groupby("person_id", sort=False).points.cumsum()
    for name in ("enrolled_account_id", "event_id"):
        t[name] = pd.Series(pd.NA, index=t.index, dtype="string")
    return t[list(interface.LEDGER_COLUMNS)]


def main() -> None:
    """Run the job and print what came of it."""
    job = interface.parse(__doc__)
    started = time.perf_counter()
    services = pd.DataFrame(job.services)
    for name in ("applications_close_on", "awards_close_on"):
        services[name] = pd.to_datetime(services[name]).astype("datetime64[us]")
    for name in ("service_id", "basis"):
        services[name] = services[name].astype("string")
    enrolled = accepted(read(job.enrollments, interface.ENROLLMENT_COLUMNS), services)
    transactions = read(job.transactions, interface.TRANSACTION_COLUMNS)
    decided, conflicts = decide(transactions, enrolled, services)
    declined = decided[decided.reason.notna()][list(interface.DECLINED_COLUMNS)]
    ledger = book(decided[decided.reason.isna()])
    for name, table in (("ledger", ledger), ("declined", declined)):
        path = job.out / f"{name}.parquet"
        table.to_parquet(path, index=False, compression="zstd", compression_level=1)
    found = interface.Outcome(
        rows=len(transactions),
        booked=len(ledger),
        conflicts=conflicts,
        points_net=int(ledger.points.sum()),
        declined=declined.reason.value_counts().to_dict(),
    )
    interface.print_outcome(found, time.perf_counter() - started)


if __name__ == "__main__":
    main()
