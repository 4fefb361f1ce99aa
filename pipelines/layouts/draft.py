"""``mynapoint layout new``: a first draft of a layout from a file's header, for people to finish.

What the header's names and the first rows tell is written down; what they do not tell is asked
for as a parameter, so that the draft can be read and tried at once. Every guess says so.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from engine.layouts.amounts import read_amounts
from engine.records import BLANKS, RoleName
from pipelines.layouts.first_rows import FirstRows, read_sample
from pipelines.layouts.guesses import (
    BALANCES,
    CURRENCIES,
    CUSTOMERS,
    DATES,
    OF_A_MONTH,
    REFUNDED,
    are_numbers,
    date_forms,
    guessed_column,
    half_day_column,
    has_hours_past_midnight,
    kind_of,
    kinds_by_column,
    reads_as,
)

_MOST_VALUES: Final = 20
_MOST_HEADINGS: Final = 5
_COLUMNS: Final = {
    "transactions": (
        *("transaction_id", "service_id", "account_id", "occurred_at", "kind", "amount"),
        *("original_transaction_id", "method"),
    ),
    "enrollments": (
        *("person_id", "service_id", "account_id", "applied_at", "card_applied_on", "basis"),
        *("reserved_at", "certificate_issued_at", "preregistered_on"),
    ),
}
_OPTIONAL: Final = ("method", "basis", "reserved_at", "certificate_issued_at", "preregistered_on")
_TOTALS: Final = ("合計", "総合計", "総計", "小計")
_FAILED: Final = ("失敗", "中止", "障害", "キャンセル", "エラー", "Failed", "failed", "Error")


def draft(path: Path, role: RoleName) -> str:
    """The text of a layout that is a first guess at a file.

    Raises:
        InputError: no header can be found.
    """
    sample = read_sample(path)
    taken: dict[str, str] = {}
    for column in _COLUMNS[role]:
        name = guessed_column(column, sample, taken)
        if name is not None:
            taken[column] = name
    # The file name's stem, dates removed.
    stem = re.sub("[^a-z0-9]+", "-", re.sub("[0-9]{4,}", "", path.name.split(".")[0].lower()))
    stem = stem.strip("-")[:40].strip("-")
    lines = [
        "# A first draft from the file's header and first rows: check each line, then try it with",
        f"#     mynapoint preview FILE --layout {stem or 'my-provider'}.toml",
        "# What the forms mean: docs/layouts.md, docs/layouts.ja.md",
        "",
        f"layout_id = {_quoted(stem or 'my-provider')}",
        'name = "TODO: the provider and the file"',
        f"role = {_quoted(role)}",
        'follows = "TODO: where the form is described"',
        "",
        "[file]",
        f"encoding = {_quoted(sample.encoding)}",
    ]
    if sample.separator != ",":
        lines.append(f"separator = {_quoted(sample.separator)}")
    lines.append("header = [")
    # A column without a name cannot be named in the header.
    lines += [f"    {_quoted(_AGAIN.sub('', name))}," for name in sample.names if _is_kept(name)]
    of_months = [name for name in sample.names if OF_A_MONTH.search(name)]
    if of_months:
        listed = ", ".join(map(_quoted, of_months))
        lines.append(f"    # TODO: left out, since they seem to be named after a month: {listed}")
    lines += ["]", *_empty(sample)]
    if "original_transaction_id" not in taken and role == "transactions":
        lines.append(f"optional = [{_quoted(_ORIGINAL)}]  # a column for people to fill in")
    lines.append("")
    asked = [column for column in _COLUMNS[role] if column not in (*taken, *_OPTIONAL, "kind")]
    asked = [column for column in asked if column not in ("amount", "original_transaction_id")]
    if "transaction_id" in asked:
        asked.remove("transaction_id")
    for column in asked:
        lines += _parameter(column)
    if role == "transactions" and "amount" not in taken:
        free = [name for name in sample.names if _is_kept(name) and name not in taken.values()]
        free = [name for name in free if not any(balance in name for balance in BALANCES)]
        numbers = (name for name in free if reads_as(sample, name, are_numbers))
        taken["amount"] = next(numbers, free[-1] if free else sample.names[-1])
        guess = _quoted(taken["amount"])
        lines += [f"# TODO: no column was recognised as the amount; {guess} is a guess."]
    for column in _COLUMNS[role]:
        lines += _column(column, sample, taken, asked)
    lines += _skips(sample)
    lines += _headings(sample)
    lines += _doubts(sample, taken)
    return "\n".join(lines).rstrip("\n") + "\n"


_ORIGINAL: Final = "元取引ID"
_AGAIN: Final = re.compile(r" \([0-9]+\)$")


def _empty(sample: FirstRows) -> list[str]:
    if any("-" in sample.values(name) for name in sample.names if name):
        return ['empty = ["-"]']
    return []


def _parameter(column: str) -> list[str]:
    return [
        f"[parameters.{column}]",
        f'asks = "TODO: no column was recognised as the {column}"',
        *(['form = "day"'] if column == "card_applied_on" else []),
        "",
    ]


def _column(
    column: str, sample: FirstRows, taken: dict[str, str], asked: Sequence[str]
) -> list[str]:
    if column in asked:
        lines = [f"from = {_quoted(column)}"]
    elif column == "amount" and (both := kinds_by_column(sample, taken)):
        lines = [f"from = [{', '.join(map(_quoted, both))}]"]
    elif column == "kind" and "kind" not in taken and (both := kinds_by_column(sample, taken)):
        kinds = ", ".join(f"{_quoted(name)} = {_quoted(kind)}" for name, kind in both.items())
        lines = [f"by_column = {{ {kinds} }}"]
    elif column == "kind":
        lines = _kind(sample, taken.get("kind"), taken["amount"])
    elif column == "original_transaction_id":
        lines = _original(sample, taken)
    elif column in taken and column in DATES:
        lines = _date(column, taken[column], sample)
    elif column in taken:
        lines = [f"from = {_quoted(taken[column])}"]
        if column == "account_id" and any(c in taken[column].lower() for c in CUSTOMERS):
            lines[0] += "  # TODO: a guess: is it the ID as in the enrollments?"
    elif column == "transaction_id":
        lines = _composed(sample, taken)
    else:
        return []
    return [f"[columns.{column}]", *lines, ""]


def _original(sample: FirstRows, taken: dict[str, str]) -> list[str]:
    name = taken.get("original_transaction_id")
    if name is None:
        return [f"from = {_quoted(_ORIGINAL)}"]
    filled = [value not in ("", "-") for value in sample.values(name)]
    if any(
        is_filled and not refund
        for is_filled, refund in zip(filled, _refunds(sample, taken), strict=True)
    ):
        return ["# Other rows fill the column, too.", f"refund_from = {_quoted(name)}"]
    return [f"from = {_quoted(name)}"]


def _refunds(sample: FirstRows, taken: dict[str, str]) -> list[bool]:
    """Which rows the draft takes for refunds."""
    if "kind" not in taken:
        return [False] * len(sample.values(taken["amount"]))
    words = [kind_of(value) == "refund" for value in sample.values(taken["kind"])]
    amounts = read_amounts(pl.Series(sample.values(taken["amount"]), dtype=pl.String))
    return [word or sign for word, sign in zip(words, amounts.negative, strict=True)]


def _composed(sample: FirstRows, taken: dict[str, str]) -> list[str]:
    """An ID made of several columns, for files that do not number their transactions."""
    todo = list[str]()
    parts = [_quoted(taken.get("account_id", "account_id"))]
    if "occurred_at" in taken:
        forms = ", ".join(map(_quoted, date_forms(sample, taken["occurred_at"])))
        parts.append(f"{{ day = {_quoted(taken['occurred_at'])}, forms = [{forms}] }}")
    if "kind" in taken:
        parts.append(_quoted(taken["kind"]))
    balance = next((name for name in sample.names if any(b in name for b in BALANCES)), None)
    if balance is not None and reads_as(sample, balance, are_numbers):
        parts.append(f"{{ amount = {_quoted(balance)} }}")
        todo = ["# TODO: a guess: that the balance changes with each row."]
    else:
        both = kinds_by_column(sample, taken) or [taken["amount"]]
        parts += [f"{{ amount = {_quoted(name)} }}" for name in both]
    return [
        "# No column was recognised as the transaction's number: rows that are equal in these are",
        "# numbered in the file's order. Deliver whole days: see docs/layouts.md.",
        *todo,
        "from = [",
        *(f"    {part}," for part in parts),
        "]",
        "number_equal_rows = true",
    ]


def _date(column: str, name: str, sample: FirstRows) -> list[str]:
    forms, todo = date_forms(sample, name), list[str]()
    time = next((name for name in sample.names if name.endswith(("時刻", "時間"))), None)
    if time is not None and column == "occurred_at":
        half = half_day_column(sample)
        names = [name, half, time] if half else [name, time]
        both = date_forms(sample, *names)
        if both:
            listed = ", ".join(map(_quoted, names))
            is_late = any(has_hours_past_midnight(sample, name) for name in names)
            forms_line = f"forms = [{_quoted(both[0])}]"
            return [f"from = [{listed}]", forms_line, *_past_midnight(is_late)]
        todo = [f"# TODO: the time stands in {_quoted(time)}, in a form that was not recognised."]
    if column == "occurred_at" and "UTC" in name.upper():
        listed = f"forms = [{', '.join(map(_quoted, forms))}]"
        return [f"from = {_quoted(name)}", listed, 'zone = "+00:00"  # TODO: a guess']
    late = _past_midnight(column == "occurred_at" and has_hours_past_midnight(sample, name))
    if forms == ["YYYY-MM-DD HH:mm:ss"]:
        return [*todo, f"from = {_quoted(name)}", *late]
    listed = ", ".join(map(_quoted, forms))
    return [*todo, f"from = {_quoted(name)}", f"forms = [{listed}]", *late]


def _past_midnight(there_are: bool) -> list[str]:  # noqa: FBT001
    """The key by which 25:30 is half past one of the next day, where there are such hours."""
    return ["past_midnight = true  # TODO: a guess: 25:30 is 01:30 of the next day"] * there_are


def _has_negative(sample: FirstRows, amount: str) -> bool:
    return bool(read_amounts(pl.Series(sample.values(amount), dtype=pl.String)).negative.any())


def _kind(sample: FirstRows, name: str | None, amount: str) -> list[str]:
    if name is None:
        return [
            "# TODO: no column was recognised as the kind: charge, purchase or refund.",
            'constant = "purchase"',
        ]
    counted = Counter(value for value in sample.values(name) if value)
    lines = [f"from = {_quoted(name)}"]
    if _has_negative(sample, amount):
        lines.append('by_sign = { negative = "refund" }  # TODO: a guess')
    lines += ["", "[columns.kind.map]"]
    for value, _ in counted.most_common(_MOST_VALUES):
        if any(word in value for word in _FAILED):
            continue
        kind = kind_of(value)
        mark = "" if kind else "  # TODO: a guess"
        lines.append(f"{_quoted(value)} = {_quoted(kind or 'purchase')}{mark}")
    return lines


def _skips(sample: FirstRows) -> list[str]:
    """Rows that do not seem to be payments: totals, and payments that failed."""
    lines = []
    for name in sample.names:
        values = {*sample.values(name)} if name else set()
        failed = sorted(value for value in values if any(word in value for word in _FAILED))
        if failed and len(values) <= _MOST_VALUES:
            listed = ", ".join(map(_quoted, failed))
            lines += ["[[skip]]", 'reason = "failed"']
            lines += [f"column = {_quoted(name)}", f"is = [{listed}]", ""]
    firsts = {row[0].strip(BLANKS) for row in sample.rows if row}
    for word in _TOTALS:
        if any(first.startswith(word) for first in firsts):
            lines += ["[[skip]]", 'reason = "total"', f"line_begins = {_quoted(word)}", ""]
    for name in sample.names[1:]:
        totals = sorted({*sample.values(name)} & {*_TOTALS}) if _is_kept(name) else []
        if totals:
            listed = ", ".join(map(_quoted, totals))
            lines += ["# TODO: a guess: a total and no payment.", "[[skip]]", 'reason = "total"']
            lines += [f"column = {_quoted(name)}", f"is = [{listed}]", ""]
    return lines


def _headings(sample: FirstRows) -> list[str]:
    """Lines that may change what the rows below them mean, for people to describe."""
    lines = []
    for number, row in sample.headings[:_MOST_HEADINGS]:
        filled = [cell for cell in row if cell]
        if filled[0].startswith(_TOTALS):
            continue
        if len(filled) > 1:
            lines += [
                f"# TODO: row {number} is the header of another table: describe it, or have the",
                "# table delivered as a file of its own.",
                "# [[sections]]",
                '# reason = "other_table"',
                f"# header = [{', '.join(map(_quoted, filled))}]",
                "# renamed = {}",
                "",
            ]
        else:
            lines += [
                f"# TODO: row {number} is a heading: say what it changes for the rows below, with",
                "# sets, kind or ends; or leave it out with [[skip]] if it changes nothing.",
                "# [[sections]]",
                '# reason = "heading"',
                f"# line_begins = {_quoted(filled[0])}",
                "",
            ]
    return lines


def _doubts(sample: FirstRows, taken: dict[str, str]) -> list[str]:
    """Columns that the draft does not read, and that may change what a row means."""
    lines = []
    for name in sample.names:
        lowered = name.lower()
        if name in taken.values() or not _is_named(name):
            continue
        if any(word in lowered for word in REFUNDED) and reads_as(sample, name, are_numbers):
            lines += [
                f"# TODO: {_quoted(name)} may say how much was refunded; for a refund of its own:",
                "# [refunded]",
                f"# amount = {_quoted(name)}",
                '# suffix = "-refund"',
                "",
            ]
        if any(word in lowered for word in CURRENCIES):
            lines += [
                f"# TODO: {_quoted(name)} may name other currencies; leave their rows out:",
                "# [[skip]]",
                '# reason = "other_currency"',
                f"# column = {_quoted(name)}",
                '# is = ["USD"]',
                "",
            ]
    return lines


def _is_kept(name: str) -> bool:
    return _is_named(name) and not OF_A_MONTH.search(name)


def _is_named(name: str) -> bool:
    return bool(_AGAIN.sub("", name).strip())


def _quoted(text: str) -> str:
    escaped = "".join(
        {"\\": "\\\\", '"': '\\"', "\t": "\\t"}.get(c, c if c.isprintable() else f"\\u{ord(c):04x}")
        for c in text
    )
    return f'"{escaped}"'
