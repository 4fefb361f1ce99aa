"""TOML read strictly: an unknown key, a wrong type or an unknown word is an `InputError`.

A fault names the file, the table and the key, such as
`FILE: [[services]] 3 "coin": rounding: "weekly" is none of cumulative, month, transaction`.

The module is longer than others: it is one class with a method for each kind of value.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Final, TypeVar

from engine.errors import InputError
from engine.paths import expanded

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_ID_CHARACTERS: Final = 64
MAX_TEXT_CHARACTERS: Final = 4_000
_MAX_DOTS: Final = 50
_MAX_TABLES: Final = 1_000
# What surrounds a delivered value and is trimmed from it.
_TRIMMED: Final = " \t\u3000\ufeff"

_Word = TypeVar("_Word", bound=str)


def read_text(file: str | Path) -> str:
    """The text of a UTF-8 file, byte for byte: line ends and a BOM are kept.

    Raises:
        InputError: the file cannot be read, is not UTF-8, or has more than `MAX_FILE_BYTES`.
    """
    if not isinstance(file, (str, Path)):
        raise InputError(
            f"a file must be a str or a pathlib.Path, is of type {type(file).__name__}",
            hint='pass "FILE.toml"',
        )
    path = Path(file)
    try:
        with Path(expanded(str(path))).open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", hint="check the path") from None
    except IsADirectoryError:
        raise InputError(
            f"{path}: is a folder, not a file", hint="name the TOML file itself"
        ) from None
    except (OSError, ValueError) as error:
        # ValueError: a path with a NUL character.
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InputError(
            f"{path}: cannot be read: {reason}", hint="check the path and its permissions"
        ) from None
    if len(content) > MAX_FILE_BYTES:
        raise InputError(
            f"{path}: has more than {MAX_FILE_BYTES:,} bytes",
            hint="a programme or a registry of services is a small TOML file: check the path",
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8: byte 0x{content[error.start]:02x} at position {error.start}",
            hint="save the file as UTF-8",
        ) from None


def packaged_stems(folder: str) -> tuple[str, ...]:
    """The names, without `.toml` and sorted, of the TOML files that ship in `engine/FOLDER`."""
    names = [entry.name for entry in resources.files("engine").joinpath(folder).iterdir()]
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def read_packaged(folder: str, stem: str) -> str:
    """The text of `engine/FOLDER/STEM.toml`, byte for byte, as it ships with the engine."""
    file = resources.files("engine").joinpath(folder).joinpath(f"{stem}.toml")
    return file.read_bytes().decode("utf-8")


def parse(text: str, where: str, known: tuple[str, ...]) -> StrictTable:
    """The top-level table of a TOML text.

    Args:
        text: the TOML text; a BOM in front is tolerated.
        where: how errors name the text, mostly its path.
        known: the keys that the top level may have.

    Raises:
        InputError: the text is not TOML, or has an unknown key at the top level.
    """
    _check_text(text, where)
    # The parser's memory grows with the square of a key's parts; a text has no such lines either.
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > _MAX_DOTS:
            raise InputError(
                f"{where}: line {number} has more than {_MAX_DOTS} dots",
                hint="check that this is the right file; write long texts on several lines",
            )
    try:
        values = tomllib.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        raise InputError(
            f"{where}: not valid TOML: nested too deeply", hint="check that this is the right file"
        ) from None
    except ValueError as error:
        # Not TOMLDecodeError alone: a number of thousands of digits is a plain ValueError.
        raise InputError(
            f"{where}: not valid TOML: {str(error).partition(';')[0]}",
            hint='correct the file there: text stands in "quotes", Japanese names ahead of = too, '
            "dates (2021-03-31) do not",
        ) from None
    return StrictTable(values, where, known)


def _check_text(text: object, where: str) -> None:
    if not isinstance(text, str):
        raise InputError(
            f"{where}: must be a text, is of type {type(text).__name__}", hint="pass a TOML text"
        )


class StrictTable:
    """A TOML table whose values are asked for by key and type.

    The constructor refuses a key that is not `known`, before any value is read: a misspelt
    key is named as such, and not as the key that is then missing.
    """

    __slots__ = ("_known", "_values", "_where")

    def __init__(self, values: Mapping[str, object], where: str, known: tuple[str, ...]) -> None:
        self._values = values
        self._where = where
        self._known = known
        for key in values:
            if key not in known:
                raise self.fault(key, "unknown key", f"the keys here are {', '.join(known)}")

    def fault(self, key: str, problem: str, hint: str) -> InputError:
        """The error that says `problem` of the value under `key`, to be raised by the caller."""
        return InputError(f"{self._where}: {key}: {problem}", hint=hint)

    def text(self, key: str) -> str:
        """The text under `key`: not blank, at most `MAX_TEXT_CHARACTERS`, no control character."""
        return self._checked_text(key, self._required(key, f'write {key} = "…"'))

    def optional_text(self, key: str) -> str | None:
        """As `text`, or None if the key is missing."""
        return self.text(key) if key in self._values else None

    def identifier(self, key: str) -> str:
        """The ID under `key`, in the form that delivered IDs have: 1 to 64 characters.

        None of them is a control character, and no space surrounds it: delivered values
        are trimmed, so such an ID could never be met.
        """
        value = self.text(key)
        if len(value) > MAX_ID_CHARACTERS:
            raise self.fault(
                key,
                f"has {len(value)} characters, an ID has at most {MAX_ID_CHARACTERS}",
                "use the ID that the deliveries use",
            )
        return self._checked_trimmed(key, value)

    def texts(self, key: str) -> tuple[str, ...]:
        """The list of different, trimmed texts under `key`; empty if the key is missing."""
        values = self._values.get(key, [])
        hint = f'write a list of texts: {key} = ["…", "…"]'
        if not isinstance(values, list):
            raise self._wrong_type(key, "a list of texts", values, hint)
        texts: dict[str, None] = {}
        for number, value in enumerate(values, 1):
            place = f"{key}: value {number}"
            # A delivered method is any text, so these may hold control characters.
            text = self._checked_trimmed(place, self._checked_filled(place, value))
            if text in texts:
                raise self.fault(place, f'"{text}" is there twice', "leave one of the two out")
            texts[text] = None
        return tuple(texts)

    def integer(self, key: str, least: int, most: int) -> int:
        """The whole number under `key`, between `least` and `most`, both included."""
        hint = f"write a whole number from {least:,} to {most:,}, without quotes"
        value = self._required(key, hint)
        # bool is a subclass of int; `numerator = true` is a mistake, not a 1.
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong_type(key, "a whole number", value, hint)
        if not least <= value <= most:
            raise self.fault(key, f"{value} is not between {least:,} and {most:,}", hint)
        return value

    def optional_share(self, key: str, most: int) -> tuple[int, int] | None:
        """The share `[numerator, denominator]` under `key`, 0 or more and below 1; None if missing.

        The denominator is `most` at most.
        """
        if key not in self._values:
            return None
        value = self._values[key]
        hint = f"write two whole numbers, such as {key} = [3, 100] for 3 %"
        if (
            not isinstance(value, list)
            or len(value) != 2
            or not all(isinstance(part, int) and not isinstance(part, bool) for part in value)
        ):
            raise self.fault(key, "must be a list of two whole numbers", hint)
        numerator, denominator = value
        if not 0 <= numerator < denominator <= most:
            raise self.fault(key, f"{numerator} over {denominator} is not a share below 1", hint)
        return numerator, denominator

    def boolean(self, key: str, *, default: bool) -> bool:
        """The true or false under `key`, or the default if the key is missing."""
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            raise self._wrong_type(
                key, "true or false", value, f"write {key} = true or {key} = false, without quotes"
            )
        return value

    def day(self, key: str) -> dt.date:
        """The date under `key`, without a time of day."""
        hint = f"write {key} = YYYY-MM-DD, without quotes and without a time"
        value = self._required(key, hint)
        # datetime is a subclass of date; a time of day would be dropped without a word.
        if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
            raise self._wrong_type(key, "a date", value, hint)
        return value

    def optional_day(self, key: str) -> dt.date | None:
        """As `day`, or None if the key is missing."""
        return self.day(key) if key in self._values else None

    def word(self, key: str, words: tuple[_Word, ...], default: _Word | None = None) -> _Word:
        """The one of `words` under `key`, or the default if the key is missing and has one."""
        listed = ", ".join(words)
        hint = f"write {key} = one of {listed}, in quotes"
        if default is not None and key not in self._values:
            return default
        value = self._required(key, hint)
        if not isinstance(value, str):
            raise self._wrong_type(key, f"one of {listed}", value, hint)
        for word in words:
            if value == word:
                return word
        raise self.fault(key, f'"{_shortened(value)}" is none of {listed}', hint)

    def table(self, key: str, known: tuple[str, ...]) -> StrictTable:
        """The table `[key]`, which may have the `known` keys."""
        hint = f"write a table [{key}]"
        value = self._required(key, hint)
        if not isinstance(value, dict):
            raise self._wrong_type(key, f"a table [{key}]", value, hint)
        return StrictTable(value, f"{self._where}: [{key}]", known)

    def has(self, key: str) -> bool:
        """Whether there is a value under `key`."""
        return key in self._values

    def is_text(self, key: str) -> bool:
        """Whether the value under `key` is a text."""
        return isinstance(self._values.get(key), str)

    def keys(self) -> tuple[str, ...]:
        """The keys that are there, in the file's order."""
        return tuple(self._values)

    def optional_table(self, key: str, known: tuple[str, ...]) -> StrictTable | None:
        """As `table`, or None if the key is missing."""
        return self.table(key, known) if key in self._values else None

    def optional_tables(self, key: str, known: tuple[str, ...]) -> tuple[StrictTable, ...]:
        """As `tables`, or none if the key is missing."""
        return self.tables(key, known) if key in self._values else ()

    def tables_by_name(self, key: str, known: tuple[str, ...]) -> dict[str, StrictTable]:
        """The tables `[key.NAME]`, by their names, which may be any; none if `key` is missing."""
        table = self._open_table(key)
        return {name: table.table(name, known) for name in table.keys()}  # noqa: SIM118

    def texts_by_name(self, key: str) -> dict[str, str]:
        """The pairs of the table `[key]`, any keys to texts; empty if it is missing."""
        table = self._open_table(key)
        return {name: table.text(name) for name in table.keys()}  # noqa: SIM118

    def _open_table(self, key: str) -> StrictTable:
        value = self._values.get(key, {})
        if not isinstance(value, dict):
            raise self._wrong_type(key, f"a table [{key}]", value, f"write a table [{key}]")
        return StrictTable(value, f"{self._where}: [{key}]", tuple(value))

    def parts(self, key: str, known: tuple[str, ...]) -> tuple[str | StrictTable, ...]:
        """One text under `key`, or a list of texts and of tables with the `known` keys."""
        hint = f'write {key} = "…" or {key} = ["…", "…"]'
        value = self._required(key, hint)
        if not isinstance(value, list):
            return (self.text(key),)
        if not value:
            raise self.fault(key, "is empty", hint)
        parts: list[str | StrictTable] = []
        for number, part in enumerate(value, 1):
            place = f"{key}: value {number}"
            if isinstance(part, dict):
                parts.append(StrictTable(part, f"{self._where}: {place}", known))
            else:
                parts.append(self._checked_text(place, part))
        return tuple(parts)

    def optional_texts_by_key(
        self, key: str, known: tuple[str, ...]
    ) -> tuple[tuple[str, str], ...]:
        """The pairs of the table `[key]`, `known` keys to texts; empty if it is missing."""
        if key not in self._values:
            return ()
        table = self.table(key, known)
        return tuple((name, table.text(name)) for name in table._values)

    def tables(
        self, key: str, known: tuple[str, ...], name_key: str | None = None
    ) -> tuple[StrictTable, ...]:
        """The tables `[[key]]`, at least one, each of which may have the `known` keys.

        Errors name each by its number and, if it has one, by its text under `name_key`.
        """
        hint = f"write at least one [[{key}]]"
        values = self._required(key, hint)
        if not isinstance(values, list):
            raise self._wrong_type(key, f"a list of tables [[{key}]]", values, hint)
        if not values:
            raise self.fault(key, "is empty", hint)
        if len(values) > _MAX_TABLES:
            raise self.fault(key, f"has more than {_MAX_TABLES:,} tables", "check the file")
        tables: list[StrictTable] = []
        for number, value in enumerate(values, 1):
            where = f"{self._where}: [[{key}]] {number}"
            if not isinstance(value, dict):
                raise InputError(f"{where}: must be a table, is {_kind(value)}", hint=hint)
            name = value.get(name_key) if name_key is not None else None
            if isinstance(name, str):
                where += f' "{_shortened(name)}"'
            tables.append(StrictTable(value, where, known))
        return tuple(tables)

    def _required(self, key: str, hint: str) -> object:
        if key not in self._values:
            raise self.fault(key, "missing", hint)
        return self._values[key]

    def _wrong_type(self, key: str, wanted: str, value: object, hint: str) -> InputError:
        return self.fault(key, f"must be {wanted}, is {_kind(value)}", hint)

    def _checked_text(self, key: str, value: object) -> str:
        text = self._checked_filled(key, value)
        for character in text:
            if character < "\x20" or character == "\x7f":
                raise self.fault(
                    key,
                    f"has the control character U+{ord(character):04X}",
                    'write it on one line; in """…""", a \\ at the end of a line joins the next',
                )
        return text

    def _checked_filled(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            raise self._wrong_type(key, "a text", value, "write a text in quotes")
        if not value.strip():
            raise self.fault(key, "is empty", "write a text that is not blank")
        if len(value) > MAX_TEXT_CHARACTERS:
            raise self.fault(
                key,
                f"has {len(value)} characters, at most {MAX_TEXT_CHARACTERS:,} are taken",
                "shorten it",
            )
        return value

    def _checked_trimmed(self, key: str, value: str) -> str:
        if value != value.strip(_TRIMMED):
            raise self.fault(
                key,
                f'"{_shortened(value)}" has spaces around it, delivered values have none',
                "leave the spaces out",
            )
        return value


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_ID_CHARACTERS else text[: MAX_ID_CHARACTERS - 1] + "…"


def _kind(value: object) -> str:
    """What a TOML value is, in words; subclasses stand ahead of their classes."""
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "true or false"),
        (int, "a whole number"),
        (float, "a number with a fraction"),
        (str, "a text"),
        (dt.datetime, "a date with a time"),
        (dt.date, "a date"),
        (dt.time, "a time"),
        (list, "a list"),
        (dict, "a table"),
    )
    return next((words for kind, words in kinds if isinstance(value, kind)), type(value).__name__)
