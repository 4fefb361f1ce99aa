"""The canonical form: delivered columns become values; what cannot be read is named.

A cell is trimmed of spaces, tabs, U+3000 and U+FEFF; what is empty then is missing. Every fault
of a row is a code: ``missing``, ``malformed``, ``out_of_range``, ``unknown``, ``unexpected``.

Most batches have nothing to trim and nothing at fault, and cheap looks at the bytes show it; the
thorough way through regular expressions is taken by a column only when the cheap look fails.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from engine.columns.text_bytes import bytes_of
from engine.errors import InputError
from engine.records import (
    ANSWER_REQUIRED,
    BASES,
    BLANKS,
    ENROLLMENT_REQUIRED,
    EVENT_BY_KIND,
    EVENT_KINDS,
    EVENT_MAY_HAVE,
    EVENT_NEEDS,
    EVENT_REQUIRED,
    KINDS,
    MAX_AMOUNT_YEN,
    MAX_AUTHORITY_CHARACTERS,
    MAX_ID_CHARACTERS,
    MIN_AMOUNT_YEN,
    OUTCOMES,
    TRANSACTION_REQUIRED,
)

_INSTANT: Final = (
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])"
    r"(?:\.([0-9]{1,6}))?(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?$"
)
_DAY: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_JST_MINUTES: Final = 9 * 60
_FIRST_INSTANT: Final = pl.datetime(1, 1, 1, time_unit="us")
_LAST_INSTANT: Final = pl.datetime(9999, 12, 31, 23, 59, 59, 999_999, time_unit="us")
_FIRST_DAY: Final = dt.date.min
_LAST_DAY: Final = dt.date.max
_MICROSECONDS: Final = {"s": 1_000_000, "ms": 1_000}
_FAR_BEYOND_US: Final = 10**18

Masks = dict[str, pl.Series]


@dataclass(frozen=True, slots=True)
class Cells:
    """One column, read: its values, and for each fault code that occurs the rows that have it."""

    values: pl.Series
    faults: Masks


@dataclass(frozen=True, slots=True)
class Reading:
    """A batch, read.

    Attributes:
        good: the canonical columns, typed, and ``row``, the row's place in the batch.
        faulty: ``row``, ``errors`` (list of ``column:code``) and ``amount`` where it could be
            read (yen, else null; transactions only).
        values: of all rows, good or not, what could be read.
    """

    good: pl.DataFrame
    faulty: pl.DataFrame
    values: pl.DataFrame


Column: TypeAlias = pl.Series | pa.ChunkedArray
"""A column as delivered: text, or a type that the canonical form takes too; a Series is of text,
of 64-bit integers, of days, or of microseconds without a zone."""

Delivery: TypeAlias = pl.DataFrame | pa.Table

Form = Callable[[Column], Cells]


def _marked(masks: Mapping[str, pl.Series]) -> Masks:
    return {code: mask for code, mask in masks.items() if mask.any()}


def _text(column: Column) -> pl.Series:
    if isinstance(column, pl.Series):
        return column.cast(pl.String)
    plain = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    if not any(fits(column.type) for fits in plain):
        column = column.cast(pa.string())
    return pl.Series(pl.from_arrow(column))


def _byte_range(text: pl.Series) -> tuple[int, int]:
    """The least and the greatest byte of the texts; nulls' may be among them, on the safe side."""
    ends, data = bytes_of(text.to_arrow(compat_level=pl.CompatLevel.oldest()))
    some = data[ends[0] : ends[-1]]
    return int(some.min(initial=0xFF)), int(some.max(initial=0))


def _trimmed(text: pl.Series, byte_range: tuple[int, int]) -> pl.Series:
    least, greatest = byte_range
    # In UTF-8 spaces and tabs are below 0x21; U+3000 begins with 0xE3, U+FEFF with 0xEF.
    if least <= 0x20 or greatest >= 0xE3:
        text = text.str.strip_chars(BLANKS)
    if (text.str.len_bytes() == 0).any():
        text = text.set(text == "", None)
    return text


def _trimmed_text(column: Column) -> pl.Series:
    text = _text(column)
    return _trimmed(text, _byte_range(text))


def identifier(column: Column) -> Cells:
    """1 to 64 characters, none of U+0000 to U+001F or U+007F."""
    text = _text(column)
    if text.null_count() == len(text):
        return Cells(text, {})
    byte_range = least, greatest = _byte_range(text)
    text = _trimmed(text, byte_range)
    masks: Masks = {}
    if least < 0x20 or greatest >= 0x7F:
        masks["malformed"] = text.str.contains(r"[\x00-\x1F\x7F]").fill_null(value=False)
    if (text.str.len_bytes() > MAX_ID_CHARACTERS).any():
        long = (text.str.len_chars() > MAX_ID_CHARACTERS).fill_null(value=False)
        masks["out_of_range"] = long & ~masks["malformed"] if "malformed" in masks else long
    return Cells(text, _marked(masks))


def authority(column: Column) -> Cells:
    """Who decided an event: any text of 1 to 200 characters."""
    text = _trimmed_text(column)
    too_long = (text.str.len_chars() > MAX_AUTHORITY_CHARACTERS).fill_null(value=False)
    return Cells(text, _marked({"out_of_range": too_long}))


def free_text(column: Column) -> Cells:
    """Any text."""
    return Cells(_trimmed_text(column), {})


def word(words: tuple[str, ...]) -> Form:
    """One of the listed words, exactly."""

    def read(column: Column) -> Cells:
        text = _text(column)
        values = text.cast(pl.Enum(words), strict=False)
        if values.null_count() == text.null_count():
            return Cells(values, {})
        text = _trimmed(text, _byte_range(text))
        values = text.cast(pl.Enum(words), strict=False)
        return Cells(values, _marked({"unknown": values.is_null() & text.is_not_null()}))

    return read


def amount(column: Column) -> Cells:
    """Whole yen, 1 to 100,000,000, in digits."""
    if isinstance(column, pl.Series):
        if column.dtype == pl.Int64:
            return _whole_yen(column)
    elif pa.types.is_integer(column.type) or pa.types.is_decimal(column.type):
        return _typed_amount(column)
    text = _trimmed_text(column)
    values = text.cast(pl.Int64, strict=False)
    inside = values.is_between(MIN_AMOUNT_YEN, MAX_AMOUNT_YEN)
    if inside.all(ignore_nulls=False) and not text.str.starts_with("+").any():
        return Cells(values, {})
    whole = text.str.contains(r"^-?[0-9]+$")
    inside = inside.fill_null(value=False) & whole
    masks = {"malformed": ~whole, "out_of_range": whole & ~inside}
    masks = {code: mask.fill_null(value=False) for code, mask in masks.items()}
    return Cells(values.set(~inside, None), _marked(masks))


def _typed_amount(column: pa.ChunkedArray) -> Cells:
    # In a type that holds the bounds as well.
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.decimal128(38, 0))
    elif not pa.types.is_uint64(column.type):
        column = column.cast(pa.int64())
    return _whole_yen(pl.Series(pl.from_arrow(column)))


def _whole_yen(values: pl.Series) -> Cells:
    inside = values.is_between(MIN_AMOUNT_YEN, MAX_AMOUNT_YEN)
    if inside.all(ignore_nulls=False):
        return Cells(values.cast(pl.Int64), {})
    outside = (~inside).fill_null(value=False)
    return Cells(values.set(outside, None).cast(pl.Int64), _marked({"out_of_range": outside}))


def instant(column: Column) -> Cells:
    """A point in time, in Japan Standard Time without a zone; microseconds."""
    if isinstance(column, pl.Series):
        if column.dtype == pl.Datetime:
            return _japanese_instant(column)
    elif pa.types.is_timestamp(column.type):
        return _typed_instant(column)
    plain = _plain_instants(column)
    if plain is not None:
        return Cells(plain, {})
    text = _trimmed_text(column)
    parts = text.to_frame("text").select(
        day=pl.col("text").str.extract(_INSTANT, 1),
        time=pl.col("text").str.extract(_INSTANT, 2),
        fraction=pl.col("text").str.extract(_INSTANT, 3),
        zone=pl.col("text").str.extract(_INSTANT, 4),
    )
    return _zoned(text, parts)


def _zoned(text: pl.Series, parts: pl.DataFrame) -> Cells:
    signed = pl.col("zone").str.replace("Z", "+00:00", literal=True)
    minutes = (
        signed.str.slice(1, 2).cast(pl.Int64) * 60 + signed.str.slice(4, 2).cast(pl.Int64)
    ) * pl.when(signed.str.starts_with("-")).then(-1).otherwise(1)
    to_jst = pl.duration(minutes=(_JST_MINUTES - minutes).fill_null(0), time_unit="us")
    fraction = pl.duration(
        microseconds=pl.col("fraction").str.pad_end(6, "0").cast(pl.Int64).fill_null(0),
        time_unit="us",
    )
    local = pl.format("{} {}", "day", "time").str.to_datetime(
        "%Y-%m-%d %H:%M:%S", time_unit="us", strict=False
    )
    values = (
        parts.select(at=local + fraction + to_jst)
        .select(pl.when(pl.col("at").is_between(_FIRST_INSTANT, _LAST_INSTANT)).then(pl.col("at")))
        .to_series()
    )
    # A year 0000 that an offset lifts into year 1 was no year to begin with.
    values = values.set(parts["day"].str.starts_with("0000").fill_null(value=False), None)
    return Cells(values, _marked({"malformed": values.is_null() & text.is_not_null()}))


def _plain_instants(column: Column) -> pl.Series | None:
    """The values when every cell is a plain ``YYYY-MM-DD HH:MM:SS`` in years 1 to 9999."""
    if isinstance(column, pl.Series):
        column = pa.chunked_array([column.to_arrow(compat_level=pl.CompatLevel.oldest())])
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return None
    lengths = pc.min_max(pc.binary_length(column)).as_py()
    if column.null_count or lengths["min"] != 19 or lengths["max"] != 19:
        return None
    try:
        values = pl.Series(pl.from_arrow(pc.cast(column, pa.timestamp("us"))))
    except pa.ArrowInvalid:
        return None
    in_years = values.to_frame("at").select(
        pl.col("at").is_between(_FIRST_INSTANT, _LAST_INSTANT).all()
    )
    return values if in_years.item() else None


def _typed_instant(column: pa.ChunkedArray) -> Cells:
    if column.type == pa.timestamp("us"):
        return _japanese_instant(pl.Series(pl.from_arrow(column)))
    # What has a zone counts from UTC, whichever zone it is; else it is Japan's already.
    to_jst = pl.duration(minutes=0 if column.type.tz is None else _JST_MINUTES, time_unit="us")
    ticks, unit = pl.col("ticks"), column.type.unit
    if unit == "ns":
        ticks = pl.when(ticks % 1000 == 0).then(ticks // 1000)
    elif unit != "us":
        # What is beyond all years must stay so, and not run over 64 bits.
        most = _FAR_BEYOND_US // _MICROSECONDS[unit]
        ticks = ticks.clip(-most, most) * _MICROSECONDS[unit]
    frame = pl.DataFrame({"ticks": pl.from_arrow(pc.cast(column, pa.int64()))})
    values = (
        frame.select(at=ticks.cast(pl.Datetime("us")) + to_jst)
        .select(pl.when(pl.col("at").is_between(_FIRST_INSTANT, _LAST_INSTANT)).then(pl.col("at")))
        .to_series()
    )
    return Cells(values, _marked({"malformed": values.is_null() & frame["ticks"].is_not_null()}))


def _japanese_instant(delivered: pl.Series) -> Cells:
    inside = (
        delivered.to_frame("at")
        .select(pl.col("at").is_between(_FIRST_INSTANT, _LAST_INSTANT))
        .to_series()
    )
    if inside.all():
        return Cells(delivered, {})
    outside = (~inside).fill_null(value=False)
    return Cells(delivered.set(outside, None), {"malformed": outside})


def day(column: Column) -> Cells:
    """A calendar day, ``YYYY-MM-DD``."""
    if isinstance(column, pl.Series):
        days = column if column.dtype == pl.Date else None
    else:
        is_day = pa.types.is_date(column.type)
        days = pl.Series(pl.from_arrow(pc.cast(column, pa.date32()))) if is_day else None
    if days is not None:
        outside = ~days.is_between(_FIRST_DAY, _LAST_DAY).fill_null(value=True)
        return Cells(days.set(outside, None), _marked({"malformed": outside}))
    text = _trimmed_text(column)
    plain = text.str.contains(_DAY) & ~text.str.starts_with("0000")
    values = text.set(~plain.fill_null(value=False), None).str.to_date("%Y-%m-%d", strict=False)
    return Cells(values, _marked({"malformed": values.is_null() & text.is_not_null()}))


def points(column: Column) -> Cells:
    """A whole number of points, 0 and up."""
    text = _trimmed_text(column)
    values = text.cast(pl.Int64, strict=False)
    whole = text.str.contains(r"^-?[0-9]+$")
    inside = whole & (values >= 0).fill_null(value=False)
    masks = {"malformed": ~whole, "out_of_range": whole & ~inside}
    masks = {code: mask.fill_null(value=False) for code, mask in masks.items()}
    return Cells(values.set(~inside.fill_null(value=False), None), _marked(masks))


TRANSACTION_FORMS: Final[Mapping[str, Form]] = {
    "transaction_id": identifier,
    "service_id": identifier,
    "account_id": identifier,
    "occurred_at": instant,
    "kind": word(KINDS),
    "amount": amount,
    "original_transaction_id": identifier,
    "method": free_text,
}
ENROLLMENT_FORMS: Final[Mapping[str, Form]] = {
    "person_id": identifier,
    "service_id": identifier,
    "account_id": identifier,
    "applied_at": instant,
    "card_applied_on": day,
    "basis": word(BASES),
    "reserved_at": instant,
    "certificate_issued_at": instant,
    "preregistered_on": day,
}
EVENT_FORMS: Final[Mapping[str, Form]] = {
    "event_id": identifier,
    "kind": word(EVENT_KINDS),
    "authority": authority,
    "person_id": identifier,
    "service_id": identifier,
    "account_id": identifier,
    "transaction_id": identifier,
    "other_id": identifier,
    "effective_at": instant,
    "basis": word(BASES),
    "note": free_text,
}

ANSWER_FORMS: Final[Mapping[str, Form]] = {
    "payout_id": identifier,
    "outcome": word(OUTCOMES),
    "points": points,
    "answered_on": day,
    "code": free_text,
}


def read_transactions(table: Delivery) -> Reading:
    """Reads a batch of delivered transactions; columns that may be left out may be missing."""
    cells = _cells(table, TRANSACTION_FORMS, TRANSACTION_REQUIRED)
    kind, original = cells["kind"].values, cells["original_transaction_id"]
    refund = kind == "refund"
    given = original.values.is_not_null()
    unexpected = (~refund & given).fill_null(value=False)
    missing = (refund & ~given).fill_null(value=False)
    faults = {code: mask & ~unexpected for code, mask in original.faults.items()}
    cells["original_transaction_id"] = Cells(
        original.values, _marked(faults | {"unexpected": unexpected, "missing": missing})
    )
    return _split(cells, table.shape[0])


def read_enrollments(table: Delivery) -> Reading:
    """Reads a batch of delivered enrollments; columns that may be left out may be missing."""
    return _split(_cells(table, ENROLLMENT_FORMS, ENROLLMENT_REQUIRED), table.shape[0])


def read_events(table: Delivery) -> Reading:
    """Reads a batch of delivered events: each kind needs some columns and allows no others."""
    cells = _cells(table, EVENT_FORMS, EVENT_REQUIRED)
    kind = cells["kind"].values.cast(pl.String)
    for name in EVENT_BY_KIND:
        cell = cells[name]
        given = cell.values.is_not_null()
        for mask in cell.faults.values():
            given |= mask
        needed_by = [kind for kind, needs in EVENT_NEEDS.items() if name in needs]
        allowed_by = [kind for kind, names in EVENT_MAY_HAVE.items() if name in names]
        allowed = kind.is_null() | kind.is_in([*needed_by, *allowed_by]).fill_null(value=False)
        unexpected = given & ~allowed
        missing = kind.is_in(needed_by).fill_null(value=False) & ~given
        faults = {code: mask & ~unexpected for code, mask in cell.faults.items()}
        cells[name] = Cells(
            cell.values, _marked(faults | {"unexpected": unexpected, "missing": missing})
        )
    return _split(cells, table.shape[0])


def read_answers(
    table: Delivery, instructed: pl.DataFrame | None = None, today: dt.date = dt.date.max
) -> Reading:
    """Reads a batch of delivered answers, and holds them against what was instructed.

    Args:
        table: the batch; columns that may be left out may be missing.
        instructed: `payout_id` and `instructed`, its points; None where no book is at hand.
        today: an answer of a later day is none yet.
    """
    cells = _cells(table, ANSWER_FORMS, ANSWER_REQUIRED)
    if instructed is None:
        return _split(cells, table.shape[0])
    frame = pl.DataFrame([cells[name].values.alias(name) for name in ANSWER_FORMS]).join(
        instructed.with_columns(pl.col("payout_id")),
        on="payout_id",
        how="left",
        maintain_order="left",
    )
    outcome, said, whole = pl.col("outcome"), pl.col("points"), pl.col("instructed")
    judged = frame.select(
        unknown=pl.col("payout_id").is_not_null() & whole.is_null(),
        missing=(outcome == "partly") & said.is_null(),
        out_of_range=pl.when(outcome == "refused")
        .then(said != 0)
        .when(outcome == "partly")
        .then((said < 1) | (said >= whole))
        .otherwise((outcome == "done") & (said != whole)),
        late=pl.col("answered_on") > today,
    ).with_columns(pl.all().fill_null(value=False))
    at_fault = cells["points"].faults.values()
    for mask in at_fault:
        judged = judged.with_columns(pl.col("missing", "out_of_range") & ~mask)
    for name, code, of in (
        ("payout_id", "unknown", "unknown"),
        ("points", "missing", "missing"),
        ("points", "out_of_range", "out_of_range"),
        ("answered_on", "out_of_range", "late"),
    ):
        if judged[of].any():
            before = cells[name].faults
            mask = before[code] | judged[of] if code in before else judged[of]
            cells[name] = Cells(cells[name].values, before | {code: mask})
    return _split(cells, table.shape[0])


def _cells(
    table: Delivery, forms: Mapping[str, Form], required: tuple[str, ...]
) -> dict[str, Cells]:
    cells = {}
    names = table.columns if isinstance(table, pl.DataFrame) else table.column_names
    for name, form in forms.items():
        column: Column
        if name in names:
            column = table[name]
        else:
            column = pl.repeat(None, table.shape[0], dtype=pl.String, eager=True)
        read = form(column)
        if name in required:
            at_fault = read.values.is_null()
            for mask in read.faults.values():
                at_fault &= ~mask
            read = Cells(read.values, read.faults | _marked({"missing": at_fault}))
        cells[name] = read
    return cells


def _split(cells: Mapping[str, Cells], rows: int) -> Reading:
    frame = pl.DataFrame([read.values.alias(name) for name, read in cells.items()])
    frame = frame.with_columns(row=pl.int_range(rows, dtype=pl.UInt32, eager=True))
    masks = [
        mask.alias(f"{name}:{code}")
        for name, read in cells.items()
        for code, mask in read.faults.items()
    ]
    amounts = pl.col("amount") if "amount" in frame.columns else pl.lit(None, pl.Int64)
    if not masks:
        none = frame.clear().select(
            "row", pl.lit([], pl.List(pl.String)).alias("errors"), amounts.alias("amount")
        )
        return Reading(frame, none, frame)
    flags = pl.DataFrame(masks)
    at_fault = flags.select(pl.any_horizontal(pl.all())).to_series()
    errors = flags.filter(at_fault).select(
        pl.concat_list(
            [pl.when(pl.col(name)).then(pl.lit(name)) for name in flags.columns]
        ).list.drop_nulls()
    )
    faulty = frame.filter(at_fault).select(
        "row", errors.to_series().alias("errors"), amounts.alias("amount")
    )
    return Reading(frame.filter(~at_fault), faulty, frame)


def _is_whole_decimal(kind: pa.DataType) -> bool:
    # No money has more digits than 128 bits hold.
    return bool(pa.types.is_decimal(kind) and not pa.types.is_decimal256(kind) and kind.scale == 0)


_TYPED: Final[Mapping[Form, tuple[Callable[[pa.DataType], bool], ...]]] = {
    identifier: (pa.types.is_integer,),
    amount: (pa.types.is_integer, _is_whole_decimal),
    instant: (pa.types.is_timestamp,),
    day: (pa.types.is_date,),
}


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    kinds = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_null,
    )
    return any(fits(kind) for fits in kinds)


def check_column_type(where: str, name: str, kind: pa.DataType, form: Form) -> None:
    """Refuses a typed column that the form cannot take, such as a float for an amount.

    Raises:
        InputError: naming the file, the column and its type.
    """
    if _is_text(kind) or any(fits(kind) for fits in _TYPED.get(form, ())):
        return
    raise InputError(
        f"{where}: column {name} has the type {kind}, which cannot be read",
        hint="deliver it as text in the canonical form, amounts as whole numbers, times as "
        "timestamps, days as dates",
    )
