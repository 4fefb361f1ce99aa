"""What corrections make of accounts, as the columns of a run ask for it.

An account that replaced another goes on with its enrollment; an enrollment may be stopped for some
time; a transaction may be void by name. All three are few, so they are looked up beside the
registry, and only for rows that the registry alone does not settle.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.corrections import Accepted, Account, Corrections
from engine.booking.registry import NOBODY, Numbers, Registry
from engine.booking.standing import Standing

_EPOCH: Final = dt.datetime(1970, 1, 1)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_KEY: Final = {"service_id": pl.String(), "account_id": pl.String()}


@dataclass(frozen=True)
class Exceptions:
    """Accounts and transactions that cannot be settled by the registry alone.

    Attributes:
        replacing: accounts that go on with another's enrollment: ``service_id``, ``account_id``,
            ``account_no`` of the enrollment's own account, and ``since``.
        stops: by account number, the instants (microseconds) from which on it is stopped or not.
        voided: transactions that are void by name: ``service_id``, ``transaction_id``.
    """

    replacing: pl.DataFrame
    stops: dict[int, list[tuple[int, bool]]]
    voided: pl.DataFrame

    @classmethod
    def none(cls) -> "Exceptions":
        """No exceptions."""
        return cls(
            pl.DataFrame(schema={**_KEY, "account_no": pl.Int32, "since": pl.Datetime("us")}),
            {},
            pl.DataFrame(schema={"service_id": pl.String(), "transaction_id": pl.String()}),
        )

    @classmethod
    def of(cls, corrections: Corrections, registry: Registry) -> "Exceptions":
        """The exceptions that follow from a book's corrections."""
        if not corrections.taken:
            return cls.none()
        standing = Standing(corrections.taken, corrections.enrollments)
        none = cls.none()
        replacing = []
        for account in standing.replacing_accounts():
            owner = standing.owner(account)
            if owner is not None and owner.since is not None:
                replacing.append((*account, owner.enrollment.account, owner.since))
        own = account_numbers(registry, [row[2] for row in replacing])
        stopped = [e for e in standing.in_force() if standing.stops_of(e)]
        numbers = account_numbers(registry, [e.account for e in stopped])
        return cls(
            pl.DataFrame(
                [
                    (row[0], row[1], number, row[3])
                    for row, number in zip(replacing, own, strict=True)
                ],
                schema=none.replacing.schema,
                orient="row",
            ),
            {
                number: [(microseconds(at), stops) for at, stops in standing.stops_of(enrollment)]
                for number, enrollment in zip(numbers, stopped, strict=True)
            },
            pl.DataFrame(
                sorted(standing.voided_transactions), schema=none.voided.schema, orient="row"
            ),
        )

    def accounts_of(self, rows: pl.DataFrame, registry: Registry) -> Numbers:
        """The account number of the enrollment that each row's account belongs to at its instant,
        or -1: ``service_id``, ``account_id``, ``occurred_at``.
        """
        numbers = registry.finder.find(rows["service_id"], rows["account_id"])
        if not registry.everybody_in_force:
            held = np.flatnonzero(numbers >= 0)
            out = registry.person_nos[numbers[held]] == NOBODY
            numbers[held[out]] = -1
        if self.replacing.height:
            unknown = np.flatnonzero(numbers < 0)
            found = (
                rows.select("service_id", "account_id", "occurred_at")[unknown]
                .join(
                    self.replacing,
                    on=["service_id", "account_id"],
                    how="left",
                    maintain_order="left",
                )
                .select(
                    pl.when(pl.col("occurred_at") >= pl.col("since"))
                    .then("account_no")
                    .otherwise(-1)
                    .fill_null(-1)
                )
                .to_series()
            )
            numbers[unknown] = found.to_numpy()
        return numbers

    def replacing_ids(
        self, rows: pl.DataFrame, account_nos: Numbers, registry: Registry
    ) -> pl.Series:
        """The account's ID where it replaced the account of that number, else null.

        Of type Null, which takes no room, where no account of the book replaced another.
        """
        if self.replacing.is_empty():
            return pl.repeat(None, rows.height, dtype=pl.Null, eager=True)
        own = registry.accounts["account_id"].gather(np.where(account_nos < 0, 0, account_nos))
        differs = (own != rows["account_id"]) & pl.Series(account_nos >= 0)
        return rows.select(pl.when(differs).then("account_id")).to_series()

    def are_stopped(self, account_nos: Numbers, occurred_at_us: Numbers) -> npt.NDArray[np.bool_]:
        """Whether each account's enrollment is stopped at the instant beside it."""
        stopped = np.zeros(account_nos.size, np.bool_)
        if not self.stops:
            return stopped
        numbers = np.array(sorted(self.stops))
        at = np.minimum(np.searchsorted(numbers, account_nos), numbers.size - 1)
        for row in np.flatnonzero(numbers[at] == account_nos).tolist():
            for since, stops in self.stops[int(account_nos[row])]:
                if since <= occurred_at_us[row]:
                    stopped[row] = stops
        return stopped

    def are_voided(self, rows: pl.DataFrame) -> npt.NDArray[np.bool_]:
        """Whether each transaction is void by name: ``service_id``, ``transaction_id``."""
        if self.voided.is_empty():
            return np.zeros(rows.height, np.bool_)
        named = rows["transaction_id"].is_in(self.voided["transaction_id"].implode()).to_numpy()
        places = np.flatnonzero(named)
        if places.size == 0:
            return named
        both = rows.select("service_id", "transaction_id")[places].join(
            self.voided.with_columns(void=pl.lit(value=True)),
            on=["service_id", "transaction_id"],
            how="left",
            maintain_order="left",
        )
        voided = np.zeros(rows.height, np.bool_)
        voided[places] = both["void"].fill_null(value=False).to_numpy()
        return voided


def microseconds(instant: dt.datetime) -> int:
    """An instant in microseconds, as columns hold it."""
    return (instant - _EPOCH) // _MICROSECOND


def account_numbers(registry: Registry, accounts: Iterable[Account]) -> list[int]:
    """The numbers of accounts, in or out of force; -1 for unknown accounts."""
    frame = pl.DataFrame(list(accounts), schema=_KEY, orient="row")
    numbers: list[int] = registry.finder.find(frame["service_id"], frame["account_id"]).tolist()
    return numbers


def registry_in_force(
    registry: Registry, corrections: Corrections, enrollments: Iterable[Accepted]
) -> Registry:
    """The registry, updated with what is in force for the accounts of these enrollments."""
    standing = Standing(corrections.taken, corrections.enrollments)
    accounts = sorted({enrollment.account for enrollment in enrollments})
    held = [standing.enrolled(account) for account in accounts]
    people = sorted(
        {standing.person_of(enrollment) for enrollment in held if enrollment is not None}
    )
    registry = registry.known_people(pl.Series("person_id", people, pl.String))
    registry = registry.known_accounts(
        pl.DataFrame(accounts, schema=_KEY, orient="row").sort("service_id", "account_id")
    )
    person_nos = registry.people_finder.find(
        pl.Series(
            [None if enrollment is None else standing.person_of(enrollment) for enrollment in held],
            dtype=pl.String,
        )
    )
    return registry.corrected(
        np.array(account_numbers(registry, accounts), np.int64),
        pl.DataFrame(
            {
                "person_no": person_nos,
                "applied_at": [enrollment and enrollment.applied_at for enrollment in held],
                "basis": [enrollment and enrollment.basis for enrollment in held],
                "content": [enrollment.content if enrollment else 0 for enrollment in held],
            },
            schema={
                "person_no": pl.Int32,
                "applied_at": pl.Datetime("us"),
                "basis": pl.String,
                "content": pl.UInt64,
            },
        ),
    )
