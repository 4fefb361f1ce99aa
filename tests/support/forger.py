"""A forger, who changes a book and writes every digest, total, record and commit anew.

What is found then, arithmetic or deliveries have found.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from engine.records import KINDS, LedgerEntry, arrow_schema

PERSON = "person_id"
NET = pl.col("net_amount")


def log_of(book: Path) -> list[Path]:
    return sorted((book / "ledger" / "_delta_log").glob("*.json"))


class Forger:
    """Changes a book's tables and makes every digest, total and link agree with the change."""

    def __init__(self, book: Path) -> None:
        self.book = book
        shutil.rmtree(book / "index", ignore_errors=True)
        parts = sorted((book / "ledger").glob("*.parquet"))
        self.ledger = pl.concat(
            pl.read_parquet(part).with_columns(part=pl.lit(part.name)) for part in parts
        ).with_row_index("place")
        self.parts = [part.name for part in parts]

    def entry(self, *conditions: pl.Expr) -> dict[str, Any]:
        """The first entry for which the conditions hold."""
        return self.ledger.filter(*conditions).row(0, named=True)

    def set(self, place: int, **values: Any) -> None:
        """Gives an entry other values; another amount is its net amount, too."""
        entry = self.ledger.filter(pl.col("place") == place).row(0, named=True) | values
        if {"amount", "kind"} & {*values} and "net_amount" not in values:
            values["net_amount"] = entry["amount"] * (-1 if entry["kind"] == "refund" else 1)
        self.ledger = self.ledger.with_columns(
            pl.when(pl.col("place") == place)
            .then(pl.lit(value, dtype=self.ledger.schema[name]))
            .otherwise(name)
            .alias(name)
            for name, value in values.items()
        )

    def carry(self, *, counted: bool = False) -> None:
        """Makes numbers and running sums follow from the entries; so also what is counted."""
        net = NET.cum_sum().over(PERSON)
        self.ledger = self.ledger.sort("place").with_columns(
            entry_seq=pl.int_range(1, pl.len() + 1).over(PERSON), net_spend_after=net
        )
        if counted:
            clipped = pl.col("net_spend_after").clip(0, 20_000)
            before = (pl.col("net_spend_after") - NET).clip(0, 20_000)
            recounted = (pl.col("kind") == "recount").any().over(PERSON)
            self.ledger = self.ledger.with_columns(
                counted_amount=pl.when(recounted).then("counted_amount").otherwise(clipped - before)
            )
        self.ledger = self.ledger.with_columns(points_after=pl.col("points").cum_sum().over(PERSON))

    def write(self) -> None:
        """Writes the ledger, and forges the rest."""
        schema = arrow_schema(LedgerEntry)
        for name in self.parts:
            rows = self.ledger.filter(pl.col("part") == name).select(schema.names)
            table = rows.to_arrow().cast(schema)
            pq.write_table(table, self.book / "ledger" / name, store_schema=False)
        self.forge()

    def forge(self) -> None:
        previous: str | None = None
        commit_before: str | None = None
        for commit in log_of(self.book):
            number = int(commit.stem) + 1
            record = self._record(f"{number:06}", previous)
            path = self.book / "runs" / f"{number:06}" / "record.json"
            path.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", "utf-8")
            previous = hashlib.sha256(path.read_bytes()).hexdigest()
            actions = [json.loads(line) for line in commit.read_text("utf-8").split("\n")]
            info = actions[0]["commitInfo"]
            info["record_sha256"] = previous
            if commit_before is not None:
                info["previous_commit_sha256"] = commit_before
            for action in actions:
                if "add" in action:
                    self._add(action["add"])
            dumped = [json.dumps(a, ensure_ascii=False, separators=(",", ":")) for a in actions]
            commit.write_text("\n".join(dumped), "utf-8")
            commit_before = hashlib.sha256(commit.read_bytes()).hexdigest()

    def _record(self, run: str, previous: str | None) -> dict[str, Any]:
        folder = self.book / "runs" / run
        record: dict[str, Any] = json.loads((folder / "record.json").read_bytes())
        for output in record["outputs"]:
            data = (self.book / output["name"]).read_bytes()
            output["bytes"], output["sha256"] = len(data), hashlib.sha256(data).hexdigest()
            if "rows" in output and data[:4] == b"PAR1":
                output["rows"] = pq.read_metadata(self.book / output["name"]).num_rows
        shas = {
            Path(output_of_run["name"]).name: output_of_run["sha256"]
            for output_of_run in record["outputs"]
        }
        record["programme"]["sha256"] = shas["programme.toml"]
        record["services_sha256"] = shas["services.toml"]
        of_run = self.ledger.filter(pl.col("run_id") == run)
        last = of_run.group_by(PERSON).agg(pl.col("net_spend_after").last())
        counts, yen = record["counts"], record["yen"]
        booked = of_run.filter(pl.col("kind").is_in(KINDS))
        counts["booked"], yen["booked"] = booked.height, booked["amount"].sum()
        counts["voided"] = of_run["kind"].str.ends_with("_void").sum()
        counts["recounted"] = (of_run["kind"] == "recount").sum()
        counts["people"] = last.height
        counts["people_at_the_cap"] = int((last["net_spend_after"] >= 20_000).sum())
        for name, table, key in (
            ("declined", counts, pl.len()),
            ("declined", yen, pl.col("amount").sum()),
        ):
            declined = pl.read_parquet(folder / f"{name}.parquet")
            table[name] = dict(declined.group_by("reason").agg(key).sort("reason").iter_rows())
        for table in (counts, yen):
            out = table["booked"] + sum(table["declined"].values()) + table["quarantined"]
            table["reconsidered"] = min(table["reconsidered"], out)
            table["read"], read = out - table["reconsidered"], table["read"]
            if table is counts and table["read"] != read:
                given = next(
                    read_file
                    for read_file in record["inputs"]
                    if read_file["role"] == "transactions"
                )
                given["rows"] += table["read"] - read
        record["points"] = {
            "awarded": of_run.filter(pl.col("points") > 0)["points"].sum(),
            "reversed": -of_run.filter(pl.col("points") < 0)["points"].sum(),
        }
        record["previous_sha256"] = previous
        return record

    def _add(self, add: dict[str, Any]) -> None:
        path = self.book / "ledger" / add["path"]
        rows = self.ledger.filter(pl.col("part") == add["path"])
        add["size"] = path.stat().st_size
        if rows.is_empty():
            return
        run = {"run_id": add["path"][:6]}
        add["stats"] = json.dumps(
            {
                "numRecords": rows.height,
                "minValues": run | {PERSON: rows[PERSON][0]},
                "maxValues": run | {PERSON: rows[PERSON][-1]},
                "nullCount": {"run_id": 0, PERSON: 0},
            },
            ensure_ascii=False,
        )
