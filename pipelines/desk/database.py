"""DuckDB, the second opinion: other code than the engine's, and bounded in what it holds."""

import copy
import glob
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from engine.errors import BookError, InputError
from engine.records import LedgerEntry, arrow_schema

MEMORY_LIMIT: Final = "2GB"
_KINDS: Final = {
    pa.int64(): "BIGINT",
    pa.string(): "VARCHAR",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
    pa.list_(pa.string()): "VARCHAR[]",
}

_WITH_NET_AMOUNTS: Final = (
    "* REPLACE (coalesce(net_amount, CASE WHEN kind = 'refund' THEN -amount ELSE amount END) "
    "AS net_amount)"
)


@contextmanager
def readable_by_duckdb(book: Path) -> Iterator[None]:
    """Says what it means for a command when DuckDB cannot go on.

    Raises:
        BookError: a file of the book cannot be read.
        InputError: there is no room for what memory does not hold.
    """
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise InputError(
            f"memory and disk ran out: {str(error).splitlines()[0]}",
            hint="point TMPDIR to a disk with more room: what memory does not hold goes there",
        ) from error
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise BookError(
            f"{book}: the ledger cannot be read: {as_the_user_knows_it(error)}",
            hint="find out with mynapoint verify, and restore the book from a copy",
        ) from error


def path_in_sql(path: Path) -> str:
    """A path as a literal of SQL, without its quotes: nothing in it is taken for a pattern."""
    return glob.escape(str(path.absolute())).replace("'", "''")


def as_the_user_knows_it(error: Exception) -> str:
    """An error in one line, a linked file by its own name and not by the plain one of its link."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"/[^'\"]*", lambda path: _linked_to(path[0]), line)


def _linked_to(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return path


class Database:
    """A database in a folder that is thrown away; what does not fit into memory goes there."""

    def __init__(self, folder: Path) -> None:
        import duckdb

        folder.mkdir()
        self.folder = folder
        self._connection = duckdb.connect(
            str(folder / "database"),
            config={
                "memory_limit": MEMORY_LIMIT,
                "temp_directory": str(folder / "spilt"),
                "preserve_insertion_order": "false",
            },
        )

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @contextmanager
    def beside(self) -> Iterator["Database"]:
        """The same database by a connection of its own, for another thread."""
        other = copy.copy(self)
        other._connection = self._connection.cursor()
        with other:
            yield other

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a statement gives."""
        return self._connection.execute(sql, list(values)).fetchall()

    def script(self, sql: str) -> None:
        """Runs statements that give nothing."""
        for statement in sql.split(";\n"):
            if statement.strip():
                self.rows(statement)

    def table(self, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
        """Makes a table of a few rows."""
        types = {kind: type_ for type_, kind in _KINDS.items()}
        schema = pa.schema([(column, types[kind]) for column, kind in columns.items()])
        columns_of = list(zip(*rows, strict=True)) or [()] * len(schema)
        given = pa.Table.from_arrays(
            [
                pa.array(values, field.type)
                for values, field in zip(columns_of, schema, strict=True)
            ],
            schema=schema,
        )
        self.given("given", given)
        self.rows(f'CREATE TABLE "{name}" AS SELECT * FROM given')  # noqa: S608 - names of ours
        self._connection.unregister("given")

    def given(self, name: str, rows: pa.Table) -> None:
        """Makes rows that are in memory a view; another of its name gives way."""
        self._connection.register(name, rows)

    def function_of_text(
        self, name: str, function: Callable[[pa.ChunkedArray], pa.ChunkedArray]
    ) -> None:
        """Makes a function from text to text, of whole columns."""
        from duckdb.func import ARROW

        self._connection.create_function(name, function, ["VARCHAR"], "VARCHAR", type=ARROW)

    def batches(self, sql: str, rows: int) -> Iterator[list[tuple[Any, ...]]]:
        """What a statement gives, so many rows at a time."""
        result = self._connection.execute(sql)
        while batch := result.fetchmany(rows):
            yield batch

    def parquet(self, view: str, files: Sequence[Path], schema: pa.Schema) -> None:
        """Makes a view of Parquet files, with the columns ``file`` (its place, from 0) and ``row``
        (from 1). A column that a file does not have is null there.

        The files are linked to under plain names: a path of the user's might be taken for a glob.
        """
        folder = self.folder / view
        folder.mkdir()
        if not files:
            places = [("file", pa.int64()), ("row", pa.int64())]
            self._connection.register(view, pa.schema([*schema, *places]).empty_table())
            return
        for number, file in enumerate(files):
            (folder / f"{number}.parquet").symlink_to(file.resolve())
        self._view(f'VIEW "{view}"', folder, range(len(files)), schema)

    def _view(self, what: str, folder: Path, numbers: Iterable[int], schema: pa.Schema) -> None:
        quoted = path_in_sql(folder)
        names = ", ".join(f"'{quoted}/{number}.parquet'" for number in numbers)
        source = (
            f"read_parquet([{names}], filename = true, file_row_number = true, "
            "union_by_name = true)"
        )
        found = {name for name, *_ in self.rows(f"DESCRIBE SELECT * FROM {source}")}  # noqa: S608
        columns = ", ".join(
            f'"{field.name}"'
            if field.name in found
            else f'NULL::{_KINDS[field.type]} AS "{field.name}"'
            for field in schema
        )
        self.rows(
            f"CREATE {what} AS SELECT {columns}, "  # noqa: S608
            "parse_filename(filename, true)::BIGINT AS file, file_row_number + 1 AS row "
            f"FROM {source}"
        )

    def ledger(self, files: Sequence[Path]) -> None:
        """Makes ``ledger_rows``, a view of files of the ledger. Entries of format 1 have the net
        amount that they stand for.
        """
        self.parquet("kept_rows", files, arrow_schema(LedgerEntry))
        self.rows(f"CREATE VIEW ledger_rows AS SELECT {_WITH_NET_AMOUNTS} FROM kept_rows")  # noqa: S608

    def part_of_ledger(self, numbers: Iterable[int]) -> None:
        """Makes ``part_of_ledger``, likewise, of some of these files: this connection's alone."""
        folder = self.folder / "kept_rows"
        self._view("TEMP VIEW kept_part", folder, numbers, arrow_schema(LedgerEntry))
        self.rows(
            f"CREATE TEMP VIEW part_of_ledger AS SELECT {_WITH_NET_AMOUNTS} FROM kept_part"  # noqa: S608
        )
