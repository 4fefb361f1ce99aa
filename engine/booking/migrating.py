"""What format 1 counted differently: the people for whom the first run of format 2 books recounts.

Format 1 let a refund change its own rounding group alone, also where it gave room under the cap
back to another.
"""

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl

from engine.booking.awarding import CUMULATIVE
from engine.booking.index_spaces import BookPositions
from engine.booking.recounted import changes_by_group, history_of
from engine.booking.registry import Numbers, terms_of_services
from engine.booking.state import Past
from engine.terms.programme import Programme
from engine.terms.services import Services


def counted_otherwise(
    past: Past,
    services: Services,
    programme: Programme,
    entries_at: Callable[[BookPositions], pl.DataFrame],
) -> tuple[dict[int, dict[int, int]], int]:
    """By person, what each transaction was counted, where a rounding group comes to another sum;
    and how many recounts say so.
    """
    history = history_of(_in_question(past, services, programme), past, services)
    counted = dict(_counted(np.unique(history.person_nos), past, entries_at))
    follows_yen = history.counted_yen(programme)
    more_yen = follows_yen - history.as_said(follows_yen, counted)
    places, _ = changes_by_group(history, history.groups(), more_yen)
    found = np.unique(history.person_nos[places]).tolist()
    return {person_no: counted[person_no] for person_no in found}, places.size


def _in_question(past: Past, services: Services, programme: Programme) -> Numbers:
    """People with a refund, several rounding groups, and once more spending than the cap."""
    originals, _ = past.refunded
    facts = past.facts_at(originals)
    service_ids, _ = past.registry.account_ids(facts["account_no"])
    (roundings,) = terms_of_services(service_ids, services, "rounding")
    person_nos = facts["person_no"].astype(np.int64)
    several = (roundings.to_physical().to_numpy() != CUMULATIVE) | past.registry.several[person_nos]
    person_nos = np.unique(person_nos[several])
    positions = past.positions_of(person_nos)
    facts = past.facts_at(positions)
    spent = np.bincount(
        facts["person_no"], np.maximum(facts["signed_amount"], 0), past.registry.several.size
    )
    return person_nos[spent[person_nos] > programme.cap_yen]


def _counted(
    person_nos: Numbers, past: Past, entries_at: Callable[[BookPositions], pl.DataFrame]
) -> Iterator[tuple[int, dict[int, int]]]:
    """By person, what the entries count of each charge or purchase, refunds taken off."""
    positions = past.positions_of(person_nos)
    entries = entries_at(positions).select(
        "service_id",
        pl.coalesce("original_transaction_id", "transaction_id").alias("spending_id"),
        "counted_amount",
        position=pl.Series(positions),
        person_no=pl.Series(past.facts_at(positions)["person_no"].astype(np.int64)),
    )
    counted = entries.group_by("person_no", "service_id", "spending_id").agg(
        pl.col("position").min(), pl.col("counted_amount").sum()
    )
    for (person_no,), rows in counted.group_by("person_no"):
        yield person_no, dict(rows.select("position", "counted_amount").iter_rows())
