"""The section `[columns]` of a layout: what each canonical column is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from engine.layouts.date_keys import parse_dates
from engine.layouts.look_alikes import plain
from engine.layouts.model import CANONICAL_COLUMNS, ColumnSource, Section, TextPart
from engine.layouts.names import Names
from engine.layouts.row_tests import parse_codes
from engine.records import (
    ANSWER_REQUIRED,
    BASES,
    CLAIM_REQUIRED,
    ENROLLMENT_REQUIRED,
    EVENT_KINDS,
    EVENT_REQUIRED,
    KINDS,
    OUTCOMES,
    TRANSACTION_REQUIRED,
    RoleName,
)
from engine.terms.strict_toml import MAX_ID_CHARACTERS, StrictTable

_REQUIRED: Final[Mapping[RoleName, tuple[str, ...]]] = {
    "transactions": TRANSACTION_REQUIRED,
    "enrollments": ENROLLMENT_REQUIRED,
    "events": EVENT_REQUIRED,
    "answers": ANSWER_REQUIRED,
    "claims": CLAIM_REQUIRED,
}
_WORDS: Final[Mapping[RoleName, Mapping[str, tuple[str, ...]]]] = {
    "transactions": {"kind": KINDS},
    "enrollments": {"basis": BASES},
    "events": {"kind": EVENT_KINDS, "basis": BASES},
    "answers": {"outcome": OUTCOMES},
    "claims": {},
}
_INSTANTS: Final = (
    *("occurred_at", "applied_at", "reserved_at", "certificate_issued_at"),
    "effective_at",
)
_DAYS: Final = ("card_applied_on", "preregistered_on", "answered_on")
_TEXT_KEYS: Final = ("constant", "from", "join", "map", "refund_from")
_TIME_KEYS: Final = ("from", "join", "forms", "era", "latest_by")
_INSTANT_KEYS: Final = (*_TIME_KEYS, "past_midnight", "zone", "zone_from", "zones")
_KEYS: Final[Mapping[str, tuple[str, ...]]] = (
    {
        "transaction_id": (*_TEXT_KEYS, "number_equal_rows"),
        "kind": ("constant", "from", "map", "by_sign", "by_column"),
        "method": (*_TEXT_KEYS, "codes"),
        "basis": ("constant", "from", "map"),
        "outcome": ("constant", "from", "map"),
        "amount": ("from", "less"),
    }
    | dict.fromkeys(_INSTANTS, _INSTANT_KEYS)
    | dict.fromkeys(_DAYS, _TIME_KEYS)
)
_OF_FORMS: Final = ("era", "latest_by", "past_midnight", "zone", "zone_from", "zones")
_OF_TRANSACTIONS: Final = ("refund_from", "by_sign", "by_column")
_PART_KEYS: Final = ("day", "forms", "era", "latest_by", "amount")


def parse_columns(
    top: StrictTable, role: RoleName, names: Names, sections: Sequence[Section]
) -> dict[str, ColumnSource]:
    """Where each canonical column comes from, by its name."""
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
        _check_kind(outer, columns, names, {section.kind for section in sections})
    elif any(section.kind for section in sections):
        raise top.fault("sections", f"{role} have no kind of a section", "leave kind out")
    return columns


def _check_kind(
    outer: StrictTable,
    columns: Mapping[str, ColumnSource],
    names: Names,
    kinds_below: AbstractSet[str | None],
) -> None:
    kind, amount = columns["kind"], columns["amount"]
    for column in kind.by_column:
        if column not in amount.names:
            raise outer.fault(
                "kind",
                f'by_column: "{column}" is not a column of the amount',
                "name an amount column",
            )
    for part in amount.parts:
        if part in amount.less:
            raise outer.fault("amount", f'less: "{part.name}" is the amount itself', "name another")
        if part.name in names.parameters:
            raise outer.fault(
                "amount", f'"{part.name}" is a parameter', "an amount stands in its row"
            )
    words = {*(kind.words or {}).values(), *kind.by_sign, *kind.by_column.values(), kind.constant}
    words |= kinds_below
    if "refund" in words and "original_transaction_id" not in columns:
        raise outer.fault(
            "original_transaction_id",
            "missing, and kind can be refund",
            "say which column has the original; where files lack one, name an optional column "
            "for people to fill in",
        )


def _source(
    name: str, table: StrictTable, names: Names, words: tuple[str, ...] | None
) -> ColumnSource:
    dates = name in _INSTANTS or name in _DAYS
    for key in _OF_FORMS:
        if table.has(key) and not table.has("forms"):
            raise table.fault(
                key, "there are no forms that it could hold for", 'write forms = ["YYYY/MM/DD"]'
            )
    constant = table.optional_text("constant") if not dates and name != "amount" else None
    source = ColumnSource(
        constant=constant,
        parts=_parts(table, "from", names),
        join=table.text("join") if table.has("join") else " " if dates else "-",
        refund_parts=_parts(table, "refund_from", names),
        words=_words(table, words),
        dates=(
            parse_dates(table, names, with_time=name in _INSTANTS)
            if dates and table.has("forms")
            else None
        ),
        by_sign=_by_sign(table),
        by_column=_by_column(table, names),
        codes=parse_codes(table, names),
        less=_less(table, names),
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


def _parts(table: StrictTable, key: str, names: Names) -> tuple[TextPart, ...]:
    if not table.has(key):
        return ()
    return tuple(_part(table, key, part, names) for part in table.parts(key, _PART_KEYS))


def _part(table: StrictTable, key: str, part: str | StrictTable, names: Names) -> TextPart:
    if isinstance(part, str):
        return TextPart(names.checked(table, key, part))
    if part.has("amount"):
        if part.has("day"):
            raise part.fault("day", "there is an amount as well", "make two parts of them")
        return TextPart(names.column(part, "amount", part.text("amount")), amount=True)
    return TextPart(
        names.checked(part, "day", part.text("day")),
        parse_dates(part, names, with_time=True),
    )


def _less(table: StrictTable, names: Names) -> tuple[TextPart, ...]:
    if not table.has("less"):
        return ()
    return (TextPart(names.column(table, "less", table.text("less"))),)


def _words(table: StrictTable, known: tuple[str, ...] | None) -> Mapping[str, str] | None:
    if not table.has("map"):
        return None
    words = table.texts_by_name("map")
    alike: dict[str, str] = {}
    for value, word in words.items():
        if alike.setdefault(plain(value), word) != word:
            raise table.fault(
                f"map: {value[:MAX_ID_CHARACTERS]}",
                "another value looks the same and means something else",
                "values are compared without regard to width and kind of dash; leave one out",
            )
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


def _by_column(table: StrictTable, names: Names) -> Mapping[str, str]:
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
