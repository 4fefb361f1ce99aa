"""The first night's job in Polars: lazy queries on the streaming engine, one frame of entries.

It books what the engine books on a fresh book from input that is already known to be well formed,
and leaves out:

- reading with suspicion: trimming, codes for malformed values, ragged rows, offsets in times.
  Conflicting keys are counted, not written to quarantine;
- what each entry changes: the night is booked as it ends. A charge or purchase says what it counts
  and earns after all refunds, a refund says 0, and nothing is recounted. So the points of one entry
  are not the engine's, but what was awarded less what was reversed is;
- half of what can befall enrollments: an account that two people claim is not looked for, nor an
  application delivered twice; a person's later application is accepted if the service of the one
  before it had ended, whether or not that one was accepted; rejections are not written;
- books: no earlier nights, no events, no lock, no commit to a Delta table, no run record, no digest
  of the files read or written, nothing synced to disk, nothing read back.

Every transaction is held in memory; `--memory-limit` is not obeyed, for Polars has none to set.
"""

import os
import time
from collections.abc import Sequence
from datetime import datetime
from datetime import time as clock
from pathlib import Path

import interface

if __name__ == "__main__":
    JOB = interface.parse(__doc__)
    # Polars reads the number of its threads when it is imported.
    os.environ["POLARS_MAX_THREADS"] = str(JOB.threads)

import polars as pl

KIND = pl.Enum(["charge", "purchase", "refund"])
REASON = pl.Enum(interface.DECLINE_REASONS)
CAP = interface.SPENDING_CAP_YEN
DAY = pl.duration(days=1)
MIDNIGHT = clock()

TYPES: dict[str, pl.DataType] = {
    "amount": pl.Int64(),
    "occurred_at": pl.Datetime("us"),
    "applied_at": pl.Datetime("us"),
    "reserved_at": pl.Datetime("us"),
    "certificate_issued_at": pl.Datetime("us"),
    "card_applied_on": pl.Date(),
    "preregistered_on": pl.Date(),
}


def scan(files: Sequence[Path], columns: Sequence[str]) -> pl.LazyFrame:
    """The files with all canonical columns, typed, those not delivered null."""
    if interface.is_parquet(files[0]):
        frame = pl.scan_parquet(list(files), missing_columns="insert")
    else:
        frame = pl.scan_csv(list(files), infer_schema=False)
    delivered = frame.collect_schema()

    def typed(name: str) -> pl.Expr:
        wanted = TYPES.get(name, pl.String())
        if name not in delivered:
            return pl.lit(None, wanted).alias(name)
        if delivered[name] == pl.String and isinstance(wanted, pl.Datetime):
            spaced = pl.col(name).str.replace("T", " ", literal=True)
            return spaced.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us")
        if delivered[name] == pl.String and isinstance(wanted, pl.Date):
            return pl.col(name).str.to_date("%Y-%m-%d")
        return pl.col(name).cast(wanted)

    return frame.select(typed(name) for name in columns)


def service_frame(job: interface.Job) -> pl.LazyFrame:
    """The registry of services, numbered in the order of their names."""
    schema = {
        "service_id": pl.String(),
        "basis": pl.String(),
        "rounding": pl.String(),
        "counts_from": pl.String(),
        "preregistration": pl.Boolean(),
        "applications_close_on": pl.Date(),
        "awards_close_on": pl.Date(),
        "excluded_methods": pl.List(pl.String()),
    }
    rows = [{name: service[name] for name in schema} for service in job.services]
    return pl.DataFrame(rows, schema=schema).sort("service_id").with_row_index("service_no").lazy()


def enrolled_frame(enrollments: pl.LazyFrame, services: pl.LazyFrame) -> pl.DataFrame:
    """The accepted enrollments, numbered in the order of the people's names.

    Of a person's applications the first is accepted, and a later one if the service of the one
    before it had ended by then.
    """
    applied_at, applied_on = pl.col("applied_at"), pl.col("applied_at").dt.date()
    prepared_at = pl.coalesce("reserved_at", "applied_at")
    preregistered = pl.col("preregistered_on") <= applied_on
    counts_from_at = (
        pl.when(pl.col("counts_from") == "instant")
        .then(applied_at)
        .when(pl.col("counts_from") == "application_day")
        .then(applied_at.dt.truncate("1d"))
        .otherwise(applied_at.dt.truncate("1d") + DAY)
    )
    first = changes("person_id")
    chosen = pl.when(pl.col("service_basis") == "either").then("basis").otherwise("service_basis")
    return (
        enrollments.join(services.rename({"basis": "service_basis"}), on="service_id")
        .filter(
            chosen.is_not_null(),
            pl.col("card_applied_on") <= interface.CARD_APPLICATIONS_CLOSE_ON,
            applied_on <= interface.APPLICATIONS_CLOSE_ON,
            (applied_on <= pl.col("applications_close_on")).fill_null(True),
            (pl.col("reserved_at") <= applied_at).fill_null(True),
            (prepared_at >= pl.col("certificate_issued_at") + DAY).fill_null(True),
            ~pl.col("preregistration") | preregistered.fill_null(False),
        )
        .sort("person_id", "applied_at", "service_id", "account_id")
        .with_columns(first=first, earlier_close_on=pl.col("awards_close_on").shift())
        .filter(pl.col("first") | (pl.col("earlier_close_on") < applied_on))
        .with_row_index("account_no")
        .select(
            "account_no",
            pl.col("first").cum_sum().alias("person_no"),
            "person_id",
            "service_id",
            "account_id",
            counts_from_at.alias("counts_from_at"),
            chosen.cast(KIND).alias("chosen_basis"),
        )
        .collect(engine="streaming")
    )


def transaction_frame(
    transactions: pl.LazyFrame, services: pl.LazyFrame, enrolled: pl.DataFrame
) -> pl.DataFrame:
    """Every transaction, with all that the row, its service and its enrollment tell of it."""
    occurred_at, kind = pl.col("occurred_at"), pl.col("kind")
    first = datetime.combine(interface.WINDOW_FIRST_DAY, MIDNIGHT)
    last = datetime.combine(interface.WINDOW_LAST_DAY, MIDNIGHT)

    def given(reason: str) -> pl.Expr:
        return pl.lit(reason, REASON)

    reason = (
        pl.when(pl.col("rounding").is_null())
        .then(given("unknown_service"))
        .when(pl.col("person_no").is_null())
        .then(given("not_enrolled"))
        .when(kind == "refund")
        .then(pl.lit(None, REASON))
        .when(occurred_at < first)
        .then(given("before_window"))
        .when(occurred_at >= pl.lit(last) + DAY)
        .then(given("after_window"))
        .when(occurred_at < pl.col("counts_from_at"))
        .then(given("before_application"))
        .when(occurred_at.dt.date() > pl.col("awards_close_on"))
        .then(given("service_closed"))
        .when(kind != pl.col("chosen_basis"))
        .then(given("not_the_basis"))
        .when(pl.col("excluded_methods").list.contains(pl.col("method")))
        .then(given("excluded_method"))
        .otherwise(pl.lit(None, REASON))
    )
    traits = services.select(
        "service_id", "service_no", "rounding", "awards_close_on", "excluded_methods"
    )
    return (
        transactions.with_columns(kind.cast(KIND))
        .join(traits, on="service_id", how="left")
        .join(enrolled.lazy(), on=["service_id", "account_id"], how="left")
        .select(
            *interface.TRANSACTION_COLUMNS,
            "person_no",
            "account_no",
            "service_no",
            pl.col("rounding").cast(pl.Enum(["cumulative", "month", "transaction"])),
            reason.alias("reason"),
            key_hash("transaction_id").alias("key_hash"),
        )
        .collect(engine="streaming")
        .with_row_index("row_no")
    )


def key_hash(transaction_id: str) -> pl.Expr:
    """One number for a transaction's two text keys; where it decides, the text is compared too."""
    return pl.col("service_id").hash() ^ pl.col(transaction_id).hash(1)


def repeated_rows(tx: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """The numbers of the duplicates beyond the first, and of the rows in conflict."""
    repeated = (
        tx.lazy().group_by("key_hash").agg(pl.len()).filter(pl.col("len") > 1).select("key_hash")
    )
    key = ["service_id", "transaction_id"]
    content = [name for name in interface.TRANSACTION_COLUMNS if name not in key]
    rows = (
        tx.lazy()
        .join(repeated, on="key_hash", how="semi")
        .with_columns(
            rows=pl.len().over(key),
            contents=pl.struct(content).n_unique().over(key),
            first=pl.col("row_no").min().over(key),
        )
        .filter(pl.col("rows") > 1)
        .collect(engine="streaming")
    )
    conflict = pl.col("contents") > 1
    duplicates = rows.filter(~conflict, pl.col("row_no") != pl.col("first"))["row_no"]
    return duplicates, rows.filter(conflict)["row_no"]


def refund_frame(standing: pl.LazyFrame) -> pl.DataFrame:
    """The refunds among the standing rows: their originals, what they take, what declines them."""
    refunds = standing.filter(pl.col("kind") == "refund")
    originals = standing.filter(pl.col("kind") != "refund").select(
        "service_id",
        "key_hash",
        pl.col("row_no", "transaction_id", "account_id", "occurred_at", "amount").name.prefix(
            "original_"
        ),
    )
    named = refunds.select(
        "row_no",
        "service_id",
        "transaction_id",
        "account_id",
        "occurred_at",
        "amount",
        key_hash("original_transaction_id").alias("key_hash"),
        pl.col("original_transaction_id").alias("named"),
    )
    # Many originals, few refunds: the originals are cut down before the join on text.
    wanted = originals.join(named, on="key_hash", how="semi").drop("key_hash")
    reason = (
        pl.when(pl.col("original_row_no").is_null())
        .then(pl.lit("original_not_booked", REASON))
        .when(pl.col("original_account_id") != pl.col("account_id"))
        .then(pl.lit("refund_account_differs", REASON))
        .when(pl.col("occurred_at") < pl.col("original_occurred_at"))
        .then(pl.lit("refund_before_original", REASON))
        .otherwise(pl.lit(None, REASON))
    )
    amount, taken, order = pl.col("amount"), pl.col("taken"), ["occurred_at", "transaction_id"]
    # A refund takes the part of the running sum that is within the original.
    asked_before = (
        amount.cum_sum().over("original_row_no", "refund_reason", order_by=order) - amount
    )
    exceeding = pl.when(taken == 0).then(pl.lit("refund_exceeds_original", REASON))
    return (
        named.join(
            wanted,
            left_on=["service_id", "named"],
            right_on=["service_id", "original_transaction_id"],
            how="left",
        )
        .with_columns(refund_reason=reason)
        .with_columns(taken=(pl.col("original_amount") - asked_before).clip(0, amount))
        .select(
            "row_no",
            "original_row_no",
            "taken",
            refund_reason=pl.coalesce("refund_reason", exceeding),
        )
        .collect(engine="streaming")
    )


def worth(yen: pl.Expr) -> pl.Expr:
    """The points of a sum of counted yen; `//` on whole numbers goes toward minus infinity."""
    return yen * interface.RATE_NUMERATOR // interface.RATE_DENOMINATOR


def changes(*names: str) -> pl.Expr:
    """Where a new value stands in one of the columns: the first row, and every start of a run."""
    return pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in names)


def since_the_start(running: pl.Expr, added: pl.Expr, starts: pl.Expr) -> pl.Expr:
    """A running sum over all rows, less what it was before the first row of each run."""
    return running - pl.when(starts).then(running - added).forward_fill()


def entry_frame(standing: pl.LazyFrame, refund: pl.DataFrame) -> pl.DataFrame:
    """The ledger's entries in their order: the rows' numbers and every computed column."""
    is_refund, amount = pl.col("kind") == "refund", pl.col("amount")
    month = pl.col("occurred_at").dt.year().cast(pl.Int64) * 12 + pl.col("occurred_at").dt.month()
    group = (
        pl.when(pl.col("rounding") == "cumulative")
        .then(0)
        .when(pl.col("rounding") == "month")
        .then(month)
        .otherwise(pl.col("row_no").cast(pl.Int64))
    )
    booked = refund.lazy().filter(pl.col("refund_reason").is_null())
    of_originals = booked.group_by(pl.col("original_row_no").alias("row_no")).agg(
        pl.col("taken").sum()
    )
    taken = pl.col("taken").fill_null(0)
    entries = (
        standing.join(
            pl.concat([booked.select("row_no", "taken"), of_originals]), on="row_no", how="left"
        )
        .filter(~is_refund | (taken > 0))
        .select(
            "row_no",
            "person_no",
            "account_no",
            "service_no",
            "transaction_id",
            moment=pl.col("occurred_at").to_physical() * 2 + is_refund.cast(pl.Int64),
            net_amount=pl.when(is_refund).then(-taken).otherwise(amount),
            left=pl.when(is_refund).then(0).otherwise(amount - taken),
            group=group,
        )
        .collect(engine="streaming")
        .sort("person_no", "moment", "service_no", "transaction_id")
        .drop("moment", "service_no", "transaction_id")
    )
    starts = changes("person_no")
    net, left, left_after = pl.col("net_amount"), pl.col("left"), pl.col("left_after")
    entries = entries.with_columns(
        entry_seq=since_the_start(pl.int_range(1, pl.len() + 1), pl.lit(1), starts),
        net_spend_after=since_the_start(net.cum_sum(), net, starts),
        left_after=since_the_start(left.cum_sum(), left, starts),
    ).with_columns(
        counted_amount=left_after.clip(upper_bound=CAP) - (left_after - left).clip(upper_bound=CAP)
    )

    counted, points, group_sum = pl.col("counted_amount"), pl.col("points"), pl.col("group_sum")
    in_group = since_the_start(counted.cum_sum(), counted, changes("account_no", "group"))
    # Two sorts and running sums take a fraction of the time of `over`.
    return (
        entries.sort("account_no", "group", maintain_order=True)
        .with_columns(group_sum=in_group)
        .with_columns(points=worth(group_sum) - worth(group_sum - counted))
        .drop("left", "left_after", "group", "group_sum")
        .sort("person_no", "entry_seq")
        .with_columns(points_after=since_the_start(points.cum_sum(), points, starts))
    )


def write(frame: pl.LazyFrame, path: Path) -> None:
    """Write a table as every peer does."""
    frame.sink_parquet(path, compression="zstd", compression_level=1, engine="streaming")


def write_ledger(tx: pl.DataFrame, entries: pl.DataFrame, people: pl.Series, path: Path) -> None:
    """Write the ledger in the entries' order."""
    gathered = pl.col(interface.TRANSACTION_COLUMNS).gather(entries["row_no"])
    rows = tx.lazy().select(gathered).collect()
    ledger = pl.concat([rows, entries], how="horizontal").with_columns(
        run_id=pl.lit(interface.RUN_ID),
        booked_on=pl.lit(interface.BOOKED_ON),
        person_id=people.gather(entries["account_no"]),
        kind=pl.col("kind").cast(pl.String),
        enrolled_account_id=pl.lit(None, pl.String),
        event_id=pl.lit(None, pl.String),
    )
    write(ledger.lazy().select(interface.LEDGER_COLUMNS), path)


def run(job: interface.Job) -> interface.Outcome:
    """Do the job and count what came of it."""
    services = service_frame(job)
    enrolled = enrolled_frame(scan(job.enrollments, interface.ENROLLMENT_COLUMNS), services)
    transactions = scan(job.transactions, interface.TRANSACTION_COLUMNS)
    tx = transaction_frame(transactions, services, enrolled)

    duplicates, conflicts = repeated_rows(tx)
    standing = tx.lazy().filter(
        pl.col("reason").is_null(),
        ~pl.col("row_no").is_in(pl.concat([duplicates, conflicts]).implode()),
    )
    refund = refund_frame(standing)
    entries = entry_frame(standing, refund)
    write_ledger(tx, entries, enrolled["person_id"], job.out / "ledger.parquet")

    duplicate = pl.col("row_no").is_in(duplicates.implode())
    declined = (
        tx.lazy()
        .join(refund.lazy().select("row_no", "refund_reason"), on="row_no", how="left")
        .filter(~pl.col("row_no").is_in(conflicts.implode()))
        .with_columns(
            reason=pl.when(duplicate)
            .then(pl.lit("duplicate", REASON))
            .otherwise(pl.coalesce("reason", "refund_reason"))
        )
        .filter(pl.col("reason").is_not_null())
        .select(interface.DECLINED_COLUMNS)
        .with_columns(pl.col("kind", "reason").cast(pl.String))
        .collect(engine="streaming")
    )
    write(declined.lazy(), job.out / "declined.parquet")

    reasons = declined.group_by("reason").len()
    return interface.Outcome(
        rows=tx.height,
        booked=entries.height,
        conflicts=conflicts.len(),
        points_net=int(entries["points"].sum()),
        declined=dict(reasons.iter_rows()),
    )


if __name__ == "__main__":
    started = time.perf_counter()
    found = run(JOB)
    interface.print_outcome(found, time.perf_counter() - started)
