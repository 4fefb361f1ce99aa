"""The command's body: draw and write, or read what was filled in and evaluate."""

import json
from pathlib import Path
from typing import Final

from engine.errors import InputError
from engine.extras import require_extra
from engine.paths import local_path
from pipelines.desk.months import checked_month
from pipelines.desk.opened_book import OpenedBook, open_book
from pipelines.draw.evaluation import evaluate
from pipelines.draw.output import (
    print_evaluation,
    print_evaluation_json,
    print_sample,
    print_sample_json,
)
from pipelines.draw.population import draw, explained_units
from pipelines.draw.sample import Drawn, Method, Sample
from pipelines.draw.sheet import filled_in, read_description, read_sheet, write_sample
from pipelines.explain.wording import Words
from pipelines.shown.errors import output_may_fail
from pipelines.shown.result_files import check_folder, whole_folder
from pipelines.shown.texts import Lang, Texts

MOST_UNITS: Final = 10_000


def draw_sample(
    book: Path,
    *,
    out: Path | None,
    units: int | None,
    seed: int | None,
    method: Method,
    month: str | None,
    lang: Lang,
    as_json: bool,
) -> int:
    """Draws a sample from a book and writes its sheet to ``out``.

    Raises:
        InputError: an option is missing or wrong, or nothing can be written there.
        BookError: there is no book, or a file of it is damaged.
    """
    if units is None or seed is None or out is None:
        raise InputError(
            "draw: --units, --seed and --out are needed",
            hint="or --evaluate DIR for a sample that is filled in",
        )
    if not 1 <= units <= MOST_UNITS:
        raise InputError(
            f"--units: must be between 1 and {MOST_UNITS:,}, is {units}",
            hint="an auditor looks at each of them",
        )
    require_extra("draw", "desk", "xlsxwriter")
    check_folder(out)
    opened = open_book(book)
    if month is not None:
        checked_month(opened, month)
    sample = explained_units(opened, draw(opened, Drawn(method, units, seed, month)), Words(lang))
    texts = Texts("draw", lang)
    with whole_folder(out) as folder:
        write_sample(folder, sample, texts, opened.records[-1].booked_on)
    with output_may_fail():
        if as_json:
            print_sample_json(sample)
        else:
            print_sample(sample, out, texts)
    return 0


def drawn_again(opened: OpenedBook, folder: Path) -> Sample:
    """The sample of a folder, drawn once more from the book as it was then.

    Raises:
        InputError: the folder holds no sample, or it is not of this book.
        BookError: a file of the book is damaged.
    """
    drawn, last_run, sha256 = read_description(folder)
    if not 1 <= last_run <= opened.runs:
        raise InputError(
            f"{folder}: the sample was drawn up to run {last_run}, the book ends with run "
            f"{opened.runs}",
            hint="name the book that it was drawn from",
        )
    sample = draw(OpenedBook(opened.book, opened.records[:last_run]), drawn)
    if sample.last_record_sha256 != sha256:
        raise InputError(
            f"{folder}: the sample was drawn from another book, or the book has changed since",
            hint="name the book that it was drawn from, and verify it: mynapoint verify",
        )
    return sample


def evaluate_sample(
    book: Path,
    *,
    folder: Path,
    sheet: Path | None,
    confidence: float,
    out: Path | None,
    lang: Lang,
    as_json: bool,
) -> int:
    """Evaluates a filled-in sample, which is drawn once more from the book as it was then.

    Returns 1 when a unit differs.

    Raises:
        InputError: the sheet is not that of the sample, or is not filled in.
        BookError: there is no book, or a file of it is damaged.
    """
    if not 50 < confidence < 100:
        raise InputError(
            f"--confidence: must be between 50 and 100 percent, is {confidence:g}",
            hint="95 is usual",
        )
    if out is not None:
        check_folder(out)
    folder = local_path(folder)
    sample = drawn_again(open_book(book), folder)
    audited = read_sheet(filled_in(folder) if sheet is None else local_path(sheet), sample)
    evaluation = evaluate(sample, audited, confidence)
    if out is not None:
        with whole_folder(out) as fresh:
            value = {"sample": sample.value(), "evaluation": evaluation.value()}
            text = json.dumps(value, ensure_ascii=False, indent=1)
            (fresh / "evaluation.json").write_text(f"{text}\n", encoding="utf-8")
    with output_may_fail():
        if as_json:
            print_evaluation_json(sample, evaluation)
        else:
            print_evaluation(sample, evaluation, Texts("draw", lang))
    return 1 if evaluation.errors else 0
