"""The header of a CSV file, and where it has the canonical columns."""

import csv
import io

from engine.errors import InputError
from engine.io.delivered.byte_stream import MAX_RECORD_BYTES, Stream, read_fully
from engine.io.delivered.deliveries import check_required
from engine.io.delivered.encodings import BOM, check_utf8
from engine.io.delivered.kinds import empty_file
from engine.records import BLANKS

Header = list[str]


def read_header(stream: Stream, name: str) -> tuple[Header, bytes]:
    """The first record that is not an empty line, and the bytes read beyond it.

    Raises:
        InputError: there is none, or it is not UTF-8.
    """
    header, rest, _ = read_header_at(stream, name)
    return header, rest


def read_header_at(stream: Stream, name: str) -> tuple[Header, bytes, int]:
    """As ``read_header``, and where the bytes beyond the header begin."""
    data = read_fully(stream, MAX_RECORD_BYTES)
    text = io.StringIO(data.decode("utf-8", "surrogateescape").lstrip(BOM), newline="")
    try:
        header = next((record for record in csv.reader(iter(text.readline, "")) if record), [])
    except csv.Error as error:
        raise _no_header(name, str(error)) from error
    if not header:
        raise empty_file(name)
    check_utf8(",".join(header).encode("utf-8", "surrogateescape"), name)
    rest = text.read().encode("utf-8", "surrogateescape")
    if len(data) == MAX_RECORD_BYTES and not rest:
        raise _no_header(name, "the first line is longer than 1 MiB")
    return [cell.strip(BLANKS) for cell in header], rest, len(data) - len(rest)


def _no_header(name: str, why: str) -> InputError:
    return InputError(
        f"{name}: no header can be read: {why}",
        hint="the first line must name the columns, separated by commas",
    )


def canonical_columns(
    header: Header, required: tuple[str, ...], optional: tuple[str, ...], name: str
) -> dict[str, int]:
    """The place of each canonical column that the header has.

    Raises:
        InputError: the header lacks a required column, or names one twice.
    """
    columns: dict[str, int] = {}
    for place, column in enumerate(header):
        if column and column in columns:
            # A file without a header begins with a row, whose values are people's.
            known = column in required or column in optional
            raise InputError(
                f"{name}: the header names the column {column} twice"
                if known
                else f"{name}: columns {columns[column] + 1} and {place + 1} of the header have "
                "the same name",
                hint="each column may be there once; remove or rename one of them",
            )
        columns[column] = place
    check_required(columns, required, f"{name}: the header")
    return {column: columns[column] for column in (*required, *optional) if column in columns}
