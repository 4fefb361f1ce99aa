"""The columns by which an entry is listed, on the terminal, in reports and when browsing."""

from typing import Final, NamedTuple

from pipelines.explain.account import EntryExplanation
from pipelines.explain.wording import Words
from pipelines.report.table import Kind, Value


class EntryColumn(NamedTuple):
    """A column: its name for machines, its heading's text, how its values are shown."""

    key: str
    text: str
    kind: Kind


ENTRY_COLUMNS: Final = (
    EntryColumn("seq", "column_seq", "number"),
    EntryColumn("occurred_at", "column_occurred", "day"),
    EntryColumn("run", "column_run", "code"),
    EntryColumn("service_id", "column_service", "code"),
    EntryColumn("kind", "column_kind", "text"),
    EntryColumn("amount_yen", "column_amount", "number"),
    EntryColumn("counted_yen", "column_counted", "number"),
    EntryColumn("points", "column_points", "number"),
    EntryColumn("net_after", "column_net", "number"),
    EntryColumn("points_after", "column_points_after", "number"),
    EntryColumn("transaction_id", "column_transaction", "code"),
)


def entry_cells(explained: EntryExplanation, words: Words) -> dict[str, Value]:
    """What stands in these columns of an entry, by their names."""
    entry = explained.entry
    values: tuple[Value, ...] = (
        *(entry.entry_seq, str(entry.occurred_at), entry.run_id, entry.service_id),
        *(words.texts(entry.kind), entry.amount, entry.counted_amount, entry.points),
        *(entry.net_spend_after, entry.points_after, entry.transaction_id),
    )
    return dict(zip((column.key for column in ENTRY_COLUMNS), values, strict=True))
