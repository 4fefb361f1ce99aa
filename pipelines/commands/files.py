"""The commands about providers' files: samples, layouts, previews, rows in quarantine."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveInt

from pipelines.commands.options import Paths, Settings
from pipelines.shown.texts import Lang, lang_of_locale

_ManualForm = Annotated[Literal["man", "markdown", "html"], Parameter(name="--as")]


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the completions for a shell / シェルの補完定義を出力する.

    Parameters
    ----------
    shell: str
        bash, zsh or fish; put what is printed where the shell looks for completions.
    """
    from pipelines.cli import app
    from pipelines.manual.command import print_completion

    return print_completion(app, shell)


def manual(*, form: _ManualForm = "markdown") -> int:
    """Print the manual: every command and option / マニュアルを出力する.

    Parameters
    ----------
    form: str
        man, for mynapoint.1; markdown or html.
    """
    from pipelines.cli import app
    from pipelines.manual.command import print_manual

    return print_manual(app, form)


def sample(
    folder: Path,
    /,
    *,
    people: PositiveInt = 200,
    transactions: PositiveInt = 3000,
    nights: PositiveInt = 6,
    seed: NonNegativeInt = 2020,
    answers_to: Path | None = None,
) -> int:
    """Write sample deliveries / サンプルの受信データを作成する.

    Parameters
    ----------
    folder: Path
        Where to write them; one folder a night.
    people: int
        How many people apply.
    transactions: int
        About how many transactions are delivered.
    nights: int
        Into how many nights they are cut.
    seed: int
        The same seed gives the same files.
    answers_to: Path
        Write answers.csv instead: what points systems would answer to the payout files in this
        folder, with a few refusals.
    """
    from pipelines.sample.command import write_answers_to, write_deliveries

    if answers_to is not None:
        return write_answers_to(folder, answers_to)

    return write_deliveries(
        folder, people=people, transactions=transactions, nights=nights, seed=seed
    )


def layouts(layout: str | None = None, /, *, lang: Lang | None = None) -> int:
    """List the layouts of providers' files that ship / 事業者ファイルのレイアウト一覧.

    Parameters
    ----------
    layout: str
        Print this layout's text instead, to be copied and changed.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.layouts.command import show_layouts

    return show_layouts(layout, lang=lang or lang_of_locale())


def preview(
    file: Path,
    /,
    *,
    layout: str | None = None,
    set_: Settings = None,
    role: Literal["transactions", "enrollments", "answers", "claims"] | None = None,
    rows: PositiveInt = 3,
    lang: Lang | None = None,
) -> int:
    """Show how a file would be read / ファイルの試し読み; books nothing.

    Exit 1 when rows of it would be quarantined.

    Parameters
    ----------
    file: Path
        The delivered file.
    layout: str
        How it is written: a layout's ID or file, or canonical. By default its header decides.
    set_: list[str]
        What the layout asks for, NAME=VALUE.
    role: str
        What it holds; by default its layout or header says so.
    rows: int
        How many of its first rows to show.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.layouts.command import preview_file

    return preview_file(
        file,
        layout=layout,
        settings=set_ or [],
        role=role,
        rows=rows,
        lang=lang or lang_of_locale(),
    )


def quarantine(
    book: Path,
    run: PositiveInt,
    /,
    *,
    csv: bool = False,
    out: Path | None = None,
    delivered: Paths | None = None,
    lang: Lang | None = None,
) -> int:
    """Show rows in quarantine, or write them back / 読込不可の行を表示し、訂正用に出力する.

    Parameters
    ----------
    book: Path
        The book's folder.
    run: int
        The run's number.
    csv: bool
        Write the rows to be corrected in the provider's own form and encoding, with a column for
        the reasons; mended and delivered again they book.
    out: Path
        A folder to write to, a file for each delivered one; by default, of one file, stdout.
    delivered: list[str]
        Where the delivered files are now, if not where they were.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.layouts.command import show_quarantine

    return show_quarantine(
        book, run, csv=csv, out=out, delivered=delivered or [], lang=lang or lang_of_locale()
    )


def new_layout(
    file: Path,
    /,
    *,
    role: Literal["transactions", "enrollments"] = "transactions",
) -> int:
    """Print a first draft of a layout, from a file's header / 見出し行からレイアウトの下書きを作る.

    Parameters
    ----------
    file: Path
        A file of the provider.
    role: str
        What it holds.
    """
    from pipelines.layouts.command import print_draft

    return print_draft(file, role=role)
