"""The intake of a run: delivered transactions are read, settled against the book, and handed on.

Each part of a file goes one way, in any thread: text becomes values; rows that cannot be read or
contradict the book are set aside; what the book has already is declined; all others are counted
by key and sent to the slice of their account's person, or to the unenrolled.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.duplicates import (
    Occurrences,
    Repeated,
    against_the_book,
    repeated_within,
    settled_by_text,
)
from engine.booking.fold import DECLINED_COLUMNS, as_duplicates, in_fixed_order
from engine.booking.index_spaces import RowRefs
from engine.booking.recounted import Voids
from engine.booking.registry import Numbers
from engine.booking.state import Past, content_hashes
from engine.columns.hashing import Hashes, hash_pair, places_in
from engine.columns.unshared import rows_on_their_own
from engine.io.delivered.role_files import Files
from engine.io.delivered.rows import FAULTS_SCHEMA, PIECE_ROWS, REF_SHIFT, PartRows
from engine.io.parallel import in_order
from engine.io.run.joining import JoinedAccounts
from engine.io.run.reconsidering import Reconsidering
from engine.io.run.shuffle import SeenKeys, Shuffle
from engine.reading.spellings import OddIds
from engine.records import TRANSACTION_CONFLICT, Kind
from engine.rules.spending import DUPLICATE, NOT_ENROLLED, UNKNOWN_SERVICE, VOIDED
from engine.terms.services import Services

NO_ROWS: Final = pl.DataFrame(
    schema={
        "account_no": pl.Int32,
        "replacing_account_id": pl.String,
        "transaction_id": pl.String,
        "occurred_at": pl.Datetime("us"),
        "kind": Kind,
        "amount": pl.Int64,
        "original_transaction_id": pl.String,
        "method": pl.String,
        "row_ref": pl.Int64,
    }
)
_UNENROLLED_AHEAD: Final = 2
UNENROLLED_COLUMNS: Final = (*DECLINED_COLUMNS, "row_ref")


@dataclass(frozen=True, slots=True)
class PartOutcome:
    """What a part of a file left beside the rows that were handed on.

    Attributes:
        faulty: rows for the quarantine, columns of ``FAULTS_SCHEMA``.
        declined: rows that the book has already, columns of ``Declined``.
        requested: hashes of the originals, unknown to the book, of enrolled accounts' refunds.
        yen: of all rows whose amount can be read.
        second_rows_yen: that part of it which is of second rows out of a record.
    """

    faulty: pl.DataFrame
    declined: pl.DataFrame
    requested: Hashes
    yen: int
    second_rows_yen: int


@dataclass(slots=True)
class Intake:
    """Takes in delivered transactions.

    Attributes:
        slice_of_person: by person number; None when there is one slice.
        enrolled: rows of enrolled accounts, columns of ``NO_ROWS``, by slice.
        unenrolled: all others that were delivered, ``UNENROLLED_COLUMNS``, in any slice, with the
            reason that holds unless they turn out to be duplicates.
        unknown_accounts: the accounts of these.
    """

    past: Past
    services: Services
    reconsidering: Reconsidering
    joining: JoinedAccounts
    slice_of_person: npt.NDArray[np.int16] | None
    enrolled: Shuffle
    unenrolled: Shuffle
    seen: SeenKeys
    unknown_accounts: OddIds = field(default_factory=lambda: OddIds("account_id", every=True))
    _in_service: npt.NDArray[np.bool_] = field(init=False)
    _persons: npt.NDArray[np.int32] = field(init=False)

    def __post_init__(self) -> None:
        # Made before the threads ask for it all at once.
        _ = self.past.registry.finder
        # By account number, whether its service is known; the last is for number -1.
        services = self.past.registry.accounts["service_id"]
        assert isinstance(services.dtype, pl.Enum)
        words = services.dtype.categories.to_list()
        known = np.array([word in self.services.by_id for word in words], np.bool_)
        self._in_service = np.append(known[services.to_physical().to_numpy()], False)
        self._persons = self.past.registry.person_nos

    def take(self, rows: PartRows) -> PartOutcome:
        """Takes in a part of a file; may be called by several threads at once."""
        good = rows.good
        yen, second_rows_yen = rows.yen(), rows.yen(second=True) if rows.batch.split else 0
        keys = hash_pair(good["service_id"], good["transaction_id"])
        known = against_the_book(good, keys, self.past)
        if known.differs.any():
            good, known = self.joining.settled(good, keys, known, self.past)
        faulty, declined, contents = rows.faulty, good.clear(), known.contents
        if known.in_force.any():
            conflict, fresh = known.in_force & known.differs, ~known.in_force
            conflicts = rows.some_at_fault(good.filter(pl.Series(conflict)), TRANSACTION_CONFLICT)
            faulty = pl.concat([faulty, conflicts]).sort("row_ref")
            declined = good.filter(pl.Series(~fresh & ~conflict))
            good, keys, contents = good.filter(pl.Series(fresh)), keys[fresh], contents[fresh]
        self.seen.add(Occurrences.of(keys, contents, good["row_ref"].to_numpy()))
        return PartOutcome(
            faulty, as_duplicates(declined), self._hand_on(good), yen, second_rows_yen
        )

    def take_waiting(self, rows: pl.DataFrame) -> Hashes:
        """Takes in rows that waited in the book: canonical columns and negative ``row_ref``;
        returns the hashes of originals as ``take`` does.
        """
        rows = rows.with_columns(pl.col("kind").cast(Kind))
        keys = hash_pair(rows["service_id"], rows["transaction_id"])
        contents = content_hashes(rows, keys)
        self.seen.add(Occurrences.of(keys, contents, rows["row_ref"].to_numpy()))
        return self._hand_on(rows)

    def declined(
        self, pool: ThreadPoolExecutor, settled: "KeySettlement"
    ) -> Iterator[pl.DataFrame]:
        """The rows of ``unenrolled`` as ``Declined``, by slice."""

        def take(number: int, _: int) -> pl.DataFrame:
            return without_duplicates(self.unenrolled.take(number), settled)

        return in_order(pool, _UNENROLLED_AHEAD, self.unenrolled.filled(), take)

    def slices_of(self, person_nos: Numbers) -> list[int]:
        """The slices that have rows, or one of these people."""
        slices = set(self.enrolled.filled())
        if person_nos.size:
            own_slices = (
                [0] if self.slice_of_person is None else self.slice_of_person[person_nos].tolist()
            )
            slices.update(own_slices)
        return sorted(slices)

    def of_slice(self, voids: Voids, number: int) -> Voids:
        """The voids of a slice's people."""
        if self.slice_of_person is None or voids.people.size == 0:
            return voids
        return voids.of_people(self.slice_of_person == number)

    def _hand_on(self, good: pl.DataFrame) -> Hashes:
        exceptions = self.past.exceptions
        numbers = exceptions.accounts_of(good, self.past.registry)
        voided = exceptions.are_voided(good)
        enrolled = self._in_service.take(numbers) & ~voided
        if not enrolled.all():
            away = np.flatnonzero(~enrolled & (good["row_ref"] >= 0).to_numpy())
            if away.size:
                unenrolled = with_unenrolled_reason(good[away], self.services, voided[away])
                self.unknown_accounts.look(unenrolled.filter(pl.col("reason") == NOT_ENROLLED))
                self.unenrolled.add(
                    unenrolled.select(UNENROLLED_COLUMNS), self._all_in_one(unenrolled)
                )
        refunds = pl.Series(enrolled) & (good["kind"] == "refund")
        requested = self._requested(good.filter(refunds))
        if self.reconsidering.asks_for_refunds:
            keys = good.select("service_id", "transaction_id")
            self.reconsidering.of_originals(keys.filter(pl.Series(enrolled) & ~refunds))
        good = good.with_columns(
            account_no=pl.Series(numbers, dtype=pl.Int32),
            replacing_account_id=exceptions.replacing_ids(good, numbers, self.past.registry),
        ).select(NO_ROWS.columns)
        if self.slice_of_person is None:
            good = good if enrolled.all() else good.filter(pl.Series(enrolled))
            self.enrolled.add(good, [0, good.height])
            return requested
        rows = np.flatnonzero(enrolled)
        slices = self.slice_of_person[self._persons[numbers[rows]]]
        order = np.argsort(slices, kind="stable")
        bounds = np.searchsorted(slices[order], np.arange(len(self.enrolled.rows) + 1))
        self.enrolled.add(good[rows[order]], bounds.tolist())
        return requested

    def _all_in_one(self, unenrolled: pl.DataFrame) -> list[int]:
        # Nobody's rows belong together; each piece of a part goes to the next slice.
        slices = len(self.unenrolled.rows)
        part, place = divmod(int(unenrolled["row_ref"][0]), 1 << REF_SHIFT)
        number = (part + place // PIECE_ROWS) % slices
        return [0] * (number + 1) + [unenrolled.height] * (slices - number)

    def _requested(self, refunds: pl.DataFrame) -> Hashes:
        ids = refunds["service_id"], refunds["original_transaction_id"]
        return hash_pair(*ids)[self.past.booked_at(*ids) < 0]


def with_unenrolled_reason(
    rows: pl.DataFrame, services: Services, voided: npt.NDArray[np.bool_]
) -> pl.DataFrame:
    """Rows that are void by name, or of which no account is enrolled, each with its reason."""
    known = pl.col("service_id").cast(pl.Enum(list(services.by_id)), strict=False).is_not_null()
    return rows.with_columns(
        reason=pl.when(pl.Series(voided))
        .then(pl.lit(VOIDED))
        .when(known)
        .then(pl.lit(NOT_ENROLLED))
        .otherwise(pl.lit(UNKNOWN_SERVICE))
    )


@dataclass(frozen=True, slots=True)
class KeySettlement:
    """What became of keys that a run's files hold more than once.

    Attributes:
        set_aside: the ``row_ref`` of duplicates, of rows in conflict, and of rows that waited
            under a key that was delivered again, ascending.
        duplicate: whether it is a duplicate, one each.
        replaced: the ``row_ref`` of those that waited.
        faulty: the conflicts for the quarantine.
    """

    set_aside: RowRefs
    duplicate: npt.NDArray[np.bool_]
    replaced: RowRefs
    faulty: pl.DataFrame

    @classmethod
    def of(
        cls, duplicates: RowRefs, conflicts: RowRefs, replaced: RowRefs, faulty: pl.DataFrame
    ) -> "KeySettlement":
        """From the ``row_ref`` of each kind, in any order."""
        both = np.concatenate([duplicates, conflicts, replaced])
        order = np.argsort(both)
        return cls(both[order], order < duplicates.size, replaced, faulty)

    def split(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows that stay, and the duplicates; all else that is set aside is in neither."""
        if self.set_aside.size == 0:
            return rows, rows.clear()
        aside = rows["row_ref"].is_in(pl.Series(self.set_aside).implode())
        if not aside.any():
            return rows, rows.clear()
        repeats = rows.filter(aside)
        at, _ = places_in(self.set_aside, repeats["row_ref"].to_numpy())
        return rows.filter(~aside), repeats.filter(pl.Series(self.duplicate[at]))


def settle(
    seen: SeenKeys, files: Files, reconsidering: Reconsidering, pool: ThreadPoolExecutor, ahead: int
) -> KeySettlement:
    """Settles repeated keys; rows whose hashes agree and contents do not are looked at once more,
    those that were delivered in their files, those that waited in the book.
    """
    found = in_order(pool, ahead, seen.parts(), lambda part, _: repeated_within(seen.noted(part())))
    duplicates, contested, replaced = Repeated.of_all(found)
    if contested.size == 0:
        return KeySettlement.of(duplicates, contested, replaced, pl.DataFrame(schema=FAULTS_SCHEMA))
    keys: list[pl.DataFrame] = []
    faulty: list[pl.DataFrame] = []
    waited = contested[contested < 0]
    if waited.size:
        # What is delivered decides, so the content of what waited is not asked for.
        keys.append(reconsidering.keys_of(waited).with_columns(content=pl.lit(0, pl.UInt64)))
    for rows in files.read_again(pool, ahead, contested[contested >= 0]):
        hashes = hash_pair(rows.good["service_id"], rows.good["transaction_id"])
        contents = pl.Series("content", content_hashes(rows.good, hashes))
        keyed_rows = rows.good.select("service_id", "transaction_id", "row_ref", contents)
        keys.append(rows_on_their_own(keyed_rows))
        faulty.append(rows.all_at_fault(TRANSACTION_CONFLICT))
    columns = ("service_id", "transaction_id", "row_ref", "content")
    repeats = settled_by_text(pl.concat([rows.select(columns) for rows in keys]))
    in_conflict = pl.col("row_ref").is_in(pl.Series(repeats.contested).implode())
    return KeySettlement.of(
        np.concatenate([duplicates, repeats.duplicates]),
        repeats.contested,
        np.concatenate([replaced, repeats.replaced]),
        pl.concat(faulty).filter(in_conflict),
    )


def without_duplicates(unenrolled: pl.DataFrame, settled: KeySettlement) -> pl.DataFrame:
    """Rows of unenrolled accounts as ``Declined``, duplicates as such; no conflicts."""
    stay, duplicates = settled.split(unenrolled.with_columns(pl.col("kind").cast(pl.String)))
    return in_fixed_order(pl.concat([stay, duplicates.with_columns(reason=pl.lit(DUPLICATE))]))
