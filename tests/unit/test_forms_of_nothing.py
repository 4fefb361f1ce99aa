"""A column without a character is not read cell by cell: that must be what its form makes of it."""

from collections.abc import Mapping

import polars as pl
import pyarrow as pa
import pytest

from engine.io.delivered.roles import FORMS, ROLES
from engine.reading.cells import CellForm, Cells, DeliveredColumn, is_blank
from engine.reading.forms import EVENT_FORMS, TRANSACTION_FORMS
from engine.records import RoleName

NOTHING: Mapping[str, DeliveredColumn] = {
    "empty texts": pa.chunked_array([pa.array(["", None]), pa.array([""])]),
    "nothing at all": pl.Series([None] * 3, dtype=pl.String),
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("column", NOTHING.values(), ids=NOTHING)
def test_a_column_of_nothing_is_read_as_its_form_reads_it(
    role: RoleName, column: DeliveredColumn
) -> None:
    assert is_blank(column)
    values = ROLES[role].read(pa.table({"left out": [1, 2, 3]})).values
    for name, form in FORMS[role].items():
        by_its_form: Cells = form(column)
        assert by_its_form.faults == {}
        assert values[name].equals(by_its_form.values, check_dtypes=True)


@pytest.mark.parametrize("form", [TRANSACTION_FORMS["occurred_at"], EVENT_FORMS["note"]])
def test_a_cell_of_blanks_is_no_column_of_nothing(form: CellForm) -> None:
    blanks = pa.chunked_array([pa.array(["", " "])])
    assert not is_blank(blanks)
    assert form(blanks).values.null_count() == 2
