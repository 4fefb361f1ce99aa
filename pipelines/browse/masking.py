"""IDs of people and accounts, masked wherever they stand in what was found."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
_PERSONAL: Final = frozenset(
    {"person_id", "account_id", "other_id", "enrolled_account_id", "delivered_person_id", "number"}
)
# Free text, and rows as they came, may name anybody.
_FREE: Final = frozenset({"raw", "note"})
_SHOWN: Final = 4
_LONG_ENOUGH: Final = 12


def masked_id(text: str) -> str:
    """An ID of which its end is left, so that rows can be told apart; nothing of a short one."""
    return f"…{text[-_SHOWN:]}" if len(text) >= _LONG_ENOUGH else "…"


def masked(value: _T, service: Callable[[str], str]) -> _T:
    """A copy of rows, entries or whole stories without the IDs of people and accounts.

    ``service`` gives a delivered service's ID as it may be shown.
    """
    return _masked(value, service)  # type: ignore[no-any-return]


def _masked(value: Any, service: Callable[[str], str]) -> Any:  # noqa: ANN401 - whatever a story is made of
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            field.name: _of(field.name, getattr(value, field.name), service)
            for field in fields(value)
            if field.init
        }
        return replace(value, **changed)
    if isinstance(value, dict):
        # What is undone is an event, and its ID names nobody.
        undone = value.get("kind") == "undone"
        return {
            name: item if undone and name == "other_id" else _of(name, item, service)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_masked(item, service) for item in value]
    return value


def _of(name: object, value: Any, service: Callable[[str], str]) -> Any:  # noqa: ANN401
    if isinstance(value, str) and name in _PERSONAL:
        return masked_id(value)
    if isinstance(value, str) and name in _FREE:
        return "…"
    if isinstance(value, str) and name == "service_id":
        return service(value)
    return _masked(value, service)
