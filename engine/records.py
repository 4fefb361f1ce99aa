"""What a transaction, an enrollment, a ledger entry ... is: columns, types, bounds, declared once.

Each record type is a pandera model; ledger rows are validated by theirs. ``polars_schema`` and
``arrow_schema`` derive every other description of a table from it.
Source: the contract's tables "transactions", "enrollments" and "Ledger".
"""

from typing import TYPE_CHECKING, Any

import pandera.polars as pa
import polars as pl
from pandera.engines.polars_engine import Date, DateTime

from engine.errors import BookError

if TYPE_CHECKING:
    import pyarrow

MIN_AMOUNT_YEN = 1
MAX_AMOUNT_YEN = 100_000_000
MAX_ID_CHARACTERS = 64

KINDS = ("charge", "purchase", "refund")
BASES = ("charge", "purchase")

Kind = pl.Enum(KINDS)
Basis = pl.Enum(BASES)
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


def _id_field(*, nullable: bool = False) -> Any:  # noqa: ANN401 - a field stands for any type
    return pa.Field(nullable=nullable, str_length={"min_value": 1, "max_value": MAX_ID_CHARACTERS})


class _Strict(pa.DataFrameModel):
    class Config:
        strict = True
        ordered = True


class Enrollment(_Strict):
    """An application that was accepted, as it was delivered."""

    person_id: str = _id_field()
    service_id: str = _id_field()
    account_id: str = _id_field()
    applied_at: DateTime = pa.Field(dtype_kwargs={"time_unit": "us"})
    card_applied_on: Date
    basis: str = pa.Field(nullable=True, isin=BASES)
    reserved_at: DateTime = pa.Field(nullable=True, dtype_kwargs={"time_unit": "us"})
    certificate_issued_at: DateTime = pa.Field(nullable=True, dtype_kwargs={"time_unit": "us"})
    preregistered_on: Date = pa.Field(nullable=True)


class RejectedEnrollment(_Strict):
    """An application that was not accepted, and the first reason that held."""

    person_id: str = _id_field()
    service_id: str = _id_field()
    account_id: str = _id_field()
    reason: str


class Declined(_Strict):
    """A valid transaction that earns nothing, and the first reason that held."""

    service_id: str = _id_field()
    transaction_id: str = _id_field()
    account_id: str = _id_field()
    occurred_at: DateTime = pa.Field(dtype_kwargs={"time_unit": "us"})
    kind: str = pa.Field(isin=KINDS)
    amount: int = pa.Field(in_range={"min_value": MIN_AMOUNT_YEN, "max_value": MAX_AMOUNT_YEN})
    reason: str


class Quarantined(_Strict):
    """A row that cannot be read: where it stands, what is wrong, and the row as it came."""

    file: str
    row: int = pa.Field(ge=1)
    errors: pl.List(pl.String)  # type: ignore[valid-type]
    raw: str


class LedgerEntry(_Strict):
    """One booked transaction and what it earned; yen and points are whole numbers.

    ``counted_amount`` is what the entry adds to the person's counted spend, ``points`` what it
    adds to its rounding group's worth; the two ``_after`` columns are the person's running sums.
    """

    run_id: str
    booked_on: Date
    person_id: str = _id_field()
    entry_seq: int = pa.Field(ge=1)
    service_id: str = _id_field()
    account_id: str = _id_field()
    transaction_id: str = _id_field()
    occurred_at: DateTime = pa.Field(dtype_kwargs={"time_unit": "us"})
    kind: str = pa.Field(isin=KINDS)
    amount: int = pa.Field(in_range={"min_value": MIN_AMOUNT_YEN, "max_value": MAX_AMOUNT_YEN})
    original_transaction_id: str = _id_field(nullable=True)
    method: str = pa.Field(nullable=True)
    counted_amount: int
    points: int
    net_spend_after: int = pa.Field(ge=0)
    points_after: int

    @pa.check("run_id")
    @classmethod
    def a_run_id_is_its_number(cls, data: pa.PolarsData) -> pl.LazyFrame:
        # All of a part have the same, so it is looked at once.
        fits = pl.col(data.key).unique().str.contains(r"^[0-9]{6,}$").all()
        return data.lazyframe.select(fits)

    @pa.dataframe_check
    @classmethod
    def an_original_stands_on_refunds_alone(cls, data: pa.PolarsData) -> pl.LazyFrame:
        refund = pl.col("kind") == "refund"
        return data.lazyframe.select(refund == pl.col("original_transaction_id").is_not_null())

    @pa.dataframe_check
    @classmethod
    def counted_within_the_amount_and_of_its_sign(cls, data: pa.PolarsData) -> pl.LazyFrame:
        refund = pl.col("kind") == "refund"
        counted = pl.col("counted_amount") * pl.when(refund).then(-1).otherwise(1)
        return data.lazyframe.select(counted.is_between(0, pl.col("amount")))

    @pa.dataframe_check
    @classmethod
    def a_persons_entries_follow_each_other(cls, data: pa.PolarsData) -> pl.LazyFrame:
        same = pl.col("person_id") == pl.col("person_id").shift(1)
        sign = pl.when(pl.col("kind") == "refund").then(-1).otherwise(1)
        follows = (
            (pl.col("entry_seq") == pl.col("entry_seq").shift(1) + 1)
            & (
                pl.col("net_spend_after")
                == pl.col("net_spend_after").shift(1) + sign * pl.col("amount")
            )
            & (pl.col("points_after") == pl.col("points_after").shift(1) + pl.col("points"))
        )
        ascending = pl.col("person_id") > pl.col("person_id").shift(1)
        return data.lazyframe.select(
            (pl.when(same).then(follows).otherwise(ascending)).fill_null(value=True)
        )


def polars_schema(record: type[pa.DataFrameModel]) -> dict[str, pl.DataType]:
    """The record's columns and Polars types, in their order."""
    columns = record.to_schema().columns
    return {name: column.dtype.type for name, column in columns.items()}


def arrow_schema(record: type[pa.DataFrameModel]) -> "pyarrow.Schema":
    """The record's Arrow schema, with its nullability, as Parquet and Delta Lake store it."""
    import pyarrow

    types = {
        pl.String(): pyarrow.string(),
        pl.Int64(): pyarrow.int64(),
        pl.Date(): pyarrow.date32(),
        pl.Datetime("us"): pyarrow.timestamp("us"),
        pl.List(pl.String()): pyarrow.list_(pyarrow.string()),
    }
    columns = record.to_schema().columns
    return pyarrow.schema(
        [
            pyarrow.field(name, types[column.dtype.type], nullable=column.nullable)
            for name, column in columns.items()
        ]
    )


def validated(frame: pl.DataFrame, record: type[pa.DataFrameModel]) -> pl.DataFrame:
    """``frame`` when every row keeps the record's declaration.

    Raises:
        BookError: naming the column and the check that failed; nothing may be booked then.
    """
    from pandera.errors import SchemaError, SchemaErrors

    try:
        record.validate(frame)
    except (SchemaError, SchemaErrors) as error:
        # The failing rows name people; the check's own name does not.
        reason = str(error).split(" failure case")[0].splitlines()[0]
        raise BookError(
            f"{record.__name__}: a row breaks its declaration: {reason}",
            hint="this is a fault of the engine or of the book's memory, not of the delivery: "
            "nothing was booked; please report it",
        ) from error
    return frame
