"""Every reason code is told in words, and with the notice's own where it has some."""

from pathlib import Path

import oracle
import polars as pl
import pytest

from engine.io.book.format import RunTable
from engine.rules import Rule
from engine.rules.application import rules_for_applications
from engine.rules.clauses import clause_of
from engine.rules.refunds import rules_for_refunds
from engine.rules.spending import rules_for_spending
from engine.terms.programme import load_programme
from engine.terms.services import load_services
from pipelines.desk.opened_book import open_book
from pipelines.desk.reasons import fault, reason
from pipelines.shown.texts import LANGS, Lang

# Rules of the book, or of a service, of which the notice says nothing.
WITHOUT_A_CLAUSE = {
    "duplicate",
    "voided",
    "account_taken",
    "excluded_method",
    "enrollment_stopped",
    "original_not_booked",
    "refund_account_differs",
    "refund_before_original",
    "refund_exceeds_original",
}
REASONS = sorted({*oracle.DECLINE_REASONS, *oracle.ENROLLMENT_REASONS})


@pytest.mark.parametrize("code", REASONS)
def test_every_reason_has_words_in_both_languages(code: str) -> None:
    words = {reason(code, lang).words for lang in LANGS}
    assert len(words) == len(LANGS)
    assert code not in words


@pytest.mark.parametrize("code", REASONS)
def test_every_reason_rests_on_a_clause_or_is_known_to_have_none(code: str) -> None:
    assert (clause_of(code) is None) == (code in WITHOUT_A_CLAUSE)


def test_a_rule_is_named_as_the_clause_that_it_quotes_is_found() -> None:
    terms = load_programme("mynapoint-2020").terms_as_of(None)
    rules: list[Rule] = [
        *rules_for_applications(terms),
        *rules_for_refunds(),
        *rules_for_spending(terms, load_services(None)),
    ]
    for rule in rules:
        assert clause_of(rule.reason) or rule.reason in WITHOUT_A_CLAUSE


@pytest.mark.parametrize("lang", LANGS)
def test_every_fault_that_occurs_is_told_in_words(six_nights: Path, lang: Lang) -> None:
    opened = open_book(six_nights)
    errors = opened.table(RunTable.QUARANTINE).select(pl.col("errors").explode().unique()).collect()
    for error in errors.to_series():
        assert error.split(":")[1] not in fault(error, lang)


def test_a_code_of_a_later_version_is_shown_as_it_is() -> None:
    assert reason("new_reason", "ja").words == "new_reason"
    assert fault("amount:new", "en") == "amount:new"
