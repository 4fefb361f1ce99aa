"""A column without a character is not read cell by cell: that must be what its form makes of it."""

from collections.abc import Mapping

import polars as pl
import pyarrow as pa
import pytest

from engine.reading.canonical import (
    read_answers,
    read_claims,
    read_enrollments,
    read_events,
    read_transactions,
)
from engine.reading.cells import Cells, Column, Form, is_blank
from engine.reading.forms import (
    ANSWER_FORMS,
    CLAIM_FORMS,
    ENROLLMENT_FORMS,
    EVENT_FORMS,
    TRANSACTION_FORMS,
)

READERS = {
    "transactions": (read_transactions, TRANSACTION_FORMS),
    "enrollments": (read_enrollments, ENROLLMENT_FORMS),
    "events": (read_events, EVENT_FORMS),
    "answers": (read_answers, ANSWER_FORMS),
    "claims": (read_claims, CLAIM_FORMS),
}
NOTHING: Mapping[str, Column] = {
    "empty texts": pa.chunked_array([pa.array(["", None]), pa.array([""])]),
    "nothing at all": pl.Series([None] * 3, dtype=pl.String),
}


@pytest.mark.parametrize("role", READERS)
@pytest.mark.parametrize("column", NOTHING.values(), ids=NOTHING)
def test_a_column_of_nothing_is_read_as_its_form_reads_it(role: str, column: Column) -> None:
    read, forms = READERS[role]
    assert is_blank(column)
    values = read(pa.table({"left out": [1, 2, 3]})).values
    for name, form in forms.items():
        by_its_form: Cells = form(column)
        assert by_its_form.faults == {}
        assert values[name].equals(by_its_form.values, check_dtypes=True)


@pytest.mark.parametrize("form", [TRANSACTION_FORMS["occurred_at"], EVENT_FORMS["note"]])
def test_a_cell_of_blanks_is_no_column_of_nothing(form: Form) -> None:
    blanks = pa.chunked_array([pa.array(["", " "])])
    assert not is_blank(blanks)
    assert form(blanks).values.null_count() == 2
