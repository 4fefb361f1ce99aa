"""A delivered file, opened as what it is: canonical CSV, Parquet, or a provider's own form."""

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import InputError
from engine.io.delivered.csv_file import CsvFile
from engine.io.delivered.deliveries import Delivered, open_file
from engine.io.delivered.laid_out_file import LaidOutFile
from engine.io.delivered.parquet_file import MAGIC, ROW_BYTES, ParquetFile
from engine.io.delivered.recognising import recognised
from engine.io.delivered.roles import FORMS, Role
from engine.io.delivered.unpacking import text_bytes
from engine.layouts.parameters import Described


def described_as(role: Role, delivered: Delivered) -> Described | None:
    """How a delivered file is written; None for the canonical form.

    Raises:
        InputError: it cannot be opened, or is not in the form that was named.
    """
    if not _is_parquet(delivered):
        return recognised(delivered, role.name, role.required, role.optional)
    if delivered.written.layout is not None:
        raise InputError(
            f"{delivered.name}: a layout describes text, and this is a Parquet file",
            hint="deliver it in the canonical form, without --layout",
        )
    return None


def opened(
    role: Role, delivered: Delivered, described: Described | None
) -> CsvFile | LaidOutFile | ParquetFile:
    """The delivered file, ready to be read as what it is.

    Raises:
        InputError: it cannot be opened.
    """
    if described is not None:
        return LaidOutFile(delivered, described)
    if _is_parquet(delivered):
        return ParquetFile(delivered, role.required, role.optional, FORMS[role.name])
    return CsvFile(delivered, role.required, role.optional)


def _is_parquet(delivered: Delivered) -> bool:
    with open_file(delivered) as file:
        return file.read(len(MAGIC)) == MAGIC


def rows_expected(file: Delivered) -> int:
    """About how many rows a file holds."""
    if file.name.lower().endswith(".parquet"):
        try:
            return int(pq.read_metadata(file.path).num_rows)
        except (pa.ArrowException, OSError):
            return 0
    return text_bytes(file) // ROW_BYTES
