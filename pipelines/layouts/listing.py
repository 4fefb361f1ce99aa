"""``mynapoint layouts``: the layouts that ship, and what each asks for."""

import sys

from rich.console import Console
from rich.table import Table

from engine.layouts.catalogue import built_in_layouts, load_layout
from engine.layouts.model import Layout, Separated
from pipelines.shown.terminal import output, plain
from pipelines.shown.texts import Lang, Texts


def print_layouts(lang: Lang) -> None:
    """Prints one layout a line, and below it what it asks for."""
    texts, console = Texts("layouts", lang), output()
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "role", "form", "name"):
        table.add_column(texts(f"heading_{heading}"), no_wrap=True)
    layouts = [load_layout(layout_id) for layout_id in built_in_layouts()]
    for layout in layouts:
        table.add_row(layout.layout_id, layout.role, form(layout, texts), plain(layout.name))
    console.print(table)
    console.print()
    for layout in layouts:
        print_parameters(layout, texts, console)
    console.print(texts("how_to_copy"))


def form(layout: Layout, texts: Texts) -> str:
    """A file's form in a few words."""
    encoding = "UTF-8" if layout.file.encoding == "utf-8" else "CP932"
    if isinstance(layout.file, Separated):
        return texts("separated", encoding=encoding)
    return texts("fixed", encoding=encoding, bytes=layout.file.record_bytes)


def print_parameters(layout: Layout, texts: Texts, console: Console) -> None:
    """Prints what a layout asks for, one parameter a line."""
    for name, parameter in layout.parameters.items():
        asks = plain(parameter.asks)
        console.print(texts("asks", layout=layout.layout_id, name=name, asks=asks))


def print_layout(layout_id: str) -> None:
    """Prints a layout's own text, to be copied."""
    sys.stdout.write(load_layout(layout_id).text)
