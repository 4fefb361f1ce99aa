"""How a JSON value must look, and where another differs from that."""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple


class Matches(NamedTuple):
    """Any value for which this holds."""

    fits: Callable[[object], bool]


def _is_day(value: object) -> bool:
    try:
        return isinstance(value, str) and dt.date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


TEXT: Final = Matches(lambda value: isinstance(value, str))
TEXT_OR_NULL: Final = Matches(lambda value: value is None or isinstance(value, str))
TRUE_OR_FALSE: Final = Matches(lambda value: isinstance(value, bool))
COUNT: Final = Matches(lambda value: type(value) is int and value >= 0)
COUNT_OR_NULL: Final = Matches(lambda value: value is None or (type(value) is int and value >= 0))
DAY: Final = Matches(_is_day)
# It becomes a part of a file's name.
LAYOUT_ID: Final = Matches(
    lambda value: isinstance(value, str) and bool(re.fullmatch("[a-z0-9-]+", value))
)


@dataclass(frozen=True, slots=True)
class Each:
    """A list of such values, or an object with any keys and such values."""

    kind: type[list[Any]] | type[dict[str, Any]]
    value: Any


@dataclass(frozen=True, slots=True)
class Optionally:
    """A key that may be missing."""

    value: Any


def differences(expected: Any, actual: Any, at: str = "") -> Iterator[str]:  # noqa: ANN401 - JSON
    """Names every place in which a value is not as expected; says nothing of what stands there."""
    if isinstance(expected, Matches):
        if not expected.fits(actual):
            yield f"{at} has an invalid value"
    elif isinstance(expected, Each):
        if type(actual) is not expected.kind:
            yield f"{at} is not a {expected.kind.__name__}"
            return
        pairs: Iterable[tuple[Any, Any]] = (
            actual.items() if isinstance(actual, dict) else enumerate(actual, 1)
        )
        for name, value in pairs:
            yield from differences(expected.value, value, f"{at} {name}".strip())
    elif isinstance(expected, dict):
        if not isinstance(actual, dict):
            yield f"{at} is not an object"
            return
        for name, value in expected.items():
            optional = isinstance(value, Optionally)
            if name in actual:
                wanted = value.value if isinstance(value, Optionally) else value
                yield from differences(wanted, actual[name], f"{at}.{name}".strip("."))
            elif not optional:
                yield f"{at}.{name} is missing".strip(".")
        for name in actual.keys() - expected.keys():
            yield f"{at}.{name} does not belong there".strip(".")
    elif type(expected) is not type(actual) or expected != actual:
        yield f"{at} is not what the run's files say"
