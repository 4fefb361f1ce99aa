"""The section `[refunded]` of a layout: a refunded amount in a column of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.layouts.model import ColumnSource, RefundedAmount
from engine.layouts.names import Names
from engine.records import RoleName
from engine.terms.strict_toml import StrictTable

_KEYS: Final = ("amount", "suffix")


def parse_refunded(
    top: StrictTable, role: RoleName, names: Names, columns: Mapping[str, ColumnSource]
) -> RefundedAmount | None:
    """Where a row says how much of it was refunded; None where it does not."""
    table = top.optional_table("refunded", _KEYS)
    if table is None:
        return None
    if role != "transactions":
        raise top.fault("refunded", f"{role} cannot be refunds", "leave it out")
    amount = names.column(table, "amount", table.text("amount"))
    if amount in columns["amount"].names:
        raise table.fault("amount", f'"{amount}" is the amount itself', "name another column")
    return RefundedAmount(amount, table.identifier("suffix"))
