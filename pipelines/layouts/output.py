"""A preview as people read it."""

from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.table import Table

from engine.layouts.catalogue import built_in_layouts, load_layout
from engine.layouts.model import ColumnSource
from engine.layouts.parameters import Described
from pipelines.layouts.listing import form
from pipelines.layouts.preview import Preview, PreviewedRow
from pipelines.shown.terminal import output, plain
from pipelines.shown.texts import Lang, Texts

_MOST_SHOWN: Final = 120


def print_preview(preview: Preview, lang: Lang) -> None:
    """Prints what was inferred, the first rows side by side, and what would become of all."""
    texts, console = Texts("layouts", lang), output()
    _inferred(preview, texts, console)
    for shown in preview.first:
        console.print()
        _row(shown, preview.described, texts, console)
    console.print()
    _totals(preview, texts, console)
    _faults(preview, texts, console)
    for row, what in preview.warnings:
        console.print(texts("warning", row=row, what=plain(what)))
    console.print(texts("nothing_booked"))


def _inferred(preview: Preview, texts: Texts, console: Console) -> None:
    console.print(texts("file", path=plain(preview.path), role=texts(preview.role)))
    if preview.described is None:
        console.print(texts("canonical"))
        return
    layout = preview.described.layout
    console.print(
        texts("layout", layout=layout.layout_id, name=plain(layout.name), form=form(layout, texts))
    )
    for name, value in preview.described.parameters.items():
        console.print(texts("parameter", name=name, value=plain(value)))


def _row(shown: PreviewedRow, described: Described | None, texts: Texts, console: Console) -> None:
    console.print(texts("row", row=shown.row, raw=_short(shown.raw)))
    if shown.errors:
        console.print(texts("faulty", errors=plain(", ".join(shown.errors))))
    elif shown.values is None:
        console.print(texts("left_out"))
    if shown.values is None:
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(4):
        table.add_column(no_wrap=True)
    for name, value in shown.values.items():
        source = described.layout.columns.get(name) if described else None
        table.add_row("   ", name, _short(value), _origin(source, texts))
    console.print(table)


def _origin(source: ColumnSource | None, texts: Texts) -> str:
    if source is None:
        return ""
    if source.constant is not None and not source.names:
        return texts("constant")
    return texts("from", names=plain(" + ".join(source.names)))


def _totals(preview: Preview, texts: Texts, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column(texts("rows_of_the_file"))
    table.add_column(texts("rows"), justify="right")
    table.add_column(texts("yen"), justify="right")
    table.add_row(texts("read"), f"{preview.read:,}")
    yen = f"{preview.yen:,}" if preview.role == "transactions" else ""
    table.add_row(texts("readable"), f"{preview.readable:,}", yen)
    _split(preview.kinds, table)
    if preview.repeated:
        table.add_row(f"    {texts('repeated')}", f"{preview.repeated:,}", style="dim")
    skipped = sum(rows for rows, _ in preview.skipped.values())
    table.add_row(texts("skipped"), f"{skipped:,}")
    _split(preview.skipped, table)
    table.add_row(texts("quarantined"), f"{preview.quarantined:,}")
    for error, fault in preview.faults.items():
        table.add_row(f"    {plain(error)}", f"{fault.rows:,}", style="dim")
    console.print(table)


def _split(parts: Mapping[str, tuple[int, int]], table: Table) -> None:
    for what, (rows, yen) in sorted(parts.items()):
        table.add_row(f"    {plain(what)}", f"{rows:,}", f"{yen:,}", style="dim")


def _faults(preview: Preview, texts: Texts, console: Console) -> None:
    for error, fault in preview.faults.items():
        if not fault.examples:
            continue
        console.print()
        console.print(texts("fault", error=plain(error)))
        for row, raw in fault.examples:
            console.print(texts("example", row=row, raw=_short(raw)))
    console.print()
    described = preview.described
    shipped = {load_layout(layout_id).sha256 for layout_id in built_in_layouts()}
    if described is not None and described.layout.sha256 in shipped:
        console.print(texts("change_it", layout=described.layout.layout_id))


def _short(text: str) -> str:
    text = plain(text)
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"
