"""Remembering: (what the book knows, a run's tables) -> what it knows then."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, Final, Protocol, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.corrections import Corrections
from engine.booking.exceptions import Exceptions, registry_in_force
from engine.booking.index_spaces import BookPositions
from engine.booking.registry import Numbers
from engine.booking.standing import Standing
from engine.booking.state import (
    FACT,
    RUN_SHIFT,
    FactRows,
    Integers,
    Keys,
    Months,
    Past,
    content_hashes,
    jst_months,
    key_checks,
    month_keys,
    person_keys,
    summed,
)
from engine.booking.voiding import with_refunds
from engine.columns.hashing import Hashes, hash_pair
from engine.records import KINDS, RECOUNT, VOIDS, Kind

_NOTHING: Final = np.empty(0, np.int64)


class NewFacts(Protocol):
    """Takes the facts of a run's entries."""

    def append(self, rows: npt.NDArray[Any], /) -> None:
        """Adds facts after those that are there."""

    def finish(self) -> FactRows:
        """All of them."""


def corrected(past: Past, corrections: Corrections) -> Past:
    """The past after a run's events."""
    registry = registry_in_force(past.registry, corrections, corrections.enrollments)
    return past.with_registry(registry, corrections, Exceptions.of(corrections, registry))


def enrolled(past: Past, accepted: pl.DataFrame, corrections: Corrections) -> Past:
    """The past with a run's accepted enrollments: columns of ``Enrollment``, and of each the
    ``content`` where that is known.
    """
    standing = Standing(corrections.taken, corrections.enrollments)
    goes = sorted(standing.merges)
    person = pl.col("person_id")
    if goes:
        person = person.replace(goes, [standing.read(person_id).person for person_id in goes])
    registry = past.registry.extended(
        accepted.with_columns(person).sort("person_id", maintain_order=True)
    )
    exceptions = Exceptions.of(corrections, registry) if corrections else past.exceptions
    return replace(
        past.with_registry(registry, corrections, exceptions),
        accounts_by_run=np.append(past.accounts_by_run, registry.accounts.height),
    )


def remembered(
    past: Past,
    run_number: int,
    parts: Iterable[pl.DataFrame],
    facts: NewFacts,
    by_month: Collection[str],
) -> Past:
    """The past with a run's entries, in their order.

    ``parts`` have the columns of ``LedgerEntry``, no person in two of them; ``by_month`` are the
    services that round by month. The run's keys become one segment a part.
    """
    registry, balances = past.registry, past.balances
    keys: list[Keys] = []
    people: list[Keys] = []
    later: list[pl.DataFrame] = []
    counted = _Counted(past, by_month)
    done = 0
    for part in parts:
        first = (run_number << RUN_SHIFT) + done
        own_accounts = part.select(pl.coalesce("enrolled_account_id", "account_id")).to_series()
        account_nos = registry.finder.find(part["service_id"], own_accounts)
        person_nos = registry.people_finder.find(part["person_id"])
        begins = np.flatnonzero(np.diff(person_nos, prepend=-1))
        ends = np.append(begins[1:], person_nos.size) - 1
        for held, name in zip(
            balances, ("entry_seq", "net_spend_after", "points_after"), strict=True
        ):
            held[person_nos[ends]] = part[name].to_numpy()[ends]
        key_hashes = hash_pair(part["service_id"], part["transaction_id"])
        part_facts, kept = _facts(part, key_hashes, account_nos, person_nos)
        facts.append(part_facts)
        places = np.flatnonzero(kept)
        order = places[np.argsort(key_hashes[places], kind="stable")]
        keys.append(Keys(key_hashes[order], cast(BookPositions, first + order)))
        by_person = person_keys(person_nos[begins])
        order = np.argsort(by_person)
        people.append(Keys(by_person[order], cast(BookPositions, first + begins[order])))
        backward = part["kind"].is_in(["refund", *VOIDS])
        own = (part_facts["spends"] > 0) | part["kind"].is_in(
            [RECOUNT, *_VOIDS_OF_SPENDING]
        ).to_numpy()
        counted.add(part, account_nos, part_facts["occurred_at"], own)
        later.append(
            part.select(
                "service_id",
                "transaction_id",
                "original_transaction_id",
                "kind",
                "net_amount",
                "counted_amount",
            )
            .with_columns(account_no=pl.Series(account_nos))
            .filter(backward)
        )
        done += part.height
    past = replace(
        past,
        keys=[*past.keys, *keys],
        people=[*past.people, *people],
        facts=past.facts.with_run(facts.finish()),
    )
    if any(frame.height for frame in later):
        past = _taken_back(past, run_number, pl.concat(later), counted)
    return replace(past, counted=counted.of_accounts, months=counted.of_months())


_VOIDS_OF_SPENDING: Final = ("charge_void", "purchase_void")


def _facts(
    part: pl.DataFrame, key_hashes: Hashes, account_nos: Numbers, person_nos: Numbers
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """The facts of a part, and which of them have a key."""
    is_kept = part["kind"].is_in(KINDS)
    kept = is_kept.to_numpy()
    delivered = part.filter(is_kept).with_columns(pl.col("kind").cast(Kind))
    facts = np.zeros(part.height, FACT)
    facts["content"][kept] = content_hashes(delivered, key_hashes[kept])
    facts["occurred_at"] = part["occurred_at"].to_physical().to_numpy()
    facts["check"] = key_checks(part["service_id"], part["transaction_id"])
    facts["account_no"] = account_nos
    facts["person_no"] = person_nos
    facts["signed_amount"] = part["net_amount"].to_numpy()
    refund = (part["kind"] == "refund").to_numpy()
    facts["spends"] = np.where(kept, np.where(refund, -1, 1), 0)
    return facts, kept


def _taken_back(past: Past, run_number: int, entries: pl.DataFrame, counted: "_Counted") -> Past:
    """Refunds, and what voids refer to: found among all keys, this run's included."""
    of_refunds = entries.filter(pl.col("original_transaction_id").is_not_null())
    originals = past.entries_of(of_refunds["service_id"], of_refunds["original_transaction_id"])
    counted.add(
        of_refunds,
        of_refunds["account_no"].to_numpy(),
        past.facts_at(originals)["occurred_at"],
    )
    voids = entries.filter(pl.col("kind").is_in(VOIDS))
    voided = _NOTHING
    if voids.height:
        # A run's voids come ahead of its bookings, so they void what stood before the run.
        voided = past.entries_of(
            voids["service_id"], voids["transaction_id"], before_run=run_number
        )
    return replace(
        past,
        voided=cast(BookPositions, np.union1d(past.voided, voided)),
        refunded=with_refunds(past.refunded, *_given_back(past, run_number, of_refunds, originals)),
    )


def _given_back(
    past: Past, run_number: int, of_refunds: pl.DataFrame, originals: BookPositions
) -> tuple[BookPositions, Integers]:
    """The originals of refunds and of voids of refunds, and what each changes of them."""
    is_void = of_refunds["kind"] == "refund_void"
    if is_void.any():
        voids = of_refunds.filter(is_void)
        originals = originals.copy()
        originals[is_void.to_numpy()] = past.entries_of(
            voids["service_id"], voids["original_transaction_id"], before_run=run_number
        )
    return originals, -of_refunds["net_amount"].to_numpy()


class _Counted:
    """Counted yen by account, and of some by month, made to grow."""

    def __init__(self, past: Past, by_month: Collection[str]) -> None:
        self._by_month = list(by_month)
        more = past.registry.accounts.height - past.counted.size
        self.of_accounts = np.concatenate([past.counted, np.zeros(more, np.int64)])
        self._before = past.months
        self._keys, self._yen = [_NOTHING], [_NOTHING]

    def add(
        self,
        entries: pl.DataFrame,
        account_nos: Numbers,
        occurred_at_us: Integers,
        own: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Adds what entries, or some of them, count: ``service_id`` and ``counted_amount``; in the
        months of these instants.
        """
        counted = entries["counted_amount"].to_numpy()
        counts = counted != 0
        if own is not None:
            counts &= own
        np.add.at(self.of_accounts, account_nos[counts], counted[counts])
        if not self._by_month:
            return
        counts &= entries["service_id"].is_in(self._by_month).to_numpy()
        months = jst_months(np.ascontiguousarray(occurred_at_us[counts]))
        self._keys.append(month_keys(account_nos[counts], months))
        self._yen.append(counted[counts])

    def of_months(self) -> Months:
        """All that was counted by month."""
        return Months(*summed(*self._before, np.concatenate(self._keys), np.concatenate(self._yen)))
