"""``mynapoint quarantine``: rows that were set aside, in the form in which they were delivered.

Once corrected and delivered again, they are booked. The lines ahead of the rows come from the
delivered file itself, which is found by its sha256; the rows come from the book.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl

from engine.errors import InputError
from engine.io.book.format import RunTable
from engine.io.book.run_record import Input
from engine.io.delivered.csv_header import read_header
from engine.io.delivered.deliveries import Delivered, find_delivered
from engine.io.delivered.laid_out_file import LaidOutFile
from engine.io.delivered.parquet_file import MAGIC
from engine.io.delivered.provider_header import FoundHeader, find_header, in_its_encoding
from engine.io.delivered.recognising import beginning_of
from engine.io.delivered.section_lines import section_of
from engine.io.durable import sha256_of
from engine.io.parquet import scan_parquet
from engine.layouts.model import CANONICAL_COLUMNS, Fixed, Layout, Separated
from engine.layouts.parameters import Described
from pipelines.desk.opened_book import book_readable, open_book

REASONS: Final = "mynapoint:errors"
_BOM: Final = "\ufeff"
_AS_FORMULA: Final = r'"?[=@\t]'
_LINE_ENDS: Final = "\r\n"


@dataclass(frozen=True, slots=True)
class SetAside:
    """The quarantined rows of one delivered file.

    Attributes:
        name: the file's path, as it was given.
        rows: ``row``, ``errors``, ``raw``; ascending.
        numbers_equal_rows: whether its layout numbers equal rows, so that they must be delivered
            together.
    """

    name: str
    input: Input
    layout: Layout | None
    rows: pl.DataFrame

    @property
    def numbers_equal_rows(self) -> bool:
        return self.layout is not None and self.layout.numbers_equal_rows


@dataclass(frozen=True, slots=True)
class WrittenBack:
    """A file to be corrected.

    Attributes:
        content: in the provider's form and encoding.
        has_reasons: whether it has a column for the reasons; a form without column names has not.
        like_formulas: how many rows have a cell that a spreadsheet would take for a formula.
    """

    content: bytes
    ending: str
    has_reasons: bool
    like_formulas: int = 0


def set_aside(path: Path, number: int) -> list[SetAside]:
    """What a run has set aside, file by file.

    Raises:
        BookError: the book or its run cannot be read.
        InputError: there is no such run.
    """
    opened = open_book(path)
    if not 1 <= number <= opened.runs:
        raise InputError(
            f"{path}: there is no run {number}", hint=f"its runs are 1 to {opened.runs}"
        )
    record = opened.record(number)
    with book_readable(opened.book):
        rows = scan_parquet(
            opened.book.run_folder(number) / RunTable.QUARANTINE.file_name
        ).collect()
    # The rows of a file that was named twice are the same.
    inputs = {delivered.name: delivered for delivered in record.inputs}
    return [
        SetAside(
            name,
            delivered,
            opened.layout(number, delivered.layout) if delivered.layout is not None else None,
            in_file.select("row", "errors", "raw").unique("row", maintain_order=True).sort("row"),
        )
        for name, delivered in inputs.items()
        if (in_file := rows.filter(pl.col("file") == name)).height
    ]


def find_originals(
    files: Sequence[SetAside], delivered: Sequence[str]
) -> Iterator[tuple[SetAside, Delivered]]:
    """For each file, the delivered file: where it was, or among those given.

    Raises:
        InputError: the file is not there any more, or was changed.
    """
    given = {sha256_of(file.path): file for file in find_delivered(delivered, "delivered")}
    for quarantined in files:
        sha256 = quarantined.input.sha256
        here = given.get(sha256)
        if (
            here is None
            and Path(quarantined.name).is_file()
            and sha256_of(Path(quarantined.name)) == sha256
        ):
            here = find_delivered([quarantined.name], quarantined.input.role)[0]
        if here is None:
            raise InputError(
                f"{quarantined.name}: the delivered file is not there any more, or was changed",
                hint="its header is needed: say where it is now with --delivered PATH",
            )
        yield quarantined, replace(here, name=quarantined.name)


def write_back(quarantined: SetAside, original: Delivered) -> WrittenBack:
    """A file's rows to be corrected, in its own form, with a column for the reasons."""
    layout = quarantined.layout
    begins = beginning_of(original, None if layout is None else layout.file)
    data = begins.data
    reasons = quarantined.rows["errors"].list.join(" / ")
    raw = quarantined.rows["raw"]
    if data.startswith(MAGIC):
        return _canonical(quarantined, reasons)
    if layout is not None and begins.form == "bytes":
        layout = in_its_encoding(layout, data)
        quarantined = replace(quarantined, layout=layout)
    if layout is not None and isinstance(layout.file, Fixed):
        return _fixed(layout.file, data, _with_section_lines(quarantined, original)["raw"])
    bom = _BOM if data.startswith(_BOM.encode()) else ""
    if layout is None:
        names, rest = read_header(io.BytesIO(data), quarantined.name)
        header = data[: len(data) - len(rest)].decode("utf-8").removeprefix(_BOM)
        found, separator, encoding = FoundHeader(tuple(names), {}, "", header, b""), ",", "utf-8"
        missing: list[str] = []
    else:
        assert not isinstance(layout.file, Fixed)
        there = find_header(data, layout)
        assert there is not None, "the file was read by this layout"
        found, separator, encoding = there, layout.file.separator, layout.file.encoding
        missing = [name for name in layout.file.optional if name not in found.names]
    end = "\r\n" if (found.header or data.decode(encoding, "replace")).find("\r\n") >= 0 else "\n"
    more = "".join(separator + _cell(name, separator) for name in missing)
    blank = separator * len(missing)
    has_header = bool(found.header)
    header = f"{found.header.rstrip(chr(13) + chr(10))}{more}{end}" if has_header else ""
    lines = quarantined.rows.select("raw", reasons.alias("reasons"))
    if layout is not None and layout.sections:
        return _in_sections(quarantined, original, found, missing, f"{bom}{found.before}", end)
    if has_header:
        if found.names[0] == REASONS:
            lines = lines.with_columns(pl.col("raw").str.replace(_first_cell(separator), ""))
        else:
            header = f"{REASONS}{separator}{header}"
        quoted = pl.format('"{}"', pl.col("reasons").str.replace_all('"', '""', literal=True))
        needs = pl.col("reasons").str.contains_any([separator, '"', "\r", "\n"])
        cell = pl.when(needs).then(quoted).otherwise("reasons")
        lines = lines.with_columns(raw=pl.concat_str(cell, pl.lit(separator), "raw", pl.lit(blank)))
    text = f"{bom}{found.before}{header}{end.join(lines['raw'].to_list())}{end}"
    formulas = _like_formulas(raw, separator)
    return WrittenBack(
        _encoded(text, encoding), ".csv", has_reasons=has_header, like_formulas=formulas
    )


def _with_section_lines(quarantined: SetAside, original: Delivered) -> pl.DataFrame:
    """The rows to be corrected, ``raw`` and ``errors``, each below the lines of its sections.

    A line has no errors.
    """
    layout = quarantined.layout
    assert layout is not None
    rows = quarantined.rows.select("row", "raw", "errors")
    if not layout.sections:
        return rows
    found = LaidOutFile(original, Described(layout, {})).section_lines()
    lines = pl.DataFrame(
        list(found), schema={"row": rows.schema["row"], "raw": pl.String}, orient="row"
    )
    lines = lines.filter(pl.col("row") < rows["row"].max())
    return pl.concat([lines, rows], how="diagonal").sort("row")


def _in_sections(
    quarantined: SetAside,
    original: Delivered,
    found: FoundHeader,
    missing: Sequence[str],
    before: str,
    end: str,
) -> WrittenBack:
    """Rows below the lines of the sections that they stand in, which hold for them again."""
    layout = quarantined.layout
    assert layout is not None
    assert isinstance(layout.file, Separated)
    separator = layout.file.separator
    has_header = bool(found.header)
    has_reasons = has_header and found.names[0] == REASONS
    first = f"{REASONS}{separator}" if has_header and not has_reasons else ""
    more = "".join(separator + _cell(name, separator) for name in missing)
    lines = [f"{first}{found.header.rstrip(_LINE_ENDS)}{more}"] if has_header else []
    rows = _with_section_lines(quarantined, original)
    for raw, errors in rows.select("raw", "errors").iter_rows():
        line = raw
        if errors is None:
            section = section_of(raw, layout)
            if section is not None and section.header:
                line = f"{first}{raw}{more}"
        elif has_header:
            if has_reasons:
                line = re.sub(_first_cell(separator), "", raw, count=1)
            reason = _cell(" / ".join(errors), separator)
            line = f"{reason}{separator}{line}{separator * len(missing)}"
        lines.append(line)
    text = before + "".join(f"{line}{end}" for line in lines)
    return WrittenBack(
        _encoded(text, layout.file.encoding),
        ".csv",
        has_reasons=has_header,
        like_formulas=_like_formulas(quarantined.rows["raw"], separator),
    )


def _first_cell(separator: str) -> str:
    mark = re.escape(separator)
    return rf'^(?:"(?:[^"]|"")*"|[^{mark}"]*){mark}'


def _like_formulas(raw: pl.Series, separator: str) -> int:
    """How many rows have a cell that a spreadsheet would take for a formula."""
    return int(raw.str.contains(rf"(?:^|{re.escape(separator)}){_AS_FORMULA}").sum())


def _fixed(file: Fixed, data: bytes, raw: pl.Series) -> WrittenBack:
    end = b""
    for line_end in (b"\r\n", b"\n"):
        if data[file.record_bytes :].startswith(line_end):
            end = line_end
            break
    records = [_encoded(record, file.encoding) for record in raw.to_list()]
    if file.first:
        records.insert(0, data[: file.record_bytes])
    return WrittenBack(b"".join(record + end for record in records), ".txt", has_reasons=False)


def _canonical(quarantined: SetAside, reasons: pl.Series) -> WrittenBack:
    """Rows of a Parquet file, kept as JSON, as CSV in the canonical form."""
    rows = [json.loads(raw) for raw in quarantined.rows["raw"].to_list()]
    canonical = {str(role): columns for role, columns in CANONICAL_COLUMNS.items()}
    columns = [
        name for name in canonical[quarantined.input.role] if any(name in row for row in rows)
    ]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([REASONS, *columns])
    for row, reason in zip(rows, reasons.to_list(), strict=True):
        cells = ["" if row.get(name) is None else str(row[name]) for name in columns]
        writer.writerow([reason, *cells])
    return WrittenBack(text.getvalue().encode(), ".csv", has_reasons=True)


def _encoded(text: str, encoding: str) -> bytes:
    # Characters that could not be decoded cannot be encoded either; they must be corrected.
    return text.encode(encoding, "replace")


def _cell(text: str, separator: str) -> str:
    if any(mark in text for mark in (separator, '"', "\r", "\n")):
        return '"' + text.replace('"', '""') + '"'
    return text


def file_name(quarantined: SetAside, ending: str, taken: set[str]) -> str:
    """A unique name for a file to be corrected, derived from the delivered file's name."""
    stem = Path(quarantined.name).name
    for known in (".gz", ".zst", ".csv", ".txt", ".parquet"):
        stem = stem.removesuffix(known)
    name, number = f"{stem}-quarantined{ending}", 1
    while name in taken:
        number += 1
        name = f"{stem}-quarantined-{number}{ending}"
    taken.add(name)
    return name


def lines_of(quarantined: SetAside) -> Iterator[str]:
    """One line a row: where it is and what is wrong with it."""
    for row, errors in quarantined.rows.select("row", "errors").iter_rows():
        yield f"{quarantined.name}:{row}: {', '.join(errors)}"
