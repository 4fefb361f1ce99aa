"""A service's lines in the form that its points system wants, beside the canonical files."""

import datetime as dt
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from engine.io.durable import NewFile
from engine.io.payout.files import ServiceFile
from engine.payouts.write_form import LineTotals, body, head, tail
from engine.payouts.written_form import WrittenForm, parse_written_form
from engine.terms.strict_toml import read_text

SUFFIX = ".txt"
_ROWS_AT_ONCE = 200_000


def load_written_form(file: str | Path) -> WrittenForm:
    """The form that a TOML file describes.

    Raises:
        InputError: the file cannot be read, or breaks a rule.
    """
    return parse_written_form(read_text(file), str(file))


def write_in_form(
    file: ServiceFile, form: WrittenForm, service_id: str, payout_run_id: str, on: dt.date
) -> None:
    """Writes a service's lines, whose Parquet file is finished, once more in a form.

    Raises:
        InputError: a value cannot be written so.
    """
    totals: LineTotals = {
        "rows": file.rows,
        **{f"{direction}_rows": lines for direction, lines in file.lines.items()},
        **{f"{direction}_points": points for direction, points in file.points.items()},
        "payout_run_id": payout_run_id,
        "service_id": service_id,
        "instructed_on": on,
    }
    with NewFile(file.folder / f"{file.stem}{SUFFIX}") as written:
        written.write(head(form, totals))
        with pq.ParquetFile(file.folder / f"{file.stem}.parquet") as lines:
            for batch in lines.iter_batches(_ROWS_AT_ONCE):
                written.write(body(form, pl.DataFrame(pl.from_arrow(batch))))
        written.write(tail(form, totals))
        file.add(written, written.finish())
