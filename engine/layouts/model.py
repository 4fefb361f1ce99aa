"""How a provider's own file is written, from a strict TOML file: its layout.

| key | meaning |
|---|---|
| `layout_id` | lower-case letters, digits and hyphens, 40 at most |
| `name`, `follows` | for people; the public form that it follows, and what of it is assumed |
| `role` | `transactions`, `enrollments` or `events` |
| `[file]` | a file with separators: see below |
| `[fixed]` | in its place: records of one length, with columns by position |
| `[ahead]` | values that stand in lines ahead of the header: name = what the line begins with |
| `[parameters.NAME]` | `asks`: what must be said of the file; `form`: `text`, `day` or `id` |
| `[columns.NAME]` | how each canonical column is made |
| `[[skip]]` | rows that are left out on purpose, each with the layout's own `reason` |

`[file]`: `encoding` (`utf-8` or `cp932`), `separator` (a comma), `header` (names that the header
has, in any order and among others; the first line that has them all is the header), or, where
there is none, `columns` (all names, by position) and `lines_ahead`; `optional` (names that a
header may have), `empty` (values that mean nothing, such as `-`). The second column of a name is
known as `NAME (2)`, the third as `NAME (3)`.

A parameter of the form `id` is a person's or an account's: a run's record keeps its digest alone.

`[fixed]`: `encoding`, `record_bytes`, `[[fixed.fields]]` (`name`, `at` from 1, `bytes`), and
`[[fixed.first]]`, likewise, for what stands in the first record and holds for all of them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, Literal, get_args

import polars as pl

from engine.errors import InputError
from engine.layouts.dates import ERAS, Form, compile_form
from engine.records import (
    ANSWER_COLUMNS,
    ANSWER_REQUIRED,
    BASES,
    ENROLLMENT_COLUMNS,
    ENROLLMENT_REQUIRED,
    EVENT_COLUMNS,
    EVENT_KINDS,
    EVENT_REQUIRED,
    KINDS,
    OUTCOMES,
    TRANSACTION_COLUMNS,
    TRANSACTION_REQUIRED,
    RoleName,
)
from engine.terms.strict_toml import (
    MAX_ID_CHARACTERS,
    StrictTable,
    packaged_stems,
    parse,
    read_packaged,
    read_text,
)

Encoding = Literal["utf-8", "cp932"]
Separator = Literal[",", "\t", ";", "|"]
ParameterForm = Literal["text", "day", "id"]

MAX_LINES_AHEAD: Final = 100
MAX_RECORD_BYTES: Final = 1 << 16
MAX_REASON_CHARACTERS: Final = 40

_FOLDER: Final = "layouts/shipped"
_LAYOUT_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
CANONICAL_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "transactions": TRANSACTION_COLUMNS,
    "enrollments": ENROLLMENT_COLUMNS,
    "events": EVENT_COLUMNS,
    "answers": ANSWER_COLUMNS,
}
_REQUIRED: Final[Mapping[RoleName, tuple[str, ...]]] = {
    "transactions": TRANSACTION_REQUIRED,
    "enrollments": ENROLLMENT_REQUIRED,
    "events": EVENT_REQUIRED,
    "answers": ANSWER_REQUIRED,
}
_WORDS: Final[Mapping[RoleName, Mapping[str, tuple[str, ...]]]] = {
    "transactions": {"kind": KINDS},
    "enrollments": {"basis": BASES},
    "events": {"kind": EVENT_KINDS, "basis": BASES},
    "answers": {"outcome": OUTCOMES},
}
INSTANTS: Final = (
    *("occurred_at", "applied_at", "reserved_at", "certificate_issued_at"),
    "effective_at",
)
DAYS: Final = ("card_applied_on", "preregistered_on", "answered_on")
CANONICAL_FORM: Final = "canonical"
DIGEST_PREFIX: Final = "sha256:"

_TOP_KEYS: Final = (
    *("layout_id", "name", "follows", "role", "file", "fixed", "ahead", "parameters"),
    *("columns", "skip"),
)
_FILE_KEYS: Final = (
    *("encoding", "separator", "header", "columns", "lines_ahead", "optional", "empty"),
)
_FIXED_KEYS: Final = ("encoding", "record_bytes", "fields", "first", "empty")
_FIELD_KEYS: Final = ("name", "at", "bytes")
_PARAMETER_KEYS: Final = ("asks", "form")
_TEXT_KEYS: Final = ("constant", "from", "join", "map", "refund_from")
_TIME_KEYS: Final = ("from", "join", "forms", "era", "latest_by")
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "transaction_id": (*_TEXT_KEYS, "number_equal_rows"),
    "kind": ("constant", "from", "map", "by_sign", "by_column"),
    "method": (*_TEXT_KEYS, "codes"),
    "basis": ("constant", "from", "map"),
    "outcome": ("constant", "from", "map"),
    "amount": ("from",),
} | dict.fromkeys((*INSTANTS, *DAYS), _TIME_KEYS)
_OF_TRANSACTIONS: Final = ("refund_from", "by_sign", "by_column")
_PART_KEYS: Final = ("day", "forms", "era", "latest_by", "amount")
_TESTS: Final = ("is", "begins", "contains", "matches", "filled")
_SKIP_KEYS: Final = ("reason", "column", *_TESTS, "line_begins")
_CODE_KEYS: Final = ("code", "column", *_TESTS)


@dataclass(frozen=True, slots=True)
class Dates:
    """Forms in which dates, or dates and times, are written; tried in this order.

    Attributes:
        era: of years that are written without their era's name.
        latest_by: for dates without a year, the parameter that says which: it is the latest such
            day that is not after that one.
    """

    forms: tuple[Form, ...]
    era: str | None = None
    latest_by: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a text: a column's, an ahead's or a parameter's value.

    Attributes:
        day: for a date, whose day is the part, as YYYYMMDD.
        amount: whether the part is an amount in digits, with a minus sign if it is negative.
    """

    name: str
    day: Dates | None = None
    amount: bool = False


@dataclass(frozen=True, slots=True)
class Test:
    """A test of a column's value; one of its kinds is set.

    There is deliberately no test that a value is *not* among some: an unknown word must be
    reported, not skipped.

    Attributes:
        values: the value is one of these.
        begins, contains: it begins with, or contains, one of these.
        matches: it matches this regular expression (of the Rust crate ``regex``) somewhere.
        filled: whether there is a value.
    """

    column: str
    values: tuple[str, ...] = ()
    begins: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    matches: str | None = None
    filled: bool | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """A code for the values that pass a test."""

    code: str
    test: Test


@dataclass(frozen=True, slots=True)
class Source:
    """Where a canonical column comes from.

    Attributes:
        constant: the same value for every row.
        parts: joined by ``join``; for an amount, exactly one of them is filled.
        refund_parts: these instead when the row is a refund.
        words: what each of the provider's values means; None when values are taken as they are.
        dates: for a time or a day; None is the canonical form.
        by_sign: for a kind, what the amount's sign makes of it: positive, negative. Where the
            kind has parts, too, only of a known word.
        by_column: for a kind, likewise, what the amount's column makes of it.
        codes: for a method, tried in this order: of the first whose test holds, the code.
        number_equal_rows: for an ID, whether rows with the same are numbered, in the file's order.
    """

    constant: str | None = None
    parts: tuple[Part, ...] = ()
    join: str = "-"
    refund_parts: tuple[Part, ...] = ()
    words: Mapping[str, str] | None = None
    dates: Dates | None = None
    by_sign: tuple[str | None, str | None] = (None, None)
    by_column: Mapping[str, str] = field(default_factory=dict)
    codes: tuple[Code, ...] = ()
    number_equal_rows: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All that it is made from."""
        names = [part.name for part in (*self.parts, *self.refund_parts)]
        names += [code.test.column for code in self.codes]
        return tuple(dict.fromkeys((*names, *self.by_column)))


@dataclass(frozen=True, slots=True)
class Skip:
    """Which rows are left out on purpose; one of the two tests is set.

    Attributes:
        line_begins: the record begins with this, whatever its number of fields.
    """

    reason: str
    test: Test | None = None
    line_begins: str | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """What whoever delivers a file must say of it."""

    asks: str
    form: ParameterForm


@dataclass(frozen=True, slots=True)
class Separated:
    """A file with separators."""

    encoding: Encoding
    separator: Separator
    header: tuple[str, ...]
    columns: tuple[str, ...]
    lines_ahead: int
    optional: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a fixed record: where it begins, from 0, and how many bytes it has."""

    name: str
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Fixed:
    """A file of records of one length."""

    encoding: Encoding
    record_bytes: int
    fields: tuple[Field, ...]
    first: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a provider's file is written, and what of it is which canonical column.

    Attributes:
        text, sha256: the file's text, whole, and its digest in UTF-8.
        empty: values that mean nothing.
        ahead: by name, what the line ahead of the header begins with.
        columns: by canonical column.
    """

    layout_id: str
    name: str
    follows: str
    role: RoleName
    file: Separated | Fixed
    empty: tuple[str, ...]
    ahead: Mapping[str, str]
    parameters: Mapping[str, Parameter]
    columns: Mapping[str, Source]
    skips: tuple[Skip, ...]
    text: str
    sha256: str

    @property
    def used(self) -> tuple[str, ...]:
        """The provider's columns that are read, each once."""
        names = [name for source in self.columns.values() for name in source.names]
        names += [skip.test.column for skip in self.skips if skip.test]
        elsewhere = {*self.parameters, *self.ahead}
        if isinstance(self.file, Fixed):
            elsewhere |= {one.name for one in self.file.first}
        return tuple(dict.fromkeys(name for name in names if name not in elsewhere))

    @property
    def numbers_equal_rows(self) -> bool:
        """Whether a row's ID depends on the equal rows ahead of it in the file."""
        return any(source.number_equal_rows for source in self.columns.values())


def built_in_layouts() -> tuple[str, ...]:
    """The IDs of the layouts that ship with the engine, sorted."""
    return packaged_stems(_FOLDER)


@cache
def _built_in(layout_id: str) -> Layout:
    return parse_layout(read_packaged(_FOLDER, layout_id), f"{layout_id} (built in)")


def load_layout(id_or_file: str | Path) -> Layout:
    """A layout that ships with the engine, by its ID, or one from a file.

    As with programmes, a text that ends in `.toml` or has a folder in it is a file.

    Raises:
        InputError: there is no such layout or file, or the file breaks a rule.
    """
    if isinstance(id_or_file, str):
        known = built_in_layouts()
        if id_or_file in known:
            return _built_in(id_or_file)
        if not id_or_file.endswith(".toml") and "/" not in id_or_file and os.sep not in id_or_file:
            raise InputError(
                f'layout "{id_or_file}": no built-in layout has this ID',
                hint=f"the built-in ones are {', '.join(known)}; a file is NAME.toml or ./NAME",
            )
    return parse_layout(read_text(id_or_file), str(id_or_file))


def numbered(names: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Names that tell columns of one name apart: the second is `NAME (2)`, and so on."""
    seen: dict[str, int] = {}
    unlike = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unlike.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(unlike)


def parse_layout(text: str, where: str) -> Layout:
    """The layout that a TOML text describes; errors name the text by `where`.

    Raises:
        InputError: the text is not TOML; a key is unknown, missing or of the wrong type; a name
            is none of the file's; a required canonical column is not described.
    """
    top = parse(text, where, _TOP_KEYS)
    layout_id = top.identifier("layout_id")
    if not _LAYOUT_ID.fullmatch(layout_id):
        raise top.fault(
            "layout_id",
            f'"{layout_id}" is not lower-case letters, digits and hyphens, 40 at most',
            "write it like my-provider",
        )
    role = top.word("role", get_args(RoleName))
    file, empty = _file(top)
    ahead = top.texts_by_name("ahead")
    if ahead and (isinstance(file, Fixed) or file.columns):
        raise top.fault("ahead", "only a file with a header has lines ahead of it", "leave it out")
    parameters = {
        name: Parameter(
            table.text("asks"), table.word("form", get_args(ParameterForm), default="text")
        )
        for name, table in top.tables_by_name("parameters", _PARAMETER_KEYS).items()
    }
    names = _Names(top, file, ahead, parameters)
    columns = _columns(top, role, names)
    return Layout(
        layout_id=layout_id,
        name=top.text("name"),
        follows=top.text("follows"),
        role=role,
        file=file,
        empty=empty,
        ahead=ahead,
        parameters=parameters,
        columns=columns,
        skips=tuple(_skip(table, names) for table in top.optional_tables("skip", _SKIP_KEYS)),
        text=text,
        sha256=hashlib.sha256(text.encode("utf-8")).hexdigest(),
    )


def _file(top: StrictTable) -> tuple[Separated | Fixed, tuple[str, ...]]:
    if top.has("file") and top.has("fixed"):
        raise top.fault("fixed", "there is a [file] as well", "leave one of the two out")
    if top.has("fixed"):
        table = top.table("fixed", _FIXED_KEYS)
        return _fixed(table), table.texts("empty")
    table = top.table("file", _FILE_KEYS)
    return _separated(table), table.texts("empty")


def _separated(table: StrictTable) -> Separated:
    file = Separated(
        encoding=table.word("encoding", get_args(Encoding)),
        separator=table.word("separator", get_args(Separator), default=","),
        header=numbered(_names(table, "header")),
        columns=numbered(_names(table, "columns")),
        lines_ahead=(
            table.integer("lines_ahead", 0, MAX_LINES_AHEAD) if table.has("lines_ahead") else 0
        ),
        optional=table.texts("optional"),
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
    if file.encoding == "cp932" and file.separator == "|":
        raise table.fault(
            "separator",
            "in cp932 the byte of | is part of other characters",
            "have the file delivered as UTF-8, or with another separator",
        )
    return file


def _names(table: StrictTable, key: str) -> tuple[str, ...]:
    if not table.has(key):
        return ()
    return tuple(str(name) for name in table.parts(key, ()))


def _fixed(table: StrictTable) -> Fixed:
    length = table.integer("record_bytes", 1, MAX_RECORD_BYTES)
    fields = [_field(one, length) for one in table.tables("fields", _FIELD_KEYS)]
    first = [_field(one, length) for one in table.optional_tables("first", _FIELD_KEYS)]
    return Fixed(table.word("encoding", get_args(Encoding)), length, tuple(fields), tuple(first))


def _field(table: StrictTable, record_bytes: int) -> Field:
    start = table.integer("at", 1, record_bytes)
    length = table.integer("bytes", 1, record_bytes)
    if start + length - 1 > record_bytes:
        raise table.fault(
            "bytes", f"the field ends beyond the record's {record_bytes} bytes", "count again"
        )
    return Field(table.identifier("name"), start - 1, length)


class _Names:
    """The names that a column may be made from."""

    def __init__(
        self,
        top: StrictTable,
        file: Separated | Fixed,
        ahead: Mapping[str, str],
        parameters: Mapping[str, Parameter],
    ) -> None:
        if isinstance(file, Fixed):
            of_file = tuple(one.name for one in (*file.fields, *file.first))
        else:
            of_file = (*file.header, *file.columns, *file.optional)
        names = (*of_file, *ahead, *parameters)
        for name, times in Counter(names).items():
            if times > 1:
                raise top.fault(
                    name,
                    "two columns, lines ahead or parameters have this name",
                    "give each a name of its own",
                )
        for name in parameters:
            if not _NAME.fullmatch(name):
                raise top.fault(
                    name,
                    "a parameter's name is lower-case letters, digits and underscores",
                    "write it like account_id",
                )
        self.parameters, self._names, self._of_file = parameters, names, of_file

    def checked(self, table: StrictTable, key: str, name: str) -> str:
        """The name, if there is such a value."""
        if name not in self._names:
            raise table.fault(
                key,
                f'"{name[:MAX_ID_CHARACTERS]}" is no column, line ahead or parameter',
                f"there are {', '.join(self._names)}",
            )
        return name

    def column(self, table: StrictTable, key: str, name: str) -> str:
        """The name, if it is a column of the file."""
        if name not in self._of_file:
            raise table.fault(
                key,
                f'"{name[:MAX_ID_CHARACTERS]}" is no column of the file',
                f"there are {', '.join(self._of_file)}",
            )
        return name


def _columns(top: StrictTable, role: RoleName, names: _Names) -> dict[str, Source]:
    outer = top.table("columns", CANONICAL_COLUMNS[role])
    columns = {}
    for name in CANONICAL_COLUMNS[role]:
        if outer.has(name):
            table = outer.table(name, _KEYS.get(name, _TEXT_KEYS))
            if role != "transactions":
                for key in _OF_TRANSACTIONS:
                    if table.has(key):
                        raise table.fault(key, f"{role} cannot be refunds", "leave it out")
            columns[name] = _source(name, table, names, _WORDS[role].get(name))
        elif name in _REQUIRED[role]:
            raise outer.fault(
                name,
                "missing",
                f"every file must have it: write [columns.{name}]; what the file lacks, ask for "
                "with [parameters.NAME]",
            )
    if role == "transactions":
        _check_kind(outer, columns, names)
    return columns


def _check_kind(outer: StrictTable, columns: Mapping[str, Source], names: _Names) -> None:
    kind, amount = columns["kind"], columns["amount"]
    for column in kind.by_column:
        if column not in amount.names:
            raise outer.fault(
                "kind", f'by_column: "{column}" is no column of the amount', "name an amount column"
            )
    for part in amount.parts:
        if part.name in names.parameters:
            raise outer.fault(
                "amount", f'"{part.name}" is a parameter', "an amount stands in its row"
            )
    words = {*(kind.words or {}).values(), *kind.by_sign, *kind.by_column.values(), kind.constant}
    if "refund" in words and "original_transaction_id" not in columns:
        raise outer.fault(
            "original_transaction_id",
            "missing, and kind can be refund",
            "say which column has the original; where files lack one, name an optional column "
            "for people to fill in",
        )


def _source(name: str, table: StrictTable, names: _Names, words: tuple[str, ...] | None) -> Source:
    dates = name in INSTANTS or name in DAYS
    constant = table.optional_text("constant") if not dates and name != "amount" else None
    source = Source(
        constant=constant,
        parts=_parts(table, "from", names),
        join=table.text("join") if table.has("join") else " " if dates else "-",
        refund_parts=_parts(table, "refund_from", names),
        words=_words(table, words),
        dates=_dates(table, names, with_time=name in INSTANTS) if dates else None,
        by_sign=_by_sign(table),
        by_column=_by_column(table, names),
        codes=_codes(table, names),
        number_equal_rows=table.boolean("number_equal_rows", default=False),
    )
    if source.constant is not None and source.parts:
        raise table.fault("constant", "there is a from as well", "leave one of the two out")
    if source.constant is not None and source.refund_parts:
        raise table.fault("refund_from", "there is a constant as well", "leave one of the two out")
    made = source.constant is not None or source.parts or source.by_column or any(source.by_sign)
    if not made and not (name == "original_transaction_id" and source.refund_parts):
        raise table.fault(
            "from",
            "missing",
            'write from = "…", the column it is made from'
            + ("" if dates or name == "amount" else ', or constant = "…"'),
        )
    if words and source.constant is not None and source.constant not in words:
        raise table.fault(
            "constant",
            f'"{source.constant[:MAX_ID_CHARACTERS]}" is none of {", ".join(words)}',
            "write one of them",
        )
    return source


def _parts(table: StrictTable, key: str, names: _Names) -> tuple[Part, ...]:
    if not table.has(key):
        return ()
    return tuple(_part(table, key, part, names) for part in table.parts(key, _PART_KEYS))


def _part(table: StrictTable, key: str, part: str | StrictTable, names: _Names) -> Part:
    if isinstance(part, str):
        return Part(names.checked(table, key, part))
    if part.has("amount"):
        if part.has("day"):
            raise part.fault("day", "there is an amount as well", "make two parts of them")
        return Part(names.column(part, "amount", part.text("amount")), amount=True)
    return Part(
        names.checked(part, "day", part.text("day")),
        _with_year(part, Dates(_forms(part), _era(part), _latest_by(part, names))),
    )


def _words(table: StrictTable, known: tuple[str, ...] | None) -> Mapping[str, str] | None:
    if not table.has("map"):
        return None
    words = table.texts_by_name("map")
    if not table.has("from"):
        raise table.fault("map", "there is no from whose values it maps", 'write from = "…"')
    for value, word in words.items():
        if known is not None and word not in known:
            raise table.fault(
                f"map: {value[:MAX_ID_CHARACTERS]}",
                f'"{word[:MAX_ID_CHARACTERS]}" is none of {", ".join(known)}',
                "write one of them; rows that are none of these are left out with [[skip]]",
            )
    return words


def _by_sign(table: StrictTable) -> tuple[str | None, str | None]:
    signs = table.optional_table("by_sign", ("positive", "negative"))
    if signs is None:
        return None, None
    positive, negative = (
        signs.word(sign, KINDS) if signs.has(sign) else None for sign in ("positive", "negative")
    )
    return positive, negative


def _by_column(table: StrictTable, names: _Names) -> Mapping[str, str]:
    if not table.has("by_column"):
        return {}
    kinds = {}
    for column, word in table.texts_by_name("by_column").items():
        names.column(table, "by_column", column)
        if word not in KINDS:
            raise table.fault(
                f"by_column: {column}",
                f'"{word[:MAX_ID_CHARACTERS]}" is none of {", ".join(KINDS)}',
                "write one of them",
            )
        kinds[column] = word
    return kinds


def _dates(table: StrictTable, names: _Names, *, with_time: bool) -> Dates | None:
    """The forms; None when they are the canonical ones."""
    if not table.has("forms"):
        return None
    forms = _forms(table)
    timed = next((form.text for form in forms if form.has_time), None)
    if timed is not None and not with_time:
        raise table.fault("forms", f'"{timed}" has a time of day', "this column is a day")
    return _with_year(table, Dates(forms, _era(table), _latest_by(table, names)))


def _with_year(table: StrictTable, dates: Dates) -> Dates:
    without = next((form.text for form in dates.forms if not form.has_year), None)
    if without is not None and dates.latest_by is None:
        raise table.fault(
            "forms",
            f'"{without}" has no year',
            "name the parameter that says which with latest_by, or make the year a part of from",
        )
    return dates


def _latest_by(table: StrictTable, names: _Names) -> str | None:
    latest_by = table.optional_text("latest_by")
    if latest_by is not None:
        parameter = names.parameters.get(latest_by)
        if parameter is None or parameter.form != "day":
            raise table.fault(
                "latest_by",
                f'"{latest_by[:MAX_ID_CHARACTERS]}" is no parameter of the form day',
                'write [parameters.as_of] with form = "day"',
            )
    return latest_by


def _forms(table: StrictTable) -> tuple[Form, ...]:
    forms = []
    texts = table.texts("forms")
    if not texts:
        raise table.fault("forms", "missing", 'write forms = ["YYYY/MM/DD"]')
    era = table.optional_text("era")
    for text in texts:
        try:
            form = compile_form(text)
        except ValueError as error:
            raise table.fault(
                "forms",
                f'"{text[:MAX_ID_CHARACTERS]}": {error}',
                "letters are YYYY YY G E EE M MM D DD H HH A h hh m mm s ss; all else is itself",
            ) from None
        if form.needs_era and era is None:
            raise table.fault(
                "forms",
                f'"{text}" has years of an era and does not say which',
                'write era = "令和"',
            )
        forms.append(form)
    return tuple(forms)


def _era(table: StrictTable) -> str | None:
    return table.word("era", tuple(ERAS)) if table.has("era") else None


def _skip(table: StrictTable, names: _Names) -> Skip:
    reason = table.text("reason")
    if not _NAME.fullmatch(reason):
        raise table.fault(
            "reason",
            f'"{reason[:MAX_ID_CHARACTERS]}" is not lower-case letters, digits and underscores',
            "write it like failed_payment",
        )
    if table.has("line_begins"):
        for key in ("column", *_TESTS):
            if table.has(key):
                raise table.fault(key, "there is a line_begins as well", "write two [[skip]]")
        return Skip(reason, line_begins=table.text("line_begins"))
    return Skip(reason, _test(table, names))


def _codes(table: StrictTable, names: _Names) -> tuple[Code, ...]:
    return tuple(
        Code(code.text("code"), _test(code, names))
        for code in table.optional_tables("codes", _CODE_KEYS)
    )


def _test(table: StrictTable, names: _Names) -> Test:
    column = names.column(table, "column", table.text("column"))
    tests = [key for key in _TESTS if table.has(key)]
    if len(tests) != 1:
        raise table.fault(
            "column",
            f"{len(tests)} tests of it are there, one must be",
            f"write one of {', '.join(_TESTS)}",
        )
    return Test(
        column,
        values=_values(table, "is"),
        begins=_values(table, "begins"),
        contains=_values(table, "contains"),
        matches=_pattern(table),
        filled=table.boolean("filled", default=True) if table.has("filled") else None,
    )


def _pattern(table: StrictTable) -> str | None:
    pattern = table.optional_text("matches")
    if pattern is not None:
        try:
            pl.Series([""]).str.contains(pattern)
        except pl.exceptions.ComputeError:
            raise table.fault(
                "matches",
                f'"{pattern[:MAX_ID_CHARACTERS]}" is not a regular expression',
                "write one that the Rust crate regex takes, or use is, begins or contains",
            ) from None
    return pattern


def _values(table: StrictTable, key: str) -> tuple[str, ...]:
    return tuple(str(value) for value in table.parts(key, ())) if table.has(key) else ()


@dataclass(frozen=True, slots=True)
class Described:
    """A layout with what whoever delivers a file says of it.

    Attributes:
        parameters: all that the layout asks for.
    """

    layout: Layout
    parameters: Mapping[str, str]

    @property
    def recorded_parameters(self) -> dict[str, str]:
        """The parameters as a run's record keeps them: of an ID its digest."""
        return {
            name: digest_of(value) if self.layout.parameters[name].form == "id" else value
            for name, value in self.parameters.items()
        }

    def day(self, name: str) -> dt.date:
        """A parameter of the form day."""
        return dt.date.fromisoformat(self.parameters[name])


def digest_of(value: str) -> str:
    """What a run's record keeps of a parameter that is an ID."""
    return f"{DIGEST_PREFIX}{hashlib.sha256(value.encode()).hexdigest()}"


def describe(layout: Layout, parameters: Mapping[str, str], where: str) -> Described:
    """A layout with its parameters; errors name by `where` what it describes.

    Raises:
        InputError: a parameter is missing or unknown, or its value cannot be one.
    """
    for name, value in parameters.items():
        parameter = layout.parameters.get(name)
        if parameter is None:
            asked = ", ".join(layout.parameters) or "nothing"
            raise InputError(
                f"{where}: layout {layout.layout_id} has no parameter {name}",
                hint=f"it asks for {asked}; leave --set {name}=… out",
            )
        fault = _parameter_fault(parameter, value)
        if fault:
            raise InputError(f"{where}: --set {name}: {fault}", hint=f"it is: {parameter.asks}")
    for name, parameter in layout.parameters.items():
        if name not in parameters:
            raise InputError(
                f"{where}: layout {layout.layout_id} asks for {name}: {parameter.asks}",
                hint=f"the file itself does not say it; add --set {name}=… ahead of the file",
            )
    return Described(layout, {name: parameters[name] for name in layout.parameters})


def _parameter_fault(parameter: Parameter, value: str) -> str | None:
    if parameter.form == "day":
        try:
            if dt.date.fromisoformat(value).isoformat() == value:
                return None
        except ValueError:
            pass
        return "not a date (YYYY-MM-DD)"
    if not value.strip() or value != value.strip() or len(value) > MAX_ID_CHARACTERS:
        return f"expected 1 to {MAX_ID_CHARACTERS} characters without spaces around them"
    if not value.isprintable():
        return "it has a character that cannot be printed"
    return None


def shipped(role: RoleName) -> Iterator[Layout]:
    """The layouts of a role that ship with the engine."""
    for layout_id in built_in_layouts():
        layout = _built_in(layout_id)
        if layout.role == role:
            yield layout
