"""The types of a layout: how a provider's file is written, and how its columns become canonical.

A layout is data: ``parsing`` makes it from a TOML text, and nothing here reads a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from engine.layouts.dates import DateForm
from engine.layouts.look_alikes import plain
from engine.records import (
    ANSWER_COLUMNS,
    CLAIM_COLUMNS,
    ENROLLMENT_COLUMNS,
    EVENT_COLUMNS,
    TRANSACTION_COLUMNS,
    RoleName,
)

Encoding = Literal["utf-8", "cp932"]
Separator = Literal[",", "\t", ";", "|"]
ParameterForm = Literal["text", "day", "id"]
TotalsPlace = Literal["below", "ahead"]
SectionKind = Literal["charge", "purchase", "refund", "as_written"]

MAX_LINES_AHEAD: Final = 100
CANONICAL_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "transactions": TRANSACTION_COLUMNS,
    "enrollments": ENROLLMENT_COLUMNS,
    "events": EVENT_COLUMNS,
    "answers": ANSWER_COLUMNS,
    "claims": CLAIM_COLUMNS,
}


@dataclass(frozen=True, slots=True)
class Zone:
    """How far times are ahead of UTC, in minutes.

    Attributes:
        minutes: of all times; None where a column says it.
        column: which column.
        words: what each of its values means.
    """

    minutes: int | None = None
    column: str | None = None
    words: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Dates:
    """Forms in which dates, or dates and times, are written; tried in this order.

    Attributes:
        era: of years that are written without their era's name.
        latest_by: for dates without a year, the parameter that says which: it is the latest such
            day that is not after that one.
        past_midnight: whether the hours 24 to 29 are those of the next day.
        zone: of times that are not Japan's.
    """

    forms: tuple[DateForm, ...]
    era: str | None = None
    latest_by: str | None = None
    past_midnight: bool = False
    zone: Zone | None = None


@dataclass(frozen=True, slots=True)
class TextPart:
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

    @property
    def has_other_spellings(self) -> bool:
        """Whether a text of it may be written in ASCII, too."""
        return any(plain(text) != text for text in (*self.values, *self.begins, *self.contains))


@dataclass(frozen=True, slots=True)
class Code:
    """A code for the values that pass a test."""

    code: str
    test: Test


@dataclass(frozen=True, slots=True)
class ColumnSource:
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
        less: for an amount, what is taken off it: at most one part.
        number_equal_rows: for an ID, whether rows with the same are numbered, in the file's order.
    """

    constant: str | None = None
    parts: tuple[TextPart, ...] = ()
    join: str = "-"
    refund_parts: tuple[TextPart, ...] = ()
    words: Mapping[str, str] | None = None
    dates: Dates | None = None
    by_sign: tuple[str | None, str | None] = (None, None)
    by_column: Mapping[str, str] = field(default_factory=dict)
    codes: tuple[Code, ...] = ()
    less: tuple[TextPart, ...] = ()
    number_equal_rows: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All that it is made from."""
        names = [part.name for part in (*self.parts, *self.refund_parts)]
        names += [code.test.column for code in self.codes]
        names += [part.name for part in self.less]
        if self.dates is not None and self.dates.zone is not None and self.dates.zone.column:
            names.append(self.dates.zone.column)
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
class Section:
    """A line among the rows that changes what the rows below it mean.

    It is known by its beginning, by a pattern, or as the header of another table; and it holds
    until another section changes the same.

    Attributes:
        reason: the layout's own; the line itself is left out by it.
        line_begins: what the line begins with.
        line_matches: a regular expression (of the Rust crate ``regex``) that the line matches.
        header: the columns of another table; the line has them all, in any order.
        sets: names whose values the line gives: the groups of ``line_matches``, or what follows
            ``line_begins`` up to the next separator; of fixed records the fields of the first.
        kind: of the rows below; ``as_written`` leaves it to the rows again.
        renamed: of another table's columns, which of the first table's each stands for.
        ends: whether all records below are left out, up to the header of another table; of fixed
            records, up to the first record of another file.
    """

    reason: str
    line_begins: str | None = None
    line_matches: str | None = None
    header: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    kind: SectionKind | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    ends: bool = False

    @property
    def begins_other_rows(self) -> bool:
        """Whether the records below are cut otherwise, or not read at all."""
        return bool(self.header) or self.ends


@dataclass(frozen=True, slots=True)
class RefundedAmount:
    """A second row out of one: the refund of a row whose refunded amount has a column of its own.

    Attributes:
        amount: the column.
        suffix: what stands behind the row's own ID in that of its refund.
    """

    amount: str
    suffix: str


@dataclass(frozen=True, slots=True)
class TotalsLine:
    """A line that says what rows come to; they are held against it.

    Attributes:
        line_matches: a regular expression (of the Rust crate ``regex``) that the line matches; its
            groups are named after the figures.
        figures: of ``rows``, ``yen`` (all amounts) and ``net_yen`` (refunds taken off).
        stand: whether the line stands below its rows, up to another such line, or ahead of them.
        with_skipped: the reasons of ``skips`` whose rows are counted, too.
    """

    line_matches: str
    figures: tuple[str, ...]
    stand: TotalsPlace
    with_skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """What must be given with a file when it is delivered."""

    asks: str
    form: ParameterForm


@dataclass(frozen=True, slots=True)
class Separated:
    """A file with separators.

    Attributes:
        encoding: of the file at hand, once it is known; until then the first of several.
        encodings: those that such files come in.
        unwrap: whether cells may be guarded against spreadsheets, as ="0012" and '0012 are.
    """

    encoding: Encoding
    separator: Separator
    header: tuple[str, ...]
    columns: tuple[str, ...]
    lines_ahead: int
    optional: tuple[str, ...]
    unwrap: bool = False
    encodings: tuple[Encoding, ...] = ()


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a fixed record: where it begins, from 0, and how many bytes it has."""

    name: str
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Fixed:
    """A file of records of one length.

    Attributes:
        first_begins: what the first record begins with, where the layout says so.
    """

    encoding: Encoding
    record_bytes: int
    fields: tuple[Field, ...]
    first: tuple[Field, ...]
    first_begins: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a provider's file is written, and which canonical column each of its columns gives.

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
    columns: Mapping[str, ColumnSource]
    skips: tuple[Skip, ...]
    sections: tuple[Section, ...]
    refunded: RefundedAmount | None
    totals: TotalsLine | None
    text: str
    sha256: str

    @property
    def used(self) -> tuple[str, ...]:
        """The provider's columns that are read, each once."""
        names = [name for source in self.columns.values() for name in source.names]
        names += [skip.test.column for skip in self.skips if skip.test]
        names += [self.refunded.amount] if self.refunded else []
        elsewhere = {*self.parameters, *self.ahead, *self.set_by_sections}
        if isinstance(self.file, Fixed):
            elsewhere |= {field.name for field in self.file.first}
        return tuple(dict.fromkeys(name for name in names if name not in elsewhere))

    @property
    def set_by_sections(self) -> tuple[str, ...]:
        """The names whose values lines among the rows give."""
        return tuple(dict.fromkeys(name for section in self.sections for name in section.sets))

    @property
    def numbers_equal_rows(self) -> bool:
        """Whether a row's ID depends on the equal rows ahead of it in the file."""
        return any(source.number_equal_rows for source in self.columns.values())
