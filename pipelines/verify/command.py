"""The command's body: verify, say what was checked and found; exit 1 when there are findings."""

from pathlib import Path

from pipelines.shown.errors import output_may_fail
from pipelines.shown.result_files import check_new_file
from pipelines.shown.texts import Lang, Texts
from pipelines.verify.asked import NamedEvidence
from pipelines.verify.output import present


def verify_book(
    book: Path, asked: NamedEvidence, *, show_ids: bool, out: Path | None, lang: Lang, as_json: bool
) -> int:
    """Verifies a whole book; with deliveries, decides every run again.

    Raises:
        InputError: there is no book, or something that was given cannot be used.
        BookError: the book cannot be verified.
    """
    if out is not None:
        check_new_file(out)
    made_at, verified = asked.verified(book)
    texts = Texts("verify", lang)
    with output_may_fail():
        present(verified, texts, made_at=made_at, show_ids=show_ids, as_json=as_json, out=out)
    return 1 if verified.findings else 0
