"""What the book remembers of its people, in files by ranges of their IDs that any cut can read.

A file holds one row an account: the accepted application, its person's entries, net spend and
points so far, and the account's counted yen by month.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, cast
from uuid import uuid4

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from engine.booking.registry import Numbers, Registry
from engine.booking.state import RUN_SHIFT, Balances, Keys, Past, Refunded
from engine.io.durable import new_file
from engine.io.parquet import scan_parquet
from engine.records import ENROLLMENT_COLUMNS, Enrollment, polars_schema
from engine.spark.key_index import account_checks, account_hashes

BALANCES: Final = ("entry_seq", "net_spend_after", "points_after")
SAMPLED: Final = 64

STATE_SCHEMA: Final[dict[str, pl.DataType]] = {
    **polars_schema(Enrollment),
    **{name: pl.Int64() for name in BALANCES},
    "months": pl.List(pl.Int64()),
    "counted": pl.List(pl.Int64()),
}


@dataclass(frozen=True, slots=True)
class PeopleFile:
    """A file of people: the range of person IDs that it covers, and what is in it.

    Attributes:
        first, beyond: the range; None where it is open.
        sample: some of its people's IDs, evenly spread, to cut ranges by.
    """

    name: str
    first: str | None
    beyond: str | None
    accounts: int
    sample: list[str]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Range:
    """A range of person IDs; None where it is open."""

    first: str | None
    beyond: str | None

    def overlaps(self, file: PeopleFile) -> bool:
        starts_before = self.beyond is None or file.first is None or file.first < self.beyond
        return starts_before and (
            file.beyond is None or self.first is None or self.first < file.beyond
        )

    @property
    def holds(self) -> pl.Expr:
        """Whether a row's person is in the range."""
        holds = pl.lit(value=True)
        if self.first is not None:
            holds &= pl.col("person_id") >= self.first
        if self.beyond is not None:
            holds &= pl.col("person_id") < self.beyond
        return holds


def ranges(bounds: Sequence[str]) -> list[Range]:
    """The ranges between ascending person IDs."""
    edges = [None, *bounds, None]
    return [Range(edges[at], edges[at + 1]) for at in range(len(bounds) + 1)]


def range_of(person_ids: pl.Series, bounds: Sequence[str]) -> Numbers:
    """By row, the number of the range that its person is in."""
    if not bounds:
        return np.zeros(len(person_ids), np.int64)
    found = pl.Series(bounds).search_sorted(person_ids, side="right")
    return found.to_numpy().astype(np.int64)


def sampled(person_ids: pl.Series) -> list[str]:
    """Some of ascending IDs, evenly spread."""
    places = np.linspace(0, len(person_ids) - 1, min(SAMPLED, len(person_ids))).astype(np.int64)
    return cast("list[str]", person_ids.gather(np.unique(places)).to_list())


def accounts_in(file: Path, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
    """Applications in a Parquet file, some at a time."""
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(
            256 * 1024, columns=list(columns) if columns else None, use_threads=False
        ):
            yield pl.DataFrame(batch)


@dataclass(frozen=True, slots=True)
class People:
    """A slice of people, as ``STATE_SCHEMA``, in the order of their IDs."""

    state: pl.DataFrame

    @classmethod
    def in_range(cls, folder: Path, files: Sequence[PeopleFile], mine: Range) -> "People":
        """Those whom the book remembers in a range."""
        frames = [pl.DataFrame(schema=STATE_SCHEMA)]
        for file in files:
            if mine.overlaps(file):
                frames += [
                    frame.filter(mine.holds).cast(pl.Schema(STATE_SCHEMA))
                    for frame in accounts_in(folder / file.name)
                ]
        return cls(pl.concat(frames, rechunk=True))

    def joined_by(self, accepted: Path, mine: Range) -> "People":
        """With a run's accepted applications in the range, of which nothing is booked yet."""
        fresh = (
            scan_parquet(accepted)
            .filter(mine.holds)
            .select(ENROLLMENT_COLUMNS)
            .with_columns(
                *(pl.lit(0, pl.Int64).alias(name) for name in BALANCES),
                months=pl.lit([], pl.List(pl.Int64)),
                counted=pl.lit([], pl.List(pl.Int64)),
            )
            .collect(engine="in-memory")
        )
        if fresh.is_empty():
            return self
        both = pl.concat([self.state, fresh.cast(pl.Schema(STATE_SCHEMA))])
        # What is known of a person stands with each account, those of this run included.
        state = both.sort("person_id", maintain_order=True).with_columns(
            pl.col(BALANCES).max_by("entry_seq").over("person_id")
        )
        return replace(self, state=state)

    def carried_over(self, balances: pl.DataFrame, months: pl.DataFrame) -> "People":
        """After further entries.

        ``balances`` has ``person_id`` and ``BALANCES`` of entries, the last of each person among
        them; ``months`` has ``service_id``, ``account_id``, ``month`` and ``counted`` yen.
        """
        last = (
            balances.sort("person_id", "entry_seq")
            .unique("person_id", keep="last", maintain_order=True)
            .rename({name: f"{name}_now" for name in BALANCES})
        )
        state = (
            self.state.join(last, on="person_id", how="left", maintain_order="left")
            .with_columns(pl.coalesce(f"{name}_now", name).alias(name) for name in BALANCES)
            .select(*STATE_SCHEMA)
            .with_row_index("no")
        )
        account = ("service_id", "account_id")
        numbered = state.select("no", *account)
        held = state.select("no", month="months", counted="counted").explode("month", "counted")
        together = (
            pl.concat(
                [
                    held.drop_nulls("month"),
                    months.join(numbered, on=account).select("no", "month", "counted"),
                ]
            )
            .group_by("no", "month")
            .agg(pl.col("counted").sum())
            .sort("no", "month")
            .group_by("no", maintain_order=True)
            .agg(pl.col("month").alias("months"), "counted")
        )
        state = (
            state.drop("months", "counted")
            .join(together, on="no", how="left", maintain_order="left")
            .with_columns(
                pl.col("months", "counted").fill_null(pl.lit([], pl.List(pl.Int64))),
            )
            .select(*STATE_SCHEMA)
        )
        return People(state)

    def write(self, folder: Path, mine: Range) -> PeopleFile:
        """Writes the slice as a file of its own."""
        name = f"people-{uuid4().hex}.parquet"
        with new_file(folder / name) as file:
            pq.write_table(
                self.state.to_arrow(),
                file,
                compression="zstd",
                compression_level=1,
                row_group_size=128 * 1024,
                use_dictionary=["service_id", "basis"],
            )
        sample = sampled(self.state["person_id"])
        return PeopleFile(name, mine.first, mine.beyond, self.state.height, sample)

    def past(self, answers: np.ndarray) -> Past:
        """What a fold must know: these people, and the entries that their refunds ask for."""
        registry = Registry.empty().extended(self.state.select(ENROLLMENT_COLUMNS))
        accounts = registry.accounts
        held = self.state.select(BALANCES)[registry.first_accounts]
        months = self.state.select("months", "counted").with_row_index("no")
        months = months.explode("months", "counted").drop_nulls("months")
        at, first_month = months["months"].to_numpy(), 0
        counted = np.zeros((accounts.height, 0), np.int32)
        if at.size:
            first_month = int(at.min())
            counted = np.zeros((accounts.height, int(at.max()) + 1 - first_month), np.int32)
            counted[months["no"].to_numpy(), at - first_month] = months["counted"].to_numpy()
        past = Past(
            registry,
            Balances(*(held[name].to_numpy() for name in BALANCES)),
            counted,
            first_month,
            (),
            (),
            Past.empty().refunded,
        )
        return _with_answers(past, answers)


def _with_answers(past: Past, answers: np.ndarray) -> Past:
    """With entries of earlier runs, which the slice's refunds ask for."""
    if answers.size == 0:
        return past
    answers = answers[np.argsort(answers["entry"]["hash"], kind="stable")]
    positions = (1 << RUN_SHIFT) + np.arange(answers.size)
    facts = np.ascontiguousarray(answers["entry"]["fact"])
    accounts = past.registry.accounts.with_columns(pl.col("service_id").cast(pl.String))
    numbers = pl.DataFrame(
        {"account": account_hashes(accounts), "check": account_checks(accounts)}
    ).with_row_index("no")
    found = pl.DataFrame(
        {
            "account": np.ascontiguousarray(answers["entry"]["account"]),
            "check": np.ascontiguousarray(facts["account_no"]),
        }
    ).join(numbers, on=("account", "check"), how="left", maintain_order="left")
    # An account that none of these people has is another person's.
    facts["account_no"] = found["no"].cast(pl.Int64).fill_null(-1).to_numpy()
    back = np.flatnonzero(answers["yen"])
    return replace(
        past,
        keys=[Keys(np.ascontiguousarray(answers["entry"]["hash"]), positions)],
        facts=[facts],
        refunded=Refunded(positions[back], answers["yen"][back], answers["counted"][back]),
    )
