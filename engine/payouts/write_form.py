"""Lines of a payout run as a points system wants them, and such a file read back."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from engine.errors import InputError
from engine.layouts.model import Fixed
from engine.payouts.written_form import DAYS, NUMBERS, FormField, WrittenForm

LineTotals = Mapping[str, str | int | dt.date]
"""By name, what `TOTALS` of a service's lines are."""


@dataclass(frozen=True, slots=True)
class ReadBack:
    """A written file, read by the form that it was written in.

    Attributes:
        lines: the canonical columns that the file has; a day that is not there is None.
        first, last: by name, what the lines ahead and after say.
    """

    lines: list[dict[str, str | int | dt.date | None]]
    first: dict[str, str | int | dt.date | None]
    last: dict[str, str | int | dt.date | None]


def head(form: WrittenForm, totals: LineTotals) -> bytes:
    """What stands ahead of the lines: the first line, and the header of names."""
    text = _line(form, form.first, totals)
    if not isinstance(form.file, Fixed) and form.file.header:
        text += _joined(form, list(form.columns))
    return _encoded(form, text)


def body(form: WrittenForm, rows: pl.DataFrame) -> bytes:
    """Lines, columns of `FILE_COLUMNS`.

    Raises:
        InputError: a value cannot be written so; nothing was booked.
    """
    texts = rows.select(
        _text(written).alias(str(place)) for place, written in enumerate(form.columns.values())
    )
    for place, (name, written) in enumerate(form.columns.items()):
        if written.words and texts[str(place)].null_count():
            raise _unwritable(form, f"[columns.{name}]: map", "a value is not in it", "add it")
    if isinstance(form.file, Fixed):
        return _fixed(form, form.file, texts)
    written_text = texts.write_csv(
        include_header=False, separator=form.file.separator, line_terminator=form.line_end
    )
    return _encoded(form, written_text)


def tail(form: WrittenForm, totals: LineTotals) -> bytes:
    """What stands after the lines."""
    return _encoded(form, _line(form, form.last, totals))


def read_back(form: WrittenForm, data: bytes) -> ReadBack:
    """Reads what was written in a form.

    Raises:
        ValueError: it was not written so.
    """
    records = list(_records(form, data))
    first = _read(form.first, records.pop(0)) if form.first else {}
    last = _read(form.last, records.pop()) if form.last else {}
    has_header = not isinstance(form.file, Fixed) and form.file.header
    if has_header and records.pop(0) != list(form.columns):
        raise ValueError("the file has another header")
    return ReadBack(
        [_read(tuple(form.columns.values()), record) for record in records], first, last
    )


def _text(written: FormField) -> pl.Expr:
    if written.source is None:
        return pl.lit(written.constant)
    column = pl.col(written.source)
    if written.form is not None:
        assert written.form.chrono is not None
        return column.dt.strftime(written.form.chrono)
    if written.words:
        return column.replace_strict(written.words, default=None, return_dtype=pl.String)
    return column.cast(pl.String)


def _fixed(form: WrittenForm, file: Fixed, texts: pl.DataFrame) -> bytes:
    """Records of one length: numbers to the right with zeros, texts to the left with spaces."""
    pieces: list[pl.Expr] = []
    end = 0
    for place, (field, written) in enumerate(zip(file.fields, form.columns.values(), strict=True)):
        column = texts[str(place)].fill_null("")
        if not _is_ascii(column):
            return _fixed_row_by_row(form, file, texts)
        if (column.str.len_bytes() > field.length).any():
            raise _too_long(form, field.name)
        text = pl.col(str(place)).fill_null("")
        padded = (
            text.str.zfill(field.length) if written.is_number else text.str.pad_end(field.length)
        )
        pieces += [pl.lit(" " * (field.start - end)), padded]
        end = field.start + field.length
    pieces.append(pl.lit(" " * (file.record_bytes - end) + form.line_end))
    records = texts.select(pl.concat_str(pieces)).to_series()
    return _encoded(form, "".join(records))


def _fixed_row_by_row(form: WrittenForm, file: Fixed, texts: pl.DataFrame) -> bytes:
    """Records some of whose characters have more than one byte."""
    records = bytearray()
    for row in texts.iter_rows():
        record = bytearray(b" " * file.record_bytes)
        for field, written, value in zip(file.fields, form.columns.values(), row, strict=True):
            text = _padded(form, field.name, value or "", field.length, written)
            record[field.start : field.start + field.length] = text
        records += record + form.line_end.encode()
    return bytes(records)


def _is_ascii(column: pl.Series) -> bool:
    return bool((column.str.len_bytes() == column.str.len_chars()).all())


def _padded(form: WrittenForm, name: str, text: str, length: int, written: FormField) -> bytes:
    data = _encoded(form, text)
    if len(data) > length:
        raise _too_long(form, name)
    return data.rjust(length, b"0") if written.is_number else data.ljust(length)


def _line(form: WrittenForm, fields: Sequence[FormField], totals: LineTotals) -> str:
    """The first or the last line; nothing where the form has none."""
    if not fields:
        return ""
    texts = [_told(written, totals) for written in fields]
    if not isinstance(form.file, Fixed):
        return _joined(form, texts)
    data = b"".join(
        _padded(form, written.source or "constant", text, written.bytes, written)
        for text, written in zip(texts, fields, strict=True)
    )
    return data.ljust(form.file.record_bytes).decode(form.file.encoding) + form.line_end


def _told(written: FormField, totals: LineTotals) -> str:
    if written.source is None:
        return written.constant
    value = totals[written.source]
    if isinstance(value, dt.date):
        assert written.form is not None
        assert written.form.chrono is not None
        return value.strftime(written.form.chrono)
    return str(value)


def _joined(form: WrittenForm, texts: Sequence[str]) -> str:
    assert not isinstance(form.file, Fixed)
    file = io.StringIO()
    csv.writer(file, delimiter=form.file.separator, lineterminator=form.line_end).writerow(texts)
    return file.getvalue()


def _encoded(form: WrittenForm, text: str) -> bytes:
    try:
        return text.encode(form.file.encoding)
    except UnicodeEncodeError as error:
        raise _unwritable(
            form,
            "encoding",
            f"U+{ord(text[error.start]):04X} is not in {form.file.encoding}",
            "write the file in utf-8",
        ) from None


def _too_long(form: WrittenForm, name: str) -> InputError:
    return _unwritable(form, name, "a value has more bytes than the field", "make the field longer")


def _unwritable(form: WrittenForm, where: str, what: str, hint: str) -> InputError:
    return InputError(
        f"layout {form.layout_id}: {where}: {what}", hint=f"{hint}; nothing was booked"
    )


def _records(form: WrittenForm, data: bytes) -> Iterator[list[str]]:
    if not isinstance(form.file, Fixed):
        text = data.decode(form.file.encoding)
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=form.file.separator)
        return
    width = form.file.record_bytes + len(form.line_end)
    if len(data) % width:
        raise ValueError("the file does not consist of whole records")
    places = range(0, len(data), width)
    for place, start in enumerate(places):
        record = data[start : start + form.file.record_bytes]
        is_first = form.first and place == 0
        is_last = form.last and place == len(places) - 1
        spans: list[tuple[int, int]] = []
        if is_first or is_last:
            at = 0
            for written in form.first if is_first else form.last:
                spans.append((at, written.bytes))
                at += written.bytes
        else:
            spans = [(field.start, field.length) for field in form.file.fields]
        yield [
            record[at : at + length].decode(form.file.encoding).rstrip(" ") for at, length in spans
        ]


def _read(
    fields: Sequence[FormField], texts: Sequence[str]
) -> dict[str, str | int | dt.date | None]:
    if len(fields) != len(texts):
        raise ValueError("a line has more or fewer fields than the form")
    values: dict[str, str | int | dt.date | None] = {}
    for written, text in zip(fields, texts, strict=True):
        if written.source is None:
            if text != written.constant.rstrip(" "):
                raise ValueError("a constant is another")
        elif written.source in NUMBERS:
            values[written.source] = int(text)
        elif written.source in DAYS:
            values[written.source] = _day(written, text)
        elif written.words:
            meanings = {word: value for value, word in written.words.items()}
            if text not in meanings:
                raise ValueError("a word is none of the map's")
            values[written.source] = meanings[text]
        else:
            values[written.source] = text
    return values


def _day(written: FormField, text: str) -> dt.date | None:
    if not text:
        return None
    assert written.form is not None
    assert written.form.chrono is not None
    return dt.datetime.strptime(text, written.form.chrono).date()
