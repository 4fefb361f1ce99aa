"""``mynapoint layout new``: a first draft of a layout from a file's header, for people to finish.

What the header's names and the first rows tell is written down; what they do not tell is asked
for as a parameter, so that the draft can be read and tried at once. Every guess says so.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from engine.errors import InputError
from engine.io.delivered.deliveries import find_delivered
from engine.io.delivered.encodings import is_likely, likely_encoding, not_text
from engine.io.delivered.recognising import first_bytes
from engine.layouts.amounts import read_amounts
from engine.layouts.dates import compile_form, read_dates
from engine.layouts.model import MAX_LINES_AHEAD
from engine.layouts.names import numbered
from engine.records import BLANKS, RoleName

_SAMPLED_BYTES: Final = 1 << 16
_SEPARATORS: Final = (",", "\t", ";", "|")
_MOST_VALUES: Final = 20
_DATE_FORMS: Final = (
    *("YYYY-MM-DD HH:mm:ss", "YYYY/MM/DD HH:mm:ss", "YYYY/M/D H:mm:ss", "YYYY/M/D H:mm"),
    *("YYYYMMDDHHmmss", "YYYYMMDD HHmmss", "YYYYMMDD HH:mm:ss", "YYYY年M月D日 H時m分s秒"),
    *("YYYYMMDD HHmm", "YYYYMMDD H:mm", "YYYY-MM-DD HHmm", "YYYY/M/D HHmm", "YYYY-MM-DD H:mm"),
    *("YYYY年M月D日 H時m分", "YYYY年M月D日 H:mm:ss", "YYYY年M月D日 H:mm", "GE年M月D日 H:mm"),
    *("YYYY-MM-DD", "YYYY/MM/DD", "YYYY/M/D", "YYYYMMDD", "YYMMDD", "YYYY年M月D日", "GE年M月D日"),
    *("GE.M.D", "GEE.MM.DD", "GEEMMDD"),
)
# By canonical column, what its name may have; the first that a header has is taken.
_HINTS: Final[dict[str, tuple[str, ...]]] = {
    "transaction_id": ("取引番号", "決済番号", "注文番号", "取引ID", "伝票番号", "transaction_id"),
    "account_id": (
        "会員番号",
        "会員ID",
        "利用者ID",
        "アカウント",
        "カード番号",
        "カードID",
        # What the programme calls an account with a payment service.
        "決済サービスID",
        "account",
    ),
    "service_id": ("サービスID", "service_id"),
    "occurred_at": (
        "取引日時",
        "利用日時",
        "決済日時",
        "日時",
        "取引日",
        "利用日",
        "年月日",
        "日付",
        "日",
    ),
    "amount": ("取引金額", "利用金額", "決済金額", "金額", "利用額", "amount"),
    "kind": ("取引区分", "利用区分", "取引種別", "取引内容", "ステータス", "種別", "区分", "kind"),
    "original_transaction_id": ("元取引番号", "元取引ID", "元伝票番号", "original"),
    "method": ("支払い方法", "支払方法", "決済方法", "取引方法", "支払区分", "method"),
    "person_id": ("申込者ID", "利用者番号", "マイキーID", "person_id"),
    "applied_at": ("申込日時", "申込日", "applied_at"),
    "card_applied_on": ("交付申請日", "カード申請日", "card_applied_on"),
    "basis": ("付与対象", "basis"),
    "reserved_at": ("予約日時", "予約日", "reserved_at"),
    "certificate_issued_at": ("証明書発行日時", "証明書発行日", "certificate_issued_at"),
    "preregistered_on": ("事前登録日", "preregistered_on"),
}
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
_DATES: Final = (
    *("occurred_at", "applied_at", "card_applied_on", "reserved_at", "certificate_issued_at"),
    "preregistered_on",
)
_OPTIONAL: Final = ("method", "basis", "reserved_at", "certificate_issued_at", "preregistered_on")
_KINDS: Final = (
    ("refund", ("取消", "返品", "返金", "払戻", "refund")),
    ("charge", ("チャージ", "入金", "ﾁｬｰｼﾞ", "charge")),
    ("purchase", ("支払", "売上", "利用", "購入", "決済", "完了", "物販", "purchase")),
)
# What is left on a card is not what was paid.
_BALANCES: Final = ("残高", "残額", "balance", "Balance")
_TOTALS: Final = ("合計", "総合計", "総計", "小計")
_FAILED: Final = ("失敗", "中止", "障害", "キャンセル", "エラー")


@dataclass(frozen=True, slots=True)
class _Sample:
    """A file's first rows, by column."""

    encoding: str
    separator: str
    names: tuple[str, ...]
    rows: list[list[str]]

    def values(self, name: str) -> list[str]:
        place = self.names.index(name)
        return [row[place].strip(BLANKS) for row in self.rows if len(row) == len(self.names)]


def draft(path: Path, role: RoleName) -> str:
    """The text of a layout that is a first guess at a file.

    Raises:
        InputError: no header can be found.
    """
    sample = _sample(path)
    taken: dict[str, str] = {}
    for column in _COLUMNS[role]:
        name = _guess(column, sample, taken)
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
    # A column without a name cannot be asked for by it.
    lines += [f"    {_quoted(re.sub(_AGAIN, '', name))}," for name in sample.names if name]
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
        taken["amount"] = sample.names[-1]
        lines += [
            "# TODO: no column was recognised as the amount; below, the last one stands for it."
        ]
    for column in _COLUMNS[role]:
        lines += _column(column, sample, taken, asked)
    lines += _skips(sample)
    return "\n".join(lines).rstrip("\n") + "\n"


_ORIGINAL: Final = "元取引ID"
_AGAIN: Final = re.compile(r" \([0-9]+\)$")


def _sample(path: Path) -> _Sample:
    delivered = find_delivered([path], "layout new")
    if len(delivered) != 1:
        raise InputError(f"{path}: these are several files", hint="name one file")
    data = first_bytes(delivered[0])[:_SAMPLED_BYTES]
    no_text = not_text(str(path), data)
    if no_text is not None:
        raise no_text
    encoding = _encoding(data)
    if encoding is None:
        likely = likely_encoding(data, "") or "no encoding of Japanese text"
        raise InputError(
            f"{path}: the file is neither UTF-8 nor CP932",
            hint=f"it looks like {likely}; have it delivered as UTF-8 or CP932",
        )
    text = data.decode(encoding, "replace").lstrip("\ufeff")
    if len(data) == _SAMPLED_BYTES:
        text = text[: text.rfind("\n") + 1]
    best: tuple[int, str, list[list[str]]] | None = None
    for separator in _SEPARATORS:
        records = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
        place = _header_place(records)
        if place is not None:
            records = records[place:]
            fields = len(records[0])
            if best is None or fields > best[0]:
                best = (fields, separator, records)
    if best is None:
        raise InputError(
            f"{path}: no line looks like a header: three names or more, and rows as wide below it",
            hint="for fixed records copy a layout: mynapoint layouts zengin-account-transfer",
        )
    _, separator, records = best
    names = numbered([cell.strip(BLANKS) for cell in records[0]])
    return _Sample(encoding, separator, names, records[1:])


def _encoding(data: bytes) -> str | None:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        # UTF-16, of which much could be CP932.
        return None
    return next((one for one in ("utf-8", "cp932") if is_likely(data, one)), None)


def _header_place(records: Sequence[Sequence[str]]) -> int | None:
    """The first line of three names or more that has rows as wide below it, and no number."""
    widths = Counter(len(record) for record in records)
    for place, record in enumerate(records[: MAX_LINES_AHEAD + 1]):
        cells = [cell.strip(BLANKS) for cell in record]
        named = [cell for cell in cells if cell and not re.search(r"^[\\¥+-]?[0-9]", cell)]
        if (
            len(record) >= 3
            and len(named) * 4 >= len(record) * 3
            and (widths[len(record)] > 1 or len(records) == place + 1)
        ):
            return place
    return None


def _guess(column: str, sample: _Sample, taken: dict[str, str]) -> str | None:
    free = [name for name in sample.names if name and name not in taken.values()]
    if column == "service_id":
        free = [name for name in free if "決済サービスID" not in name]
    if column == "amount":
        free = [name for name in free if not any(word in name for word in _BALANCES)]
    for hint in _HINTS[column]:
        for name in free:
            # Many names have the character; of dates it is the last.
            fits = name.endswith(hint) if hint == "日" else hint in name
            of_original = name.startswith("元") and column != "original_transaction_id"
            if fits and not of_original and (column not in _DATES or _forms(sample, name)):
                return name
    if column == "transaction_id":
        return next((name for name in free if _is_a_number_of_its_own(sample, name)), None)
    if column == "original_transaction_id":
        return next((one for one in free if one == f"元{taken.get('transaction_id')}"), None)
    if column == "occurred_at":
        return next((name for name in free if _forms(sample, name)), None)
    if column == "amount":
        written = next((name for name in free if _reads(sample, name, _is_amount)), None)
        # Such as 支払: what is paid, by the name of the kind.
        named = (name for name in free if _kind_of(name) and _reads(sample, name, _is_number))
        return written or next(named, None)
    return None


def _is_a_number_of_its_own(sample: _Sample, name: str) -> bool:
    """Whether each row has another value in a column whose name says that it is a number."""
    values = sample.values(name)
    called = name.endswith(("番号", "ID", "No", "No.", "NO")) and not name.startswith("元")
    return called and len(values) > 1 and "" not in values and len({*values}) == len(values)


def _reads(sample: _Sample, name: str, fits: Callable[[pl.Series], bool]) -> bool:
    values = [value for value in sample.values(name) if value not in ("", "-")]
    return bool(values) and fits(pl.Series(values))


def _is_amount(values: pl.Series) -> bool:
    return not read_amounts(values).unreadable.any() and bool(
        values.str.contains("[,円¥\\\\]").any()
    )


def _is_number(values: pl.Series) -> bool:
    return not read_amounts(values).unreadable.any()


def _in_and_out(sample: _Sample, taken: dict[str, str]) -> dict[str, str]:
    """By column, the kind, where a payment stands in one column and a charge in another.

    Not one row has both, and every row has one of the two.
    """
    names = {
        name: kind
        for name in sample.names
        if (kind := _kind_of(name)) in ("charge", "purchase")
        and name not in (taken.get("kind"), taken.get("occurred_at"))
        and _reads(sample, name, _is_number)
    }
    if taken.get("amount") not in names:
        return {}
    rows = list(zip(*(sample.values(name) for name in names), strict=True))
    apart = all(sum(value not in ("", "-", "0") for value in row) == 1 for row in rows)
    return names if len(names) == 2 and len({*names.values()}) == 2 and apart else {}


def _forms(sample: _Sample, name: str, more: str | None = None) -> list[str]:
    """The form in which most of a column's values are written, the strictest of several."""
    values = [value for value in sample.values(name) if value not in ("", "-")]
    if more is not None:
        pairs = zip(sample.values(name), sample.values(more), strict=True)
        values = [f"{one} {other}" for one, other in pairs if one and other]
    if not values:
        return []
    series = pl.Series(values)
    readable = {
        text: len(series) - read_dates(series, [compile_form(text)]).null_count()
        for text in _DATE_FORMS
    }
    best = max(readable, key=lambda text: readable[text])
    return [best] if readable[best] * 2 > len(series) else []


def _empty(sample: _Sample) -> list[str]:
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


def _column(column: str, sample: _Sample, taken: dict[str, str], asked: Sequence[str]) -> list[str]:
    if column in asked:
        lines = [f"from = {_quoted(column)}"]
    elif column == "amount" and (both := _in_and_out(sample, taken)):
        lines = [f"from = [{', '.join(map(_quoted, both))}]"]
    elif column == "kind" and "kind" not in taken and (both := _in_and_out(sample, taken)):
        kinds = ", ".join(f"{_quoted(name)} = {_quoted(kind)}" for name, kind in both.items())
        lines = [f"by_column = {{ {kinds} }}"]
    elif column == "kind":
        lines = _kind(sample, taken.get("kind"), taken["amount"])
    elif column == "original_transaction_id":
        lines = _original(sample, taken)
    elif column in taken and column in _DATES:
        lines = _date(column, taken[column], sample)
    elif column in taken:
        lines = [f"from = {_quoted(taken[column])}"]
    elif column == "transaction_id":
        lines = _composed(sample, taken)
    else:
        return []
    return [f"[columns.{column}]", *lines, ""]


def _original(sample: _Sample, taken: dict[str, str]) -> list[str]:
    name = taken.get("original_transaction_id")
    if name is None:
        return [f"from = {_quoted(_ORIGINAL)}"]
    filled = [value not in ("", "-") for value in sample.values(name)]
    if any(one and not refund for one, refund in zip(filled, _refunds(sample, taken), strict=True)):
        return ["# Other rows fill the column, too.", f"refund_from = {_quoted(name)}"]
    return [f"from = {_quoted(name)}"]


def _refunds(sample: _Sample, taken: dict[str, str]) -> list[bool]:
    """Which rows the draft takes for refunds."""
    if "kind" not in taken:
        return [False] * len(sample.values(taken["amount"]))
    words = [_kind_of(value) == "refund" for value in sample.values(taken["kind"])]
    amounts = read_amounts(pl.Series(sample.values(taken["amount"]), dtype=pl.String))
    return [word or sign for word, sign in zip(words, amounts.negative, strict=True)]


def _kind_of(value: str) -> str | None:
    return next((kind for kind, words in _KINDS if any(word in value for word in words)), None)


def _composed(sample: _Sample, taken: dict[str, str]) -> list[str]:
    """An ID of what a row has, for files without numbers of transactions."""
    parts = [_quoted(taken.get("account_id", "account_id"))]
    if "occurred_at" in taken:
        forms = ", ".join(map(_quoted, _forms(sample, taken["occurred_at"])))
        parts.append(f"{{ day = {_quoted(taken['occurred_at'])}, forms = [{forms}] }}")
    if "kind" in taken:
        parts.append(_quoted(taken["kind"]))
    balance = next((name for name in sample.names if any(b in name for b in _BALANCES)), None)
    if balance is not None and _reads(sample, balance, _is_number):
        # It is another after each payment.
        parts.append(f"{{ amount = {_quoted(balance)} }}")
    else:
        both = _in_and_out(sample, taken) or [taken["amount"]]
        parts += [f"{{ amount = {_quoted(name)} }}" for name in both]
    return [
        "# No column was recognised as the transaction's number: rows that are equal in these are",
        "# numbered in the file's order. Deliver whole days: see docs/layouts.md.",
        "from = [",
        *(f"    {part}," for part in parts),
        "]",
        "number_equal_rows = true",
    ]


def _date(column: str, name: str, sample: _Sample) -> list[str]:
    forms, todo = _forms(sample, name), list[str]()
    time = next((one for one in sample.names if one.endswith(("時刻", "時間"))), None)
    if time is not None and column == "occurred_at":
        both = _forms(sample, name, time)
        if both:
            listed = ", ".join(map(_quoted, both))
            return [f"from = [{_quoted(name)}, {_quoted(time)}]", f"forms = [{listed}]"]
        todo = [f"# TODO: the time stands in {_quoted(time)}, in a form that was not recognised."]
    if forms == ["YYYY-MM-DD HH:mm:ss"]:
        return [*todo, f"from = {_quoted(name)}"]
    return [*todo, f"from = {_quoted(name)}", f"forms = [{', '.join(map(_quoted, forms))}]"]


def _has_negative(sample: _Sample, amount: str) -> bool:
    return bool(read_amounts(pl.Series(sample.values(amount), dtype=pl.String)).negative.any())


def _kind(sample: _Sample, name: str | None, amount: str) -> list[str]:
    if name is None:
        return [
            "# No column was recognised as the kind: charge, purchase or refund.",
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
        kind = _kind_of(value)
        mark = "" if kind else "  # TODO: a guess"
        lines.append(f"{_quoted(value)} = {_quoted(kind or 'purchase')}{mark}")
    return lines


def _skips(sample: _Sample) -> list[str]:
    """Rows that seem to be no payments: totals, and what did not succeed."""
    lines = []
    for name in sample.names:
        values = {*sample.values(name)} if name else set()
        failed = sorted(one for one in values if any(word in one for word in _FAILED))
        if failed and len(values) <= _MOST_VALUES:
            listed = ", ".join(map(_quoted, failed))
            lines += ["[[skip]]", 'reason = "failed"']
            lines += [f"column = {_quoted(name)}", f"is = [{listed}]", ""]
    firsts = {row[0].strip(BLANKS) for row in sample.rows if row}
    for word in _TOTALS:
        if any(first.startswith(word) for first in firsts):
            lines += ["[[skip]]", 'reason = "total"', f"line_begins = {_quoted(word)}", ""]
    return lines


def _quoted(text: str) -> str:
    escaped = "".join(
        {"\\": "\\\\", '"': '\\"', "\t": "\\t"}.get(c, c if c.isprintable() else f"\\u{ord(c):04x}")
        for c in text
    )
    return f'"{escaped}"'
