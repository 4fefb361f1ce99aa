"""CSV files for people, as Excel shows them."""

import csv
import io
from pathlib import Path


def shown(cell: str) -> str:
    """What Excel shows of a cell; an apostrophe is seen there, too."""
    if cell.startswith('="'):
        assert cell.endswith('"')
        return cell[2:-1].replace('""', '"')
    return cell


def rows_of(file: Path) -> list[dict[str, str]]:
    """The rows of a file."""
    rows = csv.DictReader(io.StringIO(file.read_text("utf-8-sig"), newline=""))
    return [{name: shown(cell) for name, cell in row.items()} for row in rows]
