"""The sections `[file]` and `[fixed]` of a layout: how the bytes of a file become records."""

from __future__ import annotations

from typing import Final, get_args

from engine.layouts.model import MAX_LINES_AHEAD, Encoding, Field, Fixed, Separated, Separator
from engine.layouts.names import numbered
from engine.terms.strict_toml import StrictTable

_MAX_RECORD_BYTES: Final = 1 << 16
_FILE_KEYS: Final = (
    *("encoding", "separator", "header", "columns", "lines_ahead", "optional", "empty"),
    "unwrap",
)
_FIXED_KEYS: Final = ("encoding", "record_bytes", "fields", "first", "first_begins", "empty")
_FIELD_KEYS: Final = ("name", "at", "bytes")


def parse_file(top: StrictTable) -> tuple[Separated | Fixed, tuple[str, ...]]:
    """How the file is cut into fields, and which values of it mean nothing."""
    if top.has("file") and top.has("fixed"):
        raise top.fault("fixed", "there is a [file] as well", "leave one of the two out")
    if top.has("fixed"):
        table = top.table("fixed", _FIXED_KEYS)
        return _fixed(table), table.texts("empty")
    table = top.table("file", _FILE_KEYS)
    return _separated(table), table.texts("empty")


def _separated(table: StrictTable) -> Separated:
    encodings = _encodings(table)
    file = Separated(
        encoding=encodings[0],
        separator=table.word("separator", get_args(Separator), default=","),
        header=numbered(_names(table, "header")),
        columns=numbered(_names(table, "columns")),
        lines_ahead=(
            table.integer("lines_ahead", 0, MAX_LINES_AHEAD) if table.has("lines_ahead") else 0
        ),
        optional=table.texts("optional"),
        unwrap=table.boolean("unwrap", default=False),
        encodings=encodings,
    )
    if bool(file.header) == bool(file.columns):
        raise table.fault(
            "header",
            "either header or columns must be there, with at least one name",
            "header names columns of a header line; columns names all fields of a file without one",
        )
    if file.columns and file.optional:
        raise table.fault("optional", "a file without a header has no such columns", "leave it out")
    if file.header and table.has("lines_ahead"):
        raise table.fault(
            "lines_ahead", "a header is found by its names", "leave it out, lines ahead are passed"
        )
    if "cp932" in file.encodings and file.separator == "|":
        raise table.fault(
            "separator",
            "in cp932 the byte of | is part of other characters",
            "have the file delivered as UTF-8, or with another separator",
        )
    return file


def _encodings(table: StrictTable) -> tuple[Encoding, ...]:
    """The encoding, or those of which a file's header shows its own."""
    if not table.has("encoding") or table.is_text("encoding"):
        return (table.word("encoding", get_args(Encoding)),)
    words = table.texts("encoding")
    known = tuple(encoding for encoding in get_args(Encoding) if encoding in words)
    if not words or len(known) < len(words):
        raise table.fault(
            "encoding",
            f"each must be one of {', '.join(get_args(Encoding))}",
            'write encoding = "cp932", or encoding = ["cp932", "utf-8"] where files come in both',
        )
    return tuple(sorted(known, key=words.index))


def _names(table: StrictTable, key: str) -> tuple[str, ...]:
    if not table.has(key):
        return ()
    return tuple(str(name) for name in table.parts(key, ()))


def _fixed(table: StrictTable) -> Fixed:
    length = table.integer("record_bytes", 1, _MAX_RECORD_BYTES)
    fields = [_field(keys, length) for keys in table.tables("fields", _FIELD_KEYS)]
    first = [_field(keys, length) for keys in table.optional_tables("first", _FIELD_KEYS)]
    first_begins = table.optional_text("first_begins") or ""
    if first_begins and not first:
        raise table.fault(
            "first_begins",
            "no fields of a first record are described",
            "describe them with first, or leave it out",
        )
    encoding: Encoding = table.word("encoding", get_args(Encoding))
    return Fixed(encoding, length, tuple(fields), tuple(first), first_begins)


def _field(table: StrictTable, record_bytes: int) -> Field:
    start = table.integer("at", 1, record_bytes)
    length = table.integer("bytes", 1, record_bytes)
    if start + length - 1 > record_bytes:
        raise table.fault(
            "bytes", f"the field ends beyond the record's {record_bytes} bytes", "count again"
        )
    return Field(table.identifier("name"), start - 1, length)
