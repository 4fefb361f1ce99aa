"""The command's body: which of the payout runs is asked for, make it, print it."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from engine.errors import InputError
from engine.io.book.writing import USUAL_ACCESS, Access
from engine.io.delivered.deliveries import DeliveredAs
from engine.io.payout.payout_run import copy_again, payout, take_answers
from pipelines.desk.ordered_options import deliveries_in_order
from pipelines.payout.output import print_copied, print_json_record, print_result
from pipelines.shown.errors import output_may_fail
from pipelines.shown.summary import print_row_warnings
from pipelines.shown.texts import Lang, Texts


def pay_out(
    book: Path,
    *,
    lang: Lang,
    due_by: dt.date | None = None,
    out: Path | None = None,
    services: Sequence[str] = (),
    answers: Sequence[str] = (),
    layouts: Sequence[str] = (),
    settings: Sequence[str] = (),
    others_done: int | None = None,
    answered_on: dt.date | None = None,
    again: int | None = None,
    max_quarantined: float | None = None,
    whole_lines: bool = False,
    access: Access = USUAL_ACCESS,
    allow_far: bool = False,
    dry_run: bool = False,
    as_json: bool = False,
    arguments: Sequence[str] = (),
) -> int:
    """Makes a payout run, or copies the files of an earlier one.

    Raises:
        InputError: the options do not say one thing; nothing was booked.
        BookError: the book is in use or damaged.
    """
    delivered: Sequence[str | DeliveredAs] = answers
    if due_by is None and (layouts or settings):
        delivered = deliveries_in_order(arguments, {"answers": answers})["answers"]
    texts = Texts("payout", lang)
    takes_answers = bool(answers) or others_done is not None
    if [due_by is not None, takes_answers, again is not None].count(True) != 1:
        raise InputError(
            "payout: one of --due-by, --answers (or --others-done) and --again is needed",
            hint="--due-by YYYY-MM-DD --out DIR instructs, --answers PATH takes in what was "
            "answered, --again NNNNNN --out DIR copies files once more",
        )
    if (others_done is None) != (answered_on is None):
        raise InputError(
            "payout: --others-done and --answered-on belong together",
            hint="--others-done NNNNNN --answered-on YYYY-MM-DD",
        )
    _refuse_needless(
        {
            "--out": out is not None and takes_answers,
            "--service": bool(services) and due_by is None and others_done is None,
            "--max-quarantined": max_quarantined is not None and not answers,
            "--whole-lines": whole_lines and not answers,
            "--layout, given twice,": due_by is not None and len(layouts) > 1,
            "--set": bool(settings) and due_by is not None,
            "--allow-far": allow_far and due_by is None,
            "--dry-run": dry_run and again is not None,
        }
    )
    if out is None and not takes_answers and not dry_run:
        raise InputError(
            "payout: --out is needed", hint="name the folder that the files are copied to"
        )
    if again is not None:
        assert out is not None
        copied = copy_again(book, again, out, access)
        with output_may_fail():
            print_copied(copied, as_json=as_json)
        return 0
    if due_by is not None:
        result = payout(
            book,
            due_by=due_by,
            out=out,
            services=services,
            layout=layouts[0] if layouts else None,
            allow_far=allow_far,
            dry_run=dry_run,
            access=access,
        )
    else:
        result = take_answers(
            book,
            answers=delivered,
            others_done=others_done,
            answered_on=answered_on,
            services=services,
            max_quarantined=0.05 if max_quarantined is None else max_quarantined,
            whole_lines=whole_lines,
            dry_run=dry_run,
            access=access,
        )
    with output_may_fail():
        print_row_warnings(result.record.warnings, lang)
        if as_json:
            print_json_record(result)
        else:
            print_result(result, texts)
    return 0


def _refuse_needless(given: dict[str, bool]) -> None:
    for option, is_needless in given.items():
        if is_needless:
            raise InputError(
                f"{option}: says nothing here", hint="leave it out; see mynapoint payout --help"
            )
