"""Rows held to their declaration before they are booked.

Pandera is imported when it is asked and no sooner: sound rows need it for nothing.
"""

from collections.abc import Iterator
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Final

import polars as pl

from engine.errors import BookError
from engine.records import Column, Record, polars_schema

if TYPE_CHECKING:
    import pandera.polars as pandera


def validated(frame: pl.DataFrame, record: Record) -> pl.DataFrame:
    """``frame`` when every row keeps the record's declaration.

    One pass of the columns passes what is sound, and another one long texts of few characters;
    pandera judges what is not passed, and says why.
    An Enum passes for text.

    Raises:
        BookError: naming the column and the check that failed; nothing may be booked then.
    """
    sound = is_sound(frame, record) or is_sound(frame, record, count_characters=True)
    return frame if sound else judged(frame, record)


def is_sound(frame: pl.DataFrame, record: Record, *, count_characters: bool = False) -> bool:
    """Whether the whole frame is seen at once to keep the declaration; if not, it still may.

    Bytes are counted, of which a text never has fewer than characters, unless it is to count those.
    """
    types = [pl.String() if isinstance(dtype, pl.Enum) else dtype for dtype in frame.dtypes]
    if list(zip(frame.columns, types, strict=True)) != list(polars_schema(record).items()):
        return False
    in_words = {name: column.words for name, column in record.columns.items() if column.words}
    absent = {name: frame[name].null_count() for name in in_words}
    conditions = _conditions(record, count_characters=count_characters)
    sound = (
        frame.lazy()
        # Another word becomes null; and few words are compared by their numbers.
        .with_columns(
            pl.col(name).cast(pl.Enum(words), strict=False) for name, words in in_words.items()
        )
        .select(
            *(pl.col(name).null_count() == count for name, count in absent.items()),
            *(held.alias(f"{at}") for at, held in enumerate(conditions)),
        )
        .collect(engine="in-memory")
    )
    return all(sound.row(0))


@cache
def _conditions(record: Record, *, count_characters: bool) -> tuple[pl.Expr, ...]:
    """What together is enough for the declaration: one truth each for all rows."""
    conditions = [expression.all() for expression in record.checks.values()]
    for name, column in record.columns.items():
        values = pl.col(name)
        if not column.nullable:
            conditions.append(values.null_count() == 0)
        if column.least is not None:
            conditions.append((values.min() >= column.least).fill_null(value=True))
        if column.most is not None:
            conditions.append((values.max() <= column.most).fill_null(value=True))
        if column.characters is not None:
            text = values.cast(pl.String).str
            lengths = text.len_chars() if count_characters else text.len_bytes()
            conditions.append((lengths.min() >= 1).fill_null(value=True))
            conditions.append((lengths.max() <= column.characters).fill_null(value=True))
    return tuple(conditions)


@cache
def _pandera_schema(record: Record) -> "pandera.DataFrameSchema":
    import pandera.polars as pandera

    def holds(of_rows: pl.Expr, name: str) -> "pandera.Check":
        return pandera.Check(lambda data: data.lazyframe.select(of_rows), name=name)

    def checks(column: Column) -> "Iterator[pandera.Check]":
        if column.least is not None and column.most is not None:
            yield pandera.Check.in_range(column.least, column.most)
        elif column.least is not None:
            yield pandera.Check.ge(column.least)
        if column.characters is not None:
            yield pandera.Check.str_length(1, column.characters)
        if column.words:
            yield pandera.Check.isin(column.words)

    return pandera.DataFrameSchema(
        {
            name: pandera.Column(column.dtype, list(checks(column)), nullable=column.nullable)
            for name, column in record.columns.items()
        },
        checks=[holds(of_rows, name) for name, of_rows in record.checks.items()],
        name=record.name,
        strict=True,
        ordered=True,
    )


_MAKING_A_SCHEMA: Final = Lock()


def judged(frame: pl.DataFrame, record: Record) -> pl.DataFrame:
    """``frame`` as pandera judges it: see ``validated``."""
    # Parts are validated in several threads, and none may meet pandera half imported.
    with _MAKING_A_SCHEMA:
        schema = _pandera_schema(record)
    from pandera.errors import SchemaError, SchemaErrors

    try:
        schema.validate(frame.with_columns(pl.col(pl.Enum).cast(pl.String)))
    except (SchemaError, SchemaErrors) as error:
        # The failing rows name people; the check's own name does not.
        reason = str(error).split(" failure case")[0].splitlines()[0]
        raise BookError(
            f"{record.name}: a row breaks its declaration: {reason}",
            hint="this is a fault of the engine or of the book's memory, not of the delivery: "
            "nothing was booked; please report it",
        ) from error
    return frame
