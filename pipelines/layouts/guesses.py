"""Guesses at what a column holds, from its name and its first values."""

import re
from collections.abc import Callable
from typing import Final

import polars as pl

from engine.layouts.amounts import read_amounts
from engine.layouts.dates import compile_form, read_dates
from pipelines.layouts.first_rows import FirstRows

_DATE_FORMS: Final = (
    *("YYYY-MM-DD HH:mm:ss", "YYYY/MM/DD HH:mm:ss", "YYYY/M/D H:mm:ss", "YYYY/M/D H:mm"),
    *("YYYYMMDDHHmmss", "YYYYMMDD HHmmss", "YYYYMMDD HH:mm:ss", "YYYY年M月D日 H時m分s秒"),
    *("YYYYMMDD HHmm", "YYYYMMDD H:mm", "YYYY-MM-DD HHmm", "YYYY/M/D HHmm", "YYYY-MM-DD H:mm"),
    *("YYYY年M月D日 H時m分", "YYYY年M月D日 H:mm:ss", "YYYY年M月D日 H:mm", "GE年M月D日 H:mm"),
    *("YYYY-MM-DD", "YYYY/MM/DD", "YYYY/M/D", "YYYYMMDD", "YYMMDD", "YYYY年M月D日", "GE年M月D日"),
    *("GE.M.D", "GEE.MM.DD", "GEEMMDD"),
    *("YYYY/M/D Ah:mm", "YYYY/M/D Ah:mm:ss", "YYYY/M/D A h:mm", "YYYY/M/D h:mm A"),
    *("YYYYMMDD A h:mm", "YYYYMMDD A h:mm:ss", "YYYY-MM-DD A h:mm", "YYYY/M/D A h:mm:ss"),
    *("YYYY-MM-DD A h:mm:ss", "YYYY年M月D日 A h時m分", "YYYY年M月D日 A h:mm"),
    *("YYYY/M/D h:mm:ss A", "YYYY-MM-DD Ah:mm", "YYYY年M月D日 Ah:mm", "YYYY年M月D日 Ah時m分"),
)
# Whoever they are numbered by, a customer may be another than the account.
CUSTOMERS: Final = ("顧客番号", "顧客ID", "顧客 ID", "お客様番号", "customer id")
# For each canonical column, words that a provider's name for it may contain; the first that is
# found in the header counts.
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
        *CUSTOMERS,
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
    "kind": (
        "取引区分",
        "利用区分",
        "取引種別",
        "取引内容",
        "ステータス",
        "種別",
        "区分",
        "kind",
        "status",
    ),
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
DATES: Final = (
    *("occurred_at", "applied_at", "card_applied_on", "reserved_at", "certificate_issued_at"),
    "preregistered_on",
)
_KINDS: Final = (
    ("refund", ("取消", "返品", "返金", "払戻", "refund")),
    ("charge", ("チャージ", "入金", "ﾁｬｰｼﾞ", "charge")),
    ("purchase", ("支払", "売上", "利用", "購入", "決済", "完了", "物販", "purchase")),
)
REFUNDED: Final = ("返金額", "返金金額", "払戻額", "refunded")
CURRENCIES: Final = ("通貨", "currency")
# Such as 11月支払金額, which the next file calls 12月支払金額.
OF_A_MONTH: Final = re.compile(r"(?:^|[^0-9０-９])(?:1[0-2]|[1-9]|１[０-２]|[１-９])月")
_HALVES: Final = frozenset({"午前", "午後", "AM", "PM", "am", "pm"})
_PAST_MIDNIGHT: Final = re.compile(r"(?:^|[^0-9:])2[4-9][:時][0-5]?[0-9]")
# A balance is not what was paid.
BALANCES: Final = ("残高", "残額", "balance", "Balance")


def guessed_column(column: str, sample: FirstRows, taken: dict[str, str]) -> str | None:
    """The file's column that a canonical column may be made from, if one looks like it."""
    free = [name for name in sample.names if name and name not in taken.values()]
    free = [name for name in free if not OF_A_MONTH.search(name)]
    if column == "service_id":
        free = [name for name in free if "決済サービスID" not in name]
    if column == "amount":
        free = [name for name in free if not any(word in name for word in BALANCES)]
    for hint in _HINTS[column]:
        for name in free:
            # Many names contain the character; names of dates end with it.
            fits = name.endswith(hint) if hint == "日" else hint.lower() in name.lower()
            of_original = name.startswith("元") and column != "original_transaction_id"
            if fits and not of_original and (column not in DATES or date_forms(sample, name)):
                return name
    if column == "transaction_id":
        plain = (name for name in free if name.lower() == "id")
        numbers = (name for name in free if _is_a_number_of_its_own(sample, name))
        return next(plain, None) or next(numbers, None)
    if column == "original_transaction_id":
        return next((name for name in free if name == f"元{taken.get('transaction_id')}"), None)
    if column == "occurred_at":
        return next((name for name in free if date_forms(sample, name)), None)
    if column == "amount":
        written = next((name for name in free if reads_as(sample, name, _are_amounts)), None)
        # Such as 支払: a column of amounts that is named after a kind.
        named = (name for name in free if kind_of(name) and reads_as(sample, name, are_numbers))
        return written or next(named, None)
    return None


def _is_a_number_of_its_own(sample: FirstRows, name: str) -> bool:
    """Whether a column is called a number and its values are all filled and different."""
    values = sample.values(name)
    called = name.endswith(("番号", "ID", "No", "No.", "NO")) and not name.startswith("元")
    return called and len(values) > 1 and "" not in values and len({*values}) == len(values)


def reads_as(sample: FirstRows, name: str, fits: Callable[[pl.Series], bool]) -> bool:
    """Whether a column has values, and all of them fit."""
    values = [value for value in sample.values(name) if value not in ("", "-")]
    return bool(values) and fits(pl.Series(values))


def _are_amounts(values: pl.Series) -> bool:
    return not read_amounts(values).unreadable.any() and bool(
        values.str.contains("[,円¥\\\\]").any()
    )


def are_numbers(values: pl.Series) -> bool:
    """Whether all values can be read as amounts."""
    return not read_amounts(values).unreadable.any()


def half_day_column(sample: FirstRows) -> str | None:
    """The column that says which half of the day a time is of, if one holds nothing else."""
    for name in sample.names:
        values = {value for value in sample.values(name) if value} if name else set()
        if values and values <= _HALVES:
            return name
    return None


def has_hours_past_midnight(sample: FirstRows, name: str) -> bool:
    """Whether a column has times such as 25:30."""
    return any(_PAST_MIDNIGHT.search(value) for value in sample.values(name))


def kinds_by_column(sample: FirstRows, taken: dict[str, str]) -> dict[str, str]:
    """The kind of each column, if payments are in one column and charges in another.

    Every row has exactly one of the two.
    """
    names = {
        name: kind
        for name in sample.names
        if (kind := kind_of(name)) in ("charge", "purchase")
        and name not in (taken.get("kind"), taken.get("occurred_at"))
        and not any(balance in name for balance in BALANCES)
        and reads_as(sample, name, are_numbers)
    }
    if taken.get("amount") not in names:
        return {}
    rows = list(zip(*(sample.values(name) for name in names), strict=True))
    apart = all(sum(value not in ("", "-", "0") for value in row) == 1 for row in rows)
    return names if len(names) == 2 and len({*names.values()}) == 2 and apart else {}


def date_forms(sample: FirstRows, name: str, *more: str) -> list[str]:
    """The form in which most of a column's values are written, the strictest of several; ``more``
    columns are joined to it.
    """
    columns = [sample.values(column) for column in (name, *more)]
    joined = [" ".join(cells) for cells in zip(*columns, strict=True) if all(cells)]
    values = [value for value in joined if value != "-"]
    if not values:
        return []
    series = pl.Series(values)
    readable = {
        text: len(series)
        - read_dates(series, [compile_form(text)], past_midnight=True).null_count()
        for text in _DATE_FORMS
    }
    best = max(readable, key=lambda text: readable[text])
    return [best] if readable[best] * 2 > len(series) else []


def kind_of(value: str) -> str | None:
    """The kind that a word of a provider seems to mean; of a part that was refunded, none."""
    if "一部" in value or "partial" in value.lower():
        return None
    return next((kind for kind, words in _KINDS if any(word in value for word in words)), None)
