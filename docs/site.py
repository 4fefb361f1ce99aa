"""Gathers the site's pages in build/site-source, for `make docs`.

The pages stand there as in the repository, so their links hold; only the README becomes the
tutorial, and docs/index.md the first page. The reference of the command line and the JSON Schemas
are made from the code. A link to a file that is not a page becomes its text. `--built` looks
through the pages that were built instead.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from engine.io.book.payout_record import PayoutRecord
from engine.io.book.run_record import RunRecord
from engine.records import (
    AcceptedEvent,
    Column,
    Declined,
    Enrollment,
    LedgerEntry,
    Quarantined,
    Record,
    RejectedEnrollment,
    RejectedEvent,
)

ROOT: Final = Path(__file__).parent.parent
SOURCE: Final = ROOT / "build" / "site-source"
SITE: Final = ROOT / "build" / "site"
MOVED: Final = {
    "README.md": "tutorial.md",
    "README.ja.md": "tutorial.ja.md",
    "docs/index.md": "index.md",
}
PAGES: Final = ("*.md", "docs/*.md", "docs/*.txt", "docs/*.png")
_LINK: Final = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)#\s]+)(#[^)]*)?\)")
# Japanese has no space where a line of the source ends.
_LINE_END: Final = re.compile(
    r"(?<=[\u3001-\u9fff\uff01-\uff9f])\n *(?=[\u3001-\u9fff\uff01-\uff9f])"
)
_FENCE: Final = re.compile(r"(^ *```.*?^ *```)", re.MULTILINE | re.DOTALL)
_TABLES: Final = (
    *(LedgerEntry, Declined, Quarantined, Enrollment, RejectedEnrollment),
    *(AcceptedEvent, RejectedEvent),
)


def main() -> None:
    """Makes build/site-source anew."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    (SOURCE / "docs" / "schemas").mkdir(parents=True)
    for pattern in PAGES:
        for page in sorted(ROOT.glob(pattern)):
            shutil.copy(page, SOURCE / page.relative_to(ROOT))
    manual = subprocess.run(
        [sys.executable, "-m", "mynapoint", "manual", "--as", "markdown"],
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    (SOURCE / "docs" / "commands.md").write_text(manual.stdout, encoding="utf-8")
    write_schemas(SOURCE / "docs")
    for page in sorted(SOURCE.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if page.name.endswith(".ja.md"):
            text = "".join(
                part if _FENCE.match(part) else _LINE_END.sub("", part)
                for part in _FENCE.split(text)
            )
        text = _LINK.sub(lambda link, at=page: on_the_site(link, at), text)
        page.write_text(text, encoding="utf-8")
    for page, place in MOVED.items():
        (SOURCE / page).rename(SOURCE / place)


def name_languages() -> None:
    """Says of the built pages that are in Japanese that they are: the site has one language."""
    for page in SITE.rglob("*.ja/index.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace('<html lang="en"', '<html lang="ja"', 1), encoding="utf-8")


def on_the_site(link: re.Match[str], page: Path) -> str:
    """The link as the site needs it, or its text where the site does not have what it leads to."""
    text, target, anchor = link.groups()
    if "://" in target or target.startswith("mailto:"):
        return link[0]
    if not (page.parent / target).is_file():
        return text
    aim = os.path.relpath(page.parent / target, SOURCE)
    folder = (SOURCE / MOVED.get(os.path.relpath(page, SOURCE), page)).parent
    return f"[{text}]({os.path.relpath(SOURCE / MOVED.get(aim, aim), folder)}{anchor or ''})"


def write_schemas(docs: Path) -> None:
    """A JSON Schema of each record and table, and the page that lists them."""
    schemas: dict[str, dict[str, Any]] = {
        "run-record": TypeAdapter(RunRecord).json_schema(),
        "payout-record": TypeAdapter(PayoutRecord).json_schema(),
        **{stem(record): schema_of(record) for record in _TABLES},
    }
    page = ["# Schemas", "", "JSON Schemas of records, and of the rows of a book's tables:", ""]
    for name, schema in schemas.items():
        dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
        text = json.dumps(dialect | schema, ensure_ascii=False, indent=2)
        (docs / "schemas" / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
        page.append(f"- [`{name}.json`](schemas/{name}.json)")
    (docs / "schemas.md").write_text("\n".join([*page, ""]), encoding="utf-8")


def stem(record: Record) -> str:
    """A record's name, as files have it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", record.name).lower()


def schema_of(record: Record) -> dict[str, Any]:
    """A table's row as JSON: times and days as text."""
    return {
        "title": record.name,
        "type": "object",
        "properties": {name: property_of(column) for name, column in record.columns.items()},
        "required": list(record.columns),
        "additionalProperties": False,
    }


def property_of(column: Column) -> dict[str, Any]:
    """A column's type and bounds."""
    kind = type(column.dtype).__name__
    found: dict[str, Any] = {"type": "integer" if kind.startswith("Int") else "string"}
    if kind == "List":
        return {"type": "array", "items": {"type": "string"}}
    if kind in ("Date", "Datetime"):
        found["format"] = {"Date": "date", "Datetime": "date-time"}[kind]
    bounds = {"minimum": column.least, "maximum": column.most, "maxLength": column.characters}
    found |= {key: value for key, value in bounds.items() if value is not None}
    if column.characters is not None:
        found["minLength"] = 1
    if column.words:
        found["enum"] = [*column.words, *([None] if column.nullable else [])]
    if column.nullable:
        found["type"] = [found["type"], "null"]
    return found


if __name__ == "__main__":
    name_languages() if sys.argv[1:] == ["--built"] else main()
