"""The bodies of the commands about layouts; each imports what it alone needs."""

import sys
from collections.abc import Sequence
from pathlib import Path

from engine.records import RoleName
from pipelines.shown.errors import output_may_fail
from pipelines.shown.texts import Lang, Texts


def show_layouts(layout: str | None, *, lang: Lang) -> int:
    """Lists the layouts that ship, or prints the text of one.

    Raises:
        InputError: there is no such layout.
    """
    from pipelines.layouts.listing import print_layout, print_layouts

    with output_may_fail():
        if layout is None:
            print_layouts(lang)
        else:
            print_layout(layout)
    return 0


def preview_file(
    file: Path,
    *,
    layout: str | None,
    settings: Sequence[str],
    role: RoleName | None,
    rows: int,
    lang: Lang,
) -> int:
    """Shows how a file would be read; gives 1 when rows of it would be quarantined.

    Raises:
        InputError: the file, its layout or what is set cannot be used.
    """
    from pipelines.desk.ordered_options import parameters_of
    from pipelines.layouts.output import print_preview
    from pipelines.layouts.preview import preview

    parameters = parameters_of(settings)
    seen = preview(file, layout=layout, role=role, parameters=parameters, first=rows)
    with output_may_fail():
        print_preview(seen, lang)
    return 1 if seen.quarantined else 0


def show_quarantine(
    book: Path,
    run: int,
    *,
    csv: bool,
    out: Path | None,
    delivered: Sequence[str],
    lang: Lang,
) -> int:
    """Prints a run's rows in quarantine, or writes them back in the provider's own form.

    Raises:
        InputError: there is no such run, or a delivered file or the folder cannot be used.
        BookError: there is no book, or a file of it is damaged.
    """
    from pipelines.layouts.quarantine import print_rows, write_files
    from pipelines.layouts.writing_back import set_aside

    quarantined = set_aside(book, run)
    if not quarantined:
        sys.stderr.write(f"{Texts('quarantine', lang)('none')}\n")
    with output_may_fail():
        if csv and quarantined:
            write_files(quarantined, delivered, out, lang)
        else:
            print_rows(quarantined)
    return 0


def print_draft(file: Path, *, role: RoleName) -> int:
    """Prints a first draft of a layout, from a file's header.

    Raises:
        InputError: no header can be found.
    """
    from pipelines.layouts.draft import draft

    text = draft(file, role)
    with output_may_fail():
        sys.stdout.write(text)
    return 0
