"""Points on their way to a number that turned out to be nobody's, or somebody else's."""

import logging

import pytest
from payout_books import PayoutBook, paid, points, service

from pipelines.cli import call

__all__ = ["paid"]

HEADER = (
    "event_id,kind,authority,person_id,service_id,account_id,transaction_id,other_id,effective_at\n"
)


def take_event(book: PayoutBook, booked_on: str, event: str) -> None:
    events = book.file(f"events-{booked_on}.csv", f"{HEADER}{event}\n")
    arguments = ["run", str(book.path), "--booked-on", booked_on, "--events", str(events)]
    assert call([*arguments, "--quiet"]) == 0


def test_payout_names_points_on_their_way_to_a_number_that_is_no_longer_the_accounts(
    paid: PayoutBook, caplog: pytest.LogCaptureFixture
) -> None:
    text = service('{ when = "at_once" }')
    paid.run("2020-10-02", "T1,A1,2020-10-01,purchase,4000", ("A1",), services=text)
    replaced = "V1,account_replaced,help desk,,coin,A1,,B1,2020-10-01 00:00:00"
    take_event(paid, "2020-10-03", replaced)
    with caplog.at_level(logging.WARNING):
        [line] = paid.pay("2020-10-03")
        assert (points([line]), caplog.text) == ([("B1", "pay", 1000)], "")
        take_event(paid, "2020-10-04", "V2,undone,help desk,,,,,V1,")
        assert points(paid.pay("2020-10-04")) == [("A1", "pay", 1000)]
    assert "coin: 1000 points (payouts: 1) are on their way to numbers that are no longer" in (
        caplog.text
    )
    caplog.clear()
    assert paid.answer(f"{line['payout_id']},refused,,2020-10-05,no such number") == 0
    with caplog.at_level(logging.WARNING):
        assert paid.pay("2020-10-05") == []
    assert "on their way" not in caplog.text
