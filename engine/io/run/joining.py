"""Histories under a newer number: a transaction that is delivered again with an account that
replaced the account it was booked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from engine.booking.corrections import Account
from engine.booking.duplicates import AgainstBook
from engine.booking.standing import Standing
from engine.booking.state import Past, content_hashes
from engine.columns.hashing import Hashes
from engine.io.book.waiting import Waiting
from engine.io.run.reconsidering import Reconsidering


@dataclass(frozen=True, slots=True)
class JoinedAccounts:
    """Which accounts count as the same."""

    standing: Standing
    waiting: Waiting
    voided_now: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, standing: Standing, reconsidering: Reconsidering) -> "JoinedAccounts":
        """Those of a run."""
        voided = reconsidering.voids.entries.select("service_id", "transaction_id")
        return cls(standing, reconsidering.waiting, frozenset(voided.iter_rows()))

    def settled(
        self, rows: pl.DataFrame, keys: Hashes, known: AgainstBook, past: Past
    ) -> tuple[pl.DataFrame, AgainstBook]:
        """Rows that equal their entry except for an account that replacements join.

        Such a row does not differ from an entry in force. If the entry is void and waits, the row
        counts as the waiting row delivered again, with the account that it was booked with.
        """
        joined = self.standing.joined_accounts
        if not joined:
            return rows, known
        ids = pl.Series(sorted({account_id for _, account_id in joined})).implode()
        differs, contents = known.differs.copy(), known.contents.copy()
        concerned = differs & rows["account_id"].is_in(ids).to_numpy()
        accounts: dict[int, str] = {}
        for place in np.flatnonzero(concerned).tolist():
            row = rows[place]
            booked = past.facts_at(known.positions[place : place + 1])["content"][0]
            for account_id in self._others(row):
                as_booked = row.with_columns(account_id=pl.lit(account_id))
                if content_hashes(as_booked, keys[place : place + 1])[0] != booked:
                    continue
                if known.in_force[place]:
                    differs[place] = False
                elif self._counts_as_waiting(row, account_id):
                    accounts[place], contents[place] = account_id, booked
                    differs[place] = False
                break
        if accounts:
            delivered = rows["account_id"].to_list()
            for place, account_id in accounts.items():
                delivered[place] = account_id
            rows = rows.with_columns(account_id=pl.Series(delivered, dtype=pl.String))
        return rows, known._replace(differs=differs, contents=contents)

    def _others(self, row: pl.DataFrame) -> Iterator[str]:
        account = _account(row)
        joined = self.standing.joined(account)
        return (account_id for _, account_id in sorted(joined - {account}))

    def _counts_as_waiting(self, row: pl.DataFrame, account_id: str) -> bool:
        owner = self.standing.owner(_account(row))
        other_owner = self.standing.owner((row["service_id"][0], account_id))
        if (owner and owner.enrollment.moment) != (other_owner and other_owner.enrollment.moment):
            return False
        if (row["service_id"][0], row["transaction_id"][0]) in self.voided_now:
            return True
        waits = self.waiting.of_keys(row["service_id"], row["transaction_id"])
        return bool(waits["booked_once"].any())


def _account(row: pl.DataFrame) -> Account:
    return row["service_id"][0], row["account_id"][0]
