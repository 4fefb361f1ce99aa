"""What the auditor's commands share: where results may go."""

from pathlib import Path

import pytest

from engine.errors import InputError
from pipelines.cli import call
from pipelines.outputs import check_outside


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", "BOOK", "--person", "P", "--html"],
        ["reconcile", "BOOK", "CLAIM", "--out"],
        ["claim", "BOOK", "--final", "--out"],
        ["report", "BOOK", "--out"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_result_is_written_among_a_books_own_files(
    six_nights: Path, tmp_path: Path, arguments: list[str]
) -> None:
    book = tmp_path / "linked"
    book.symlink_to(six_nights)
    before = sorted(six_nights.rglob("*"))
    given = [{"BOOK": str(six_nights), "CLAIM": "claim.csv"}.get(one, one) for one in arguments]
    with pytest.raises(InputError, match="within the book"):
        call([*given, str(book / "runs" / "result")])
    assert sorted(six_nights.rglob("*")) == before


def test_beside_the_book_is_not_within_it(tmp_path: Path) -> None:
    check_outside(tmp_path / "book", tmp_path / "book.html")
