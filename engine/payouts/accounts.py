"""Whose an account is now: the one thing that payouts ask of enrollments and events."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import polars as pl

Account = tuple[str, str]
"""A service and an account of it."""

ENROLLED: Final = {
    "service_id": pl.String(),
    "account_id": pl.String(),
    "person_id": pl.String(),
    "in_force": pl.Boolean(),
}


def nobody_stopped(_until: dt.datetime, /) -> Set[Account]:
    """No enrollment is stopped."""
    return frozenset()


@dataclass(frozen=True, slots=True)
class Replacement:
    """An account number that goes on with another one's enrollment."""

    service_id: str
    account_id: str
    other_id: str
    effective_at: dt.datetime


@dataclass(frozen=True)
class Accounts:
    """The accounts of a book as all that it accepted leaves them.

    Attributes:
        enrolled: columns of `ENROLLED`, one row for each account that has an enrollment in force,
            and one (not `in_force`) for each whose enrollment a merge took out; `person_id` is the
            person whose the account is now, in the latter case the one who stays.
        replacements: those in force, in the order of their acceptance.
        stopped: the own accounts of enrollments that are stopped just before an instant.
        accepted_first: of several accounts, the one whose enrollment was accepted first.
    """

    enrolled: pl.DataFrame
    replacements: Sequence[Replacement] = ()
    stopped: Callable[[dt.datetime], Set[Account]] = nobody_stopped
    accepted_first: Callable[[Sequence[Account]], Account] = field(
        default=lambda accounts: accounts[0]
    )

    @cached_property
    def belongs(self) -> Mapping[Account, Account]:
        """By replaced number, the account that it belongs to; all others belong to themselves."""
        before: dict[Account, list[Account]] = {}
        for replacement in self.replacements:
            replaced = before.setdefault((replacement.service_id, replacement.other_id), [])
            replaced.append((replacement.service_id, replacement.account_id))
        numbers = pl.DataFrame(
            sorted(before), schema=["service_id", "account_id"], orient="row"
        ).cast(pl.String)
        in_force = self.enrolled.lazy().filter("in_force").select("service_id", "account_id")
        itself = set(numbers.lazy().join(in_force, on=numbers.columns).collect().iter_rows())
        belongs: dict[Account, Account] = {}
        for number in before:
            at, seen = number, set[Account]()
            while at in before and at not in itself and at not in seen:
                seen.add(at)
                replaced = before[at]
                at = replaced[0] if len(replaced) == 1 else self.accepted_first(replaced)
            if at != number:
                belongs[number] = at
        return belongs

    def newest(self, until: dt.datetime) -> dict[Account, str]:
        """The newest number, just before an instant, of each account that has another than its own.

        It is the number that became effective last, at equal instants the one accepted last; of a
        number that is enrolled itself and went on with another account, it may be its own.
        """
        newest: dict[Account, tuple[dt.datetime, str]] = {}
        for replacement in self.replacements:
            if replacement.effective_at >= until:
                continue
            number = replacement.service_id, replacement.other_id
            account = self.belongs.get(number, number)
            known = newest.get(account)
            if known is None or replacement.effective_at >= known[0]:
                newest[account] = replacement.effective_at, replacement.other_id
        return {account: number for account, (_, number) in newest.items()}

    @cached_property
    def shared(self) -> pl.DataFrame:
        """The people who have several accounts: `person_id`."""
        hashes = self.enrolled["person_id"].hash(seed=1)
        # Few hashes occur twice, and only their people are looked at.
        return (
            self.enrolled.filter(hashes.is_duplicated())
            .lazy()
            .group_by("person_id")
            .len()
            .filter(pl.col("len") > 1)
            .select("person_id")
            .collect()
        )


def few_accounts(accounts: Iterable[Account]) -> pl.DataFrame:
    """Some accounts as rows, in order."""
    return pl.DataFrame(
        sorted(accounts),
        schema={"service_id": pl.String, "account_id": pl.String},
        orient="row",
    )
