"""A claim, as it came: which of the forms it has, and whether all of it can be used.

| form | columns |
|---|---|
| by transaction | `service_id`, `transaction_id`, `points` |
| by account | `service_id`, `account_id`, `points` |
| by service and month | `service_id`, `month` (`YYYY-MM`, of booking), `points` |
| by service | `service_id`, `points`; each service once |

So all of what `mynapoint claim --out` writes as CSV and Parquet can be held against the ledger.

CSV (also `.gz`, `.zst`; UTF-8, a BOM is tolerated) or Parquet; other columns are ignored. Keys are
taken as they stand, to the last space, but for a spreadsheet's `="0012"`, which is 0012; points
are whole numbers, with a minus where a claim takes points back.
"""

import csv
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import InputError
from engine.io.spreadsheet_csv import without_guard_in_sql
from pipelines.desk.database import Database, as_the_user_knows_it, path_in_sql
from pipelines.desk.months import MONTH_PATTERN

if TYPE_CHECKING:
    from engine.layouts.parameters import Described

TRANSACTION: Final = "transaction_id"
ACCOUNT: Final = "account_id"
MONTH: Final = "month"
KEYS: Final = (TRANSACTION, ACCOUNT, MONTH)
SCOPE: Final = "scope"
"""The key of a claim by service, which has no other: ``all`` in every row."""
ALL: Final = "all"
_HEADER_BYTES: Final = 1 << 16
_MOST_REJECTED: Final = 10
_ENDINGS: Final = (".csv", ".csv.gz", ".csv.zst", ".parquet")
_FORMS: Final = "service_id, points and at most one of transaction_id, account_id, month (YYYY-MM)"


@dataclass(frozen=True, slots=True)
class ClaimFile:
    """A claim that looks usable by its columns.

    Attributes:
        ending: of its name, which says how to read it.
        columns: all of its columns, in their order.
        key: the column that makes its form: one of ``KEYS``, or ``SCOPE``.
        described: how a provider's own file is written; None for a claim as above.
    """

    path: Path
    ending: str
    columns: tuple[str, ...]
    key: str
    described: "Described | None" = None


def recognised_claim(path: Path) -> ClaimFile:
    """A claim, recognised by its columns.

    Raises:
        InputError: there is no such file, it is of another kind, or its columns are none or more
            than one of the three forms.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file", hint="name a CSV or Parquet file")
    ending = next((suffix for suffix in _ENDINGS if path.name.lower().endswith(suffix)), None)
    if ending is None:
        raise InputError(
            f"{path}: the name does not say that it is CSV or Parquet",
            hint=f"give it one of the endings {', '.join(_ENDINGS)}",
        )
    try:
        columns = _columns_of_parquet(path) if ending == ".parquet" else _columns_of_csv(path)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, 1) from error
    except (OSError, pa.ArrowException, csv.Error) as error:
        raise _unreadable(path, error) from error
    return ClaimFile(path, ending, columns, _key_of(path, columns))


def _columns_of_parquet(path: Path) -> tuple[str, ...]:
    schema = pq.read_schema(path)
    for name in ("service_id", *KEYS, "points"):
        if schema.names.count(name) == 1:
            _check_type(path, name, schema.field(name).type)
    return tuple(schema.names)


def _check_type(path: Path, name: str, kind: pa.DataType) -> None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if text or pa.types.is_string_view(kind) or (name == "points" and pa.types.is_integer(kind)):
        return
    if name == "points":
        raise InputError(
            f"{path}: column points is of type {kind}; points are whole numbers",
            hint="write it as int64: a float or a decimal may have been rounded already",
        )
    raise InputError(
        f"{path}: column {name} is of type {kind}; a key is text",
        hint="write it as text: a number loses its leading zeros",
    )


def _columns_of_csv(path: Path) -> tuple[str, ...]:
    with pa.input_stream(str(path), compression="detect") as file:
        head = file.read(_HEADER_BYTES)
    lines = head.splitlines(keepends=True)
    text = lines[0].decode("utf-8-sig") if lines else ""
    return tuple(next(csv.reader([text], strict=True), []))


def _key_of(path: Path, columns: tuple[str, ...]) -> str:
    doubled = [name for name, times in Counter(columns).items() if times > 1]
    if doubled:
        # A file without a header begins with a row, whose values are people's.
        places = [str(place) for place, name in enumerate(columns, 1) if name == doubled[0]]
        known = doubled[0] in ("service_id", "points", *KEYS)
        raise InputError(
            f'{path}: column "{doubled[0]}" is there more than once'
            if known
            else f"{path}: columns {' and '.join(places)} have the same name",
            hint="name each column once",
        )
    missing = [name for name in ("service_id", "points") if name not in columns]
    keys = [name for name in KEYS if name in columns]
    if missing:
        raise InputError(
            f"{path}: column {missing[0]} is missing; a claim has the columns {_FORMS}",
            hint="name the columns so, in any order; others are ignored",
        )
    if len(keys) > 1:
        raise InputError(
            f"{path}: the claim may be by {' or by '.join(keys)}: it has the columns of both",
            hint="leave out all but one of them",
        )
    return keys[0] if keys else SCOPE


def load(claim: ClaimFile, database: Database) -> int:
    """Puts a claim into the table ``claim`` (``service_id``, ``key``, ``points``); gives its rows.

    Raises:
        InputError: a row cannot be used; nothing of a claim is ever left out.
    """
    import duckdb

    # Linked to under a plain name: a path of the user's might be taken for a glob.
    link = database.folder / f"claim{claim.ending}"
    link.symlink_to(claim.path.resolve())
    try:
        database.rows(
            "CREATE TABLE delivered (service_id VARCHAR, key VARCHAR, points VARCHAR)",
        )
        database.rows(f"INSERT INTO delivered {_reading(claim, link)}")
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise _unreadable(claim.path, error) from error
    if claim.ending != ".parquet":
        _refuse_rejected(claim, database)
    return check_delivered(claim, database)


def check_delivered(claim: ClaimFile, database: Database) -> int:
    """Makes the table ``delivered`` the view ``claim``; gives its rows.

    Raises:
        InputError: a row cannot be used.
    """
    _refuse_unusable(claim, database)
    if claim.key == SCOPE:
        _refuse_several(claim, database)
    database.rows(
        "CREATE VIEW claim AS SELECT service_id, key, points::BIGINT AS points FROM delivered"
    )
    [(rows,)] = database.rows("SELECT count(*) FROM delivered")
    return int(rows)


def _reading(claim: ClaimFile, link: Path) -> str:
    quoted = path_in_sql(link)
    if claim.ending == ".parquet":
        return (
            f"SELECT service_id, {_key_in_sql(claim, claim.key)}, points::VARCHAR "  # noqa: S608
            f"FROM read_parquet('{quoted}')"
        )
    place = {name: f"c{number}" for number, name in enumerate(claim.columns)}
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in place.values())
    # A column that nothing asks for is not looked at, and a claim is UTF-8 in all of them.
    looked_at = " AND ".join(f"coalesce(strlen({name}), 0) >= 0" for name in place.values())
    return (
        f"SELECT {without_guard_in_sql(place['service_id'])}, "  # noqa: S608 - names of ours
        f"{without_guard_in_sql(_key_in_sql(claim, place.get(claim.key, '')))}, {place['points']} "
        f"FROM read_csv('{quoted}', delim = ',', quote = '\"', escape = '\"', header = true, "
        f"auto_detect = false, strict_mode = true, columns = {{{columns}}}, "
        f"store_rejects = true, rejects_limit = {_MOST_REJECTED}) WHERE {looked_at}"
    )


def _key_in_sql(claim: ClaimFile, column: str) -> str:
    return f"'{ALL}'" if claim.key == SCOPE else f'"{column}"'


def _refuse_several(claim: ClaimFile, database: Database) -> None:
    """A claim by service has one row a service: several may be of another form."""
    several = database.rows(
        "SELECT list_sort(list(rowid + 1))[:2] FROM delivered GROUP BY service_id "
        "HAVING count(*) > 1 ORDER BY 1 LIMIT 1"
    )
    for ((first, second),) in several:
        raise InputError(
            f"{claim.path}: rows {first} and {second} are of one service and no column says for "
            "what",
            hint=f"a claim has the columns {_FORMS}",
        )


def _refuse_rejected(claim: ClaimFile, database: Database) -> None:
    rejected = database.rows(
        "SELECT line, error_type, error_message FROM reject_errors ORDER BY line LIMIT 1"
    )
    for line, kind, message in rejected:
        if kind == "INVALID ENCODING":
            raise _not_utf8(claim.path, line)
        raise InputError(
            f"{claim.path}: line {line}: {message.splitlines()[0]}",
            hint="quote what holds a comma, a quote or a line end, and write the file again",
        )


def _refuse_unusable(claim: ClaimFile, database: Database) -> None:
    """Names the first of the rows without a key, or without a whole number of points."""
    unusable = database.rows(
        "SELECT rowid + 1, service_id, key, count(*) OVER () FROM delivered WHERE NOT coalesce("
        "service_id <> '' AND key <> '' AND regexp_full_match(points, '-?[0-9]+') "
        "AND try_cast(points AS BIGINT) IS NOT NULL AND regexp_full_match(key, ?), false) "
        "ORDER BY rowid LIMIT 1",
        [MONTH_PATTERN if claim.key == MONTH else "(?s).*"],
    )
    for row, service_id, key, rows in unusable:
        what, hint = _fault(claim, service_id, key)
        raise InputError(
            f"{claim.path}: row {row} {what}"
            + (f"; {rows} rows cannot be used" if rows > 1 else ""),
            hint=hint,
        )


def _fault(claim: ClaimFile, service_id: Any, key: Any) -> tuple[str, str]:  # noqa: ANN401
    """What is wrong with a row; no value of it is shown, for any may be a person's ID."""
    if not service_id or not key:
        return (
            f"has no {claim.key if service_id else 'service_id'}",
            "give every row its key; a total does not belong among the rows",
        )
    if claim.key == MONTH and not re.fullmatch(MONTH_PATTERN, key):
        return "has a month that is none", "write the month of booking as YYYY-MM"
    return (
        "has points that are not a whole number of 64 bits",
        "write points as digits alone, without separators, decimals or an exponent",
    )


def _not_utf8(path: Path, line: int) -> InputError:
    return InputError(f"{path}: line {line}: the text is not UTF-8", hint="save it as UTF-8")


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: the claim cannot be read: {as_the_user_knows_it(error)}",
        hint="have it written again",
    )
