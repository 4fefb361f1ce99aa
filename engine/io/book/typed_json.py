"""Dataclasses as JSON objects and back. An object that is read must have every key and no other,
each with a value of its type; a whole number is at least 0.

A field with a default is left out of the object when it has that value. A field that was added by a
later format (``since`` in its metadata) is in no object of an earlier format and in all others.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

_Reader = Callable[[Any, int], Any]


class MalformedError(ValueError):
    """A value does not have its type; the text says where."""


def no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's keys and values, for ``json.loads``: readers disagree about a key that is twice.

    Raises:
        MalformedError: naming the key.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise MalformedError(f"{next(n for n in names if names.count(n) > 1)} stands there twice")
    return found


def as_json(value: Any, book_format: int) -> Any:  # noqa: ANN401 - JSON
    """A value as JSON has it."""
    if isinstance(value, dict):
        return {name: as_json(item, book_format) for name, item in value.items()}
    if isinstance(value, tuple):
        return [as_json(item, book_format) for item in value]
    if isinstance(value, dt.date):
        return value.isoformat()
    if not is_dataclass(value):
        return value
    return {
        field.name: as_json(item, book_format)
        for field in fields(value)
        if _stands_in(field, item := getattr(value, field.name), book_format)
    }


def _stands_in(field: "Field[Any]", item: object, book_format: int) -> bool:
    if "since" in field.metadata:
        return bool(book_format >= field.metadata["since"])
    if field.default_factory is not MISSING:
        return bool(item != field.default_factory())
    return item != field.default


def of_json(kind: Any, value: Any, book_format: int) -> Any:  # noqa: ANN401 - any type, JSON
    """The value of a type that a JSON value stands for.

    Raises:
        MalformedError: it is not a value of the type.
    """
    return _reader(kind)(value, book_format)


@cache
def _reader(kind: Any) -> _Reader:  # noqa: ANN401 - any type
    if is_dataclass(kind):
        return _object_reader(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is UnionType:
        [inner] = (_reader(argument) for argument in arguments if argument is not NoneType)
        return lambda value, number: None if value is None else inner(value, number)
    if origin is Literal:
        return _word_reader(arguments)
    if origin is tuple:
        return _list_reader(_reader(arguments[0]))
    if origin is dict:
        return _dict_reader(_reader(arguments[1]))
    return _SCALARS[kind]


def _list_reader(read_item: _Reader) -> _Reader:
    def read(value: Any, number: int) -> Any:  # noqa: ANN401 - JSON
        if type(value) is not list:
            raise MalformedError(": this is not a list")
        items = []
        for place, item in enumerate(value, 1):
            try:
                items.append(read_item(item, number))
            except MalformedError as error:
                raise MalformedError(f"[{place}]{error}") from error
        return tuple(items)

    return read


def _dict_reader(read_item: _Reader) -> _Reader:
    def read(value: Any, number: int) -> Any:  # noqa: ANN401 - JSON
        items = {}
        for name, item in _checked_object(value).items():
            try:
                items[name] = read_item(item, number)
            except MalformedError as error:
                raise MalformedError(f".{name}{error}") from error
        return items

    return read


def _object_reader(kind: Any) -> _Reader:  # noqa: ANN401 - a dataclass
    types = get_type_hints(kind)
    readers = {field.name: _reader(types[field.name]) for field in fields(kind)}

    @cache
    def names(number: int) -> tuple[frozenset[str], frozenset[str]]:
        """The keys that there may be in a format, and those that there must be."""
        known = [field for field in fields(kind) if field.metadata.get("since", 1) <= number]
        needed = [
            field.name
            for field in known
            if "since" in field.metadata or (field.default is field.default_factory is MISSING)
        ]
        return frozenset(field.name for field in known), frozenset(needed)

    def read(value: Any, number: int) -> Any:  # noqa: ANN401 - JSON
        known, needed = names(number)
        there = _checked_object(value).keys()
        for name in sorted(needed - there):
            raise MalformedError(f".{name}: this is missing")
        for name in sorted(there - known):
            raise MalformedError(f".{name}: this does not belong there")
        items = {}
        for name, item in value.items():
            try:
                items[name] = readers[name](item, number)
            except MalformedError as error:
                raise MalformedError(f".{name}{error}") from error
        return kind(**items)

    return read


def _checked_object(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    if type(value) is not dict:
        raise MalformedError(": this is not an object")
    return value


def _scalar(kind: type, what: str) -> _Reader:
    def read(value: Any, _: int) -> Any:  # noqa: ANN401 - JSON
        # Of the type itself: True is an int, too.
        if type(value) is not kind or (isinstance(value, int) and value < 0):
            raise MalformedError(f": this is not {what}")
        return value

    return read


def _word_reader(words: tuple[str, ...]) -> _Reader:
    def read(value: Any, _: int) -> Any:  # noqa: ANN401 - JSON
        if value not in words:
            raise MalformedError(f": this is not one of {', '.join(words)}")
        return value

    return read


def _time_reader(kind: type[dt.date], what: str) -> _Reader:
    def read(value: Any, _: int) -> Any:  # noqa: ANN401 - JSON
        try:
            time = kind.fromisoformat(value)
        except (TypeError, ValueError):
            time = None
        if time is None or time.isoformat() != value:
            raise MalformedError(f": this is not {what}")
        return time

    return read


_SCALARS: Final[Mapping[type, _Reader]] = {
    int: _scalar(int, "a whole number from 0"),
    str: _scalar(str, "a text"),
    bool: _scalar(bool, "true or false"),
    dt.date: _time_reader(dt.date, "a day such as 2020-09-01"),
    dt.datetime: _time_reader(dt.datetime, "a time such as 2020-09-01T00:00:00+00:00"),
}
