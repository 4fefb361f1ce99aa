"""What a transaction, an enrollment, a ledger entry ... is: columns, types, bounds, declared once.

Every other description of a table follows from these: ``polars_schema``, ``arrow_schema``, and what
``engine.validation`` holds ledger rows to.
Source: the specification's tables "transactions", "enrollments", "events" and "Ledger".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import polars as pl

if TYPE_CHECKING:
    import pyarrow

MIN_AMOUNT_YEN = 1
MAX_AMOUNT_YEN = 100_000_000
MAX_ID_CHARACTERS = 64
MAX_AUTHORITY_CHARACTERS = 200
# What every delivered value is trimmed of on both sides.
BLANKS: Final = " \t\u3000\ufeff"

RoleName = Literal["transactions", "enrollments", "events", "answers", "claims"]

KINDS = ("charge", "purchase", "refund")
VOIDS = ("charge_void", "purchase_void", "refund_void")
RECOUNT = "recount"
ENTRY_KINDS = (*KINDS, *VOIDS, RECOUNT)
BASES = ("charge", "purchase")

# What must be filled in for each kind of event. All other columns but ``note`` must be empty,
# except what EVENT_MAY_HAVE lists.
EVENT_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "account_replaced": ("service_id", "account_id", "other_id", "effective_at"),
    "enrollment_stopped": ("person_id", "service_id", "account_id", "effective_at"),
    "enrollment_resumed": ("person_id", "service_id", "account_id", "effective_at"),
    "enrollment_voided": ("person_id", "service_id", "account_id"),
    "enrollment_granted": ("person_id", "service_id", "account_id", "effective_at"),
    "persons_merged": ("person_id", "other_id"),
    "transaction_voided": ("service_id", "transaction_id"),
    "undone": ("other_id",),
}
# A grant needs its basis only where the service leaves it open, which the file does not show.
EVENT_MAY_HAVE: Final[Mapping[str, tuple[str, ...]]] = {"enrollment_granted": ("basis",)}
EVENT_KINDS: Final = tuple(EVENT_NEEDS)

# Faults of rows: other content under a key that is known.
TRANSACTION_CONFLICT = "transaction_id:conflict"
ENROLLMENT_CONFLICT = "person_id:conflict"
EVENT_CONFLICT = "event_id:conflict"

Kind = pl.Enum(KINDS)
EntryKind = pl.Enum(ENTRY_KINDS)
Basis = pl.Enum(BASES)
EventKind = pl.Enum(EVENT_KINDS)
Instant = pl.Datetime("us")

TRANSACTION_REQUIRED = (
    "transaction_id",
    "service_id",
    "account_id",
    "occurred_at",
    "kind",
    "amount",
)
TRANSACTION_OPTIONAL = ("original_transaction_id", "method")
TRANSACTION_COLUMNS = TRANSACTION_REQUIRED + TRANSACTION_OPTIONAL

ENROLLMENT_REQUIRED = ("person_id", "service_id", "account_id", "applied_at", "card_applied_on")
ENROLLMENT_OPTIONAL = ("basis", "reserved_at", "certificate_issued_at", "preregistered_on")
ENROLLMENT_COLUMNS = ENROLLMENT_REQUIRED + ENROLLMENT_OPTIONAL

EVENT_REQUIRED = ("event_id", "kind", "authority")
EVENT_BY_KIND = (
    *("person_id", "service_id", "account_id", "transaction_id", "other_id"),
    *("effective_at", "basis"),
)
EVENT_OPTIONAL = (*EVENT_BY_KIND, "note")
EVENT_COLUMNS = EVENT_REQUIRED + EVENT_OPTIONAL
ANSWER_REQUIRED = ("payout_id", "outcome", "answered_on")
ANSWER_OPTIONAL = ("points", "code")
ANSWER_COLUMNS = ANSWER_REQUIRED + ANSWER_OPTIONAL
CLAIM_REQUIRED = ("service_id", "points")
# One of them at most: it says what a row of the claim is for.
CLAIM_OPTIONAL = ("transaction_id", "account_id", "month")
CLAIM_COLUMNS = CLAIM_REQUIRED + CLAIM_OPTIONAL
OUTCOMES = ("done", "partly", "refused")


@dataclass(frozen=True, slots=True)
class Column:
    """A column's type, and what its values keep to.

    Attributes:
        least, most: bounds of a number, which then has the first at least; None means no bound.
        characters: the most of a text that has one at least; None is any text.
        words: the only texts there may be; none is any text.
    """

    dtype: pl.DataType
    nullable: bool = False
    least: int | None = None
    most: int | None = None
    characters: int | None = None
    words: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Record:
    """A table's columns, all of them, in their order.

    Attributes:
        checks: by name, what holds of every row: expressions over the columns.
    """

    name: str
    columns: Mapping[str, Column]
    checks: Mapping[str, pl.Expr] = field(default_factory=dict)


_TEXT: Final = Column(pl.String())
_TEXT_OR_NONE: Final = Column(pl.String(), nullable=True)
_ID: Final = Column(pl.String(), characters=MAX_ID_CHARACTERS)
_ID_OR_NONE: Final = Column(pl.String(), nullable=True, characters=MAX_ID_CHARACTERS)
_DAY: Final = Column(pl.Date())
_DAY_OR_NONE: Final = Column(pl.Date(), nullable=True)
_INSTANT: Final = Column(Instant)
_INSTANT_OR_NONE: Final = Column(Instant, nullable=True)
_KIND: Final = Column(pl.String(), words=KINDS)
_ENTRY_KIND: Final = Column(pl.String(), words=ENTRY_KINDS)
_AMOUNT: Final = Column(pl.Int64(), least=MIN_AMOUNT_YEN, most=MAX_AMOUNT_YEN)
_NUMBER: Final = Column(pl.Int64())
_COUNTED_FROM_1: Final = Column(pl.Int64(), least=1)

_OF_A_REFUND: Final = pl.col("kind").is_in(["refund", "refund_void"])
_RECOUNT: Final = pl.col("kind") == RECOUNT
_SIGN: Final = (
    pl.when(pl.col("kind").is_in(["refund", "charge_void", "purchase_void"])).then(-1).otherwise(1)
)


def _before(column: str) -> pl.Expr:
    return pl.col(column).shift(1)


# An application that was accepted, as it was delivered.
Enrollment: Final = Record(
    "Enrollment",
    {
        "person_id": _ID,
        "service_id": _ID,
        "account_id": _ID,
        "applied_at": _INSTANT,
        "card_applied_on": _DAY,
        "basis": Column(pl.String(), nullable=True, words=BASES),
        "reserved_at": _INSTANT_OR_NONE,
        "certificate_issued_at": _INSTANT_OR_NONE,
        "preregistered_on": _DAY_OR_NONE,
    },
)

# An application that was not accepted, as it was delivered, and the first reason that held.
# ``person_id`` is the person as whom the ID is read; ``delivered_person_id`` is the ID as it came,
# where that is another.
RejectedEnrollment: Final = Record(
    "RejectedEnrollment",
    {**Enrollment.columns, "reason": _TEXT, "delivered_person_id": _ID_OR_NONE},
)

# A correction that was accepted, as it was delivered.
AcceptedEvent: Final = Record(
    "AcceptedEvent",
    {
        "event_id": _ID,
        "kind": Column(pl.String(), words=EVENT_KINDS),
        "authority": Column(pl.String(), characters=MAX_AUTHORITY_CHARACTERS),
        "person_id": _ID_OR_NONE,
        "service_id": _ID_OR_NONE,
        "account_id": _ID_OR_NONE,
        "transaction_id": _ID_OR_NONE,
        "other_id": _ID_OR_NONE,
        "effective_at": _INSTANT_OR_NONE,
        "basis": Column(pl.String(), nullable=True, words=BASES),
        "note": Column(pl.String(), nullable=True),
    },
)

# A correction that was not accepted, and the first reason that held.
RejectedEvent: Final = Record("RejectedEvent", {**AcceptedEvent.columns, "reason": _TEXT})

# A valid transaction that earns nothing, and the first reason that held.
Declined: Final = Record(
    "Declined",
    {
        "service_id": _ID,
        "transaction_id": _ID,
        "account_id": _ID,
        "occurred_at": _INSTANT,
        "kind": _KIND,
        "amount": _AMOUNT,
        "original_transaction_id": _ID_OR_NONE,
        "method": _TEXT_OR_NONE,
        "reason": _TEXT,
    },
)

# A row that cannot be read: where it stands, what is wrong, and the row as it came.
Quarantined: Final = Record(
    "Quarantined",
    {
        "file": _TEXT,
        "row": _COUNTED_FROM_1,
        "errors": Column(pl.List(pl.String())),
        "raw": _TEXT,
    },
)

# What a transaction, a void or a recount changed; yen and points are whole numbers.
# ``net_amount`` is what the entry adds to the person's net spend; ``counted_amount`` and
# ``points`` are what it changes in its own rounding group; the two ``_after`` are the person's
# running sums.
LedgerEntry: Final = Record(
    "LedgerEntry",
    {
        "run_id": _TEXT,
        "booked_on": _DAY,
        "person_id": _ID,
        "entry_seq": _COUNTED_FROM_1,
        "service_id": _ID,
        "account_id": _ID,
        "transaction_id": _ID,
        "occurred_at": _INSTANT,
        "kind": _ENTRY_KIND,
        "amount": Column(pl.Int64(), least=0, most=MAX_AMOUNT_YEN),
        "original_transaction_id": _ID_OR_NONE,
        "method": _TEXT_OR_NONE,
        "enrolled_account_id": _ID_OR_NONE,
        "net_amount": _NUMBER,
        "counted_amount": _NUMBER,
        "points": _NUMBER,
        "net_spend_after": Column(pl.Int64(), least=0),
        "points_after": Column(pl.Int64(), least=0),
        "event_id": _ID_OR_NONE,
    },
    checks={
        # All of a part have the same, so it is looked at once.
        "a_run_id_is_its_number": (
            pl.col("run_id").unique().cast(pl.String).str.contains(r"^[0-9]{6,}$").all()
        ),
        "an_original_stands_on_refunds_alone": (
            pl.col("original_transaction_id").is_not_null() == _OF_A_REFUND
        ),
        "an_event_stands_on_voids_and_recounts_alone": (
            pl.col("event_id").is_null() | pl.col("kind").is_in([*VOIDS, RECOUNT])
        ),
        "a_recount_alone_has_no_amount": (pl.col("amount") == 0) == _RECOUNT,
        "net_within_the_amount_and_of_its_sign": (
            (pl.col("net_amount") * _SIGN).is_between(0, pl.col("amount"))
        ),
        "counted_within_the_net_and_of_its_sign": (
            _RECOUNT
            | (pl.col("counted_amount") * _SIGN).is_between(0, pl.col("net_amount") * _SIGN)
        ),
        "a_persons_entries_follow_each_other": (
            pl.when(pl.col("person_id") == _before("person_id"))
            .then(
                (pl.col("entry_seq") == _before("entry_seq") + 1)
                & (pl.col("net_spend_after") == _before("net_spend_after") + pl.col("net_amount"))
                & (pl.col("points_after") == _before("points_after") + pl.col("points"))
            )
            .otherwise(pl.col("person_id") > _before("person_id"))
            .fill_null(value=True)
        ),
    },
)


# The entries of books that were begun before there were corrections (format 1).
LedgerEntryOfFormat1: Final = Record(
    "LedgerEntryOfFormat1",
    {
        name: _KIND if name == "kind" else column
        for name, column in LedgerEntry.columns.items()
        if name not in ("enrolled_account_id", "net_amount", "event_id")
    },
)


# What books of format 1 kept of rows that were turned away.
RejectedEnrollmentOfFormat1: Final = Record(
    "RejectedEnrollmentOfFormat1",
    {
        name: RejectedEnrollment.columns[name]
        for name in ("person_id", "service_id", "account_id", "reason")
    },
)
DeclinedOfFormat1: Final = Record(
    "DeclinedOfFormat1",
    {
        name: column
        for name, column in Declined.columns.items()
        if name not in ("original_transaction_id", "method")
    },
)


def polars_schema(record: Record) -> dict[str, pl.DataType]:
    """The record's columns and Polars types, in their order."""
    return {name: column.dtype for name, column in record.columns.items()}


def arrow_schema(record: Record) -> "pyarrow.Schema":
    """The record's Arrow schema, with its nullability, as Parquet and Delta Lake store it."""
    import pyarrow

    types = {
        pl.String(): pyarrow.string(),
        pl.Int64(): pyarrow.int64(),
        pl.Date(): pyarrow.date32(),
        pl.Datetime("us"): pyarrow.timestamp("us"),
        pl.List(pl.String()): pyarrow.list_(pyarrow.string()),
    }
    return pyarrow.schema(
        [
            pyarrow.field(name, types[column.dtype], nullable=column.nullable)
            for name, column in record.columns.items()
        ]
    )


def view_schema(record: Record) -> "pyarrow.Schema":
    """The same with texts as the views that polars hands out uncopied; Parquet has them alike."""
    import pyarrow

    return pyarrow.schema(
        [
            field.with_type(pyarrow.string_view()) if field.type == pyarrow.string() else field
            for field in arrow_schema(record)
        ]
    )
