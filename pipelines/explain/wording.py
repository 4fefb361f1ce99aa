"""The story in words: each entry's reasons as sentences, in Japanese or English."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from pipelines.desk.reasons import fault, reason
from pipelines.desk.terms import rate
from pipelines.explain.account import REFUND, Entry, EntryExplanation, Worth
from pipelines.explain.set_aside import Quarantined
from pipelines.explain.story import (
    Application,
    ConcerningEvent,
    Declined,
    Fact,
    Person,
    Transaction,
)
from pipelines.shown.texts import Lang, Texts


class Words:
    """The sentences about a story, in one language."""

    def __init__(self, lang: Lang) -> None:
        self.lang = lang
        self.texts = Texts("explain", lang)

    def why(self, explained: EntryExplanation) -> list[str]:
        """Why an entry counted and earned what it did, one sentence per reason."""
        return [
            *self._counted(explained),
            *self._earned(explained),
            *self._later(explained),
            *self._fault(explained),
        ]

    def joined(self, sentences: Sequence[str]) -> str:
        """Joins sentences; Japanese has no space between them."""
        return ("" if self.lang == "ja" else " ").join(sentences)

    def _counted(self, explained: EntryExplanation) -> Iterator[str]:
        entry, cap = explained.entry, explained.terms.cap_yen
        counted = abs(explained.counted_yen)
        if entry.is_recount:
            yield self._recounted(explained)
        elif entry.is_void:
            yield self._void(explained)
            yield self.texts("counted_change", counted=explained.counted_yen)
        elif entry.kind == REFUND:
            yield from self._refunded(explained)
        elif counted == entry.amount:
            yield self.texts("counted_all", amount=entry.amount)
        elif counted == 0:
            yield self.texts("cap_reached", cap=cap, net_before=explained.net_before_yen)
        else:
            left = cap - explained.net_before_yen
            yield self.texts("cap_bites", cap=cap, left=left, amount=entry.amount, counted=counted)
        if counted != abs(entry.net_amount):
            yield self._clause("counted_spend")

    def _refunded(self, explained: EntryExplanation) -> Iterator[str]:
        entry, cap = explained.entry, explained.terms.cap_yen
        counted, taken = abs(explained.counted_yen), -explained.net_yen
        over = explained.net_before_yen - cap
        yield self._original(explained)
        if taken < entry.amount:
            yield self.texts("refund_left", amount=entry.amount, taken=taken)
        if counted == taken:
            yield self.texts("refund_all", amount=taken)
        elif counted == 0 and explained.net_after_yen >= cap:
            yield self.texts("refund_above_cap", net_after=explained.net_after_yen, cap=cap)
        elif counted == taken - over:
            yield self.texts("refund_part", over=over, amount=taken, counted=counted)
        else:
            yield self.texts("counted_change", counted=explained.counted_yen)

    def _void(self, explained: EntryExplanation) -> str:
        voided = explained.voids
        if voided is None:
            return self.texts("void_of_unknown")
        return self.texts(
            "void_of",
            entry_seq=voided.entry_seq,
            run_id=voided.run_id,
            event=self._by_event(explained),
        )

    def _recounted(self, explained: EntryExplanation) -> str:
        if explained.inherited:
            return self.texts(
                "recount_of_format_1",
                transaction_id=explained.entry.transaction_id,
                counted=explained.counted_yen,
            )
        if explained.cause is None:
            return self.texts("recount_of_unknown")
        cause = explained.cause
        return self.texts(
            "recount_of",
            kind=self.texts(cause.kind),
            cause=cause.transaction_id,
            entry_seq=cause.entry_seq,
            transaction_id=explained.entry.transaction_id,
            counted=explained.counted_yen,
        )

    def _by_event(self, explained: EntryExplanation) -> str:
        event = explained.event
        if event is None:
            return self.texts("by_unknown_event", event_id=explained.entry.event_id)
        return self.texts(
            "by_event",
            event_id=event["event_id"],
            kind=self.texts(event["kind"]),
            authority=event["authority"],
        )

    def _original(self, explained: EntryExplanation) -> str:
        original = explained.original
        if original is None:
            return self.texts("refund_of_unknown", transaction_id=explained.entry.spending_id)
        return self.texts(
            "refund_of",
            run_id=original.run_id,
            kind=self.texts(original.kind),
            transaction_id=original.transaction_id,
            occurred_at=original.occurred_at,
            amount=original.amount,
        )

    def _earned(self, explained: EntryExplanation) -> Iterator[str]:
        if explained.counted_yen == 0:
            yield self.texts("no_points")
            return
        rounding = explained.terms.rounding
        before, after = explained.worth_before, explained.worth_after
        yield self.texts(
            "points",
            group=self.texts(f"group_{rounding}", month=explained.month),
            before=explained.group_before_yen,
            after=explained.group_after_yen,
            rate=rate(explained.terms.numerator, explained.terms.denominator, self.lang),
            worth_before=before.points,
            worth_after=after.points,
            points=explained.points,
        )
        if before.fraction and rounding != "transaction":
            yield self.texts("fraction_before", fraction=fraction(before))
        if after.fraction:
            key = {"cumulative": "carried", "month": "carried_in_month", "transaction": "cut"}
            yield self.texts(key[rounding], fraction=fraction(after), month=explained.month)

    def _later(self, explained: EntryExplanation) -> Iterator[str]:
        for refund in explained.refunds:
            yield self.texts(
                "refunded_later",
                run_id=refund.run_id,
                amount=-refund.net_amount,
                transaction_id=refund.transaction_id,
            )
        for void in explained.voided_by:
            yield self.texts("voided_later", run_id=void.run_id, event_id=void.event_id)

    def _fault(self, explained: EntryExplanation) -> Iterator[str]:
        if not explained.agrees:
            yield self.texts(
                "disagrees",
                counted=explained.counted_yen,
                points=explained.points,
                net=explained.net_after_yen,
                points_after=explained.points_after,
            )

    def _clause(self, code: str) -> str:
        clause = reason(code, self.lang).clause
        return self.texts("clause", clause=clause) if clause else self.texts("no_clause")

    def reason(self, code: str) -> str:
        """A reason with its code, in words, and the clause of the notice."""
        text = self.texts("reason", code=code, words=reason(code, self.lang).words)
        return f"{text} {self._clause(code)}"

    def booked(self, entry: Entry) -> str:
        """Where an entry is in the ledger, and what it earned."""
        return self.texts(
            "booked",
            run_id=entry.run_id,
            booked_on=entry.booked_on,
            person_id=entry.person_id,
            entry_seq=entry.entry_seq,
            points=entry.points,
        )

    def holds(self, person: Person) -> str:
        """A person's points and totals."""
        return self.texts(
            "holds",
            points=person.points,
            counted=person.counted_yen,
            cap=person.cap_yen,
            net=person.net_spend_yen,
            entries=len(person.entries),
        )

    def application(self, application: Application) -> str:
        """What became of an application."""
        values = {
            **application.row,
            "run_id": application.run_id,
            "booked_on": application.booked_on,
        }
        if application.reason is not None:
            text = self.texts("rejected", **values | {"reason": self.reason(application.reason)})
            return self.joined([text, *self.facts(application.facts)])
        text = self.texts("accepted", **values, counts_from=application.counts_from)
        if application.row["basis"]:
            text = self.texts("chosen", text=text, basis=self.texts(application.row["basis"]))
        return text

    def of_the_account(self, application: Application) -> str:
        """An account's application, shown with a transaction that it decided."""
        return self.texts("its_application", application=self.application(application))

    def declined(self, declined: Declined) -> str:
        """Why a transaction earned nothing, and what has become of it since."""
        values = {**declined.row, "run_id": declined.run_id, "booked_on": declined.booked_on}
        values |= {"kind": self.texts(declined.row["kind"]), "reason": self.reason(declined.reason)}
        text = self.joined([self.texts("declined", **values), *self.facts(declined.facts)])
        if declined.taken_up is not None:
            return self.joined([text, self.texts("taken_up", run_id=declined.taken_up)])
        return self.joined([text, self.texts("waits")]) if declined.waits else text

    def facts(self, facts: Sequence[Fact]) -> Iterator[str]:
        """What makes the reasons hold; the first is the one that was recorded."""
        for place, fact in enumerate(facts):
            if fact.reason != facts[0].reason:
                yield self.texts("also_holds", reason=self.reason(fact.reason))
            elif place == 0 and not fact.values:
                continue
            yield from self._fact(fact)

    def _fact(self, fact: Fact) -> Iterator[str]:
        """One fact in words; of some reasons there are several kinds."""
        values = dict(fact.values)
        if not values:
            return
        key = f"fact_{fact.reason}"
        for name in ("rejected_for", "accepted_later_in", "booked_later_in", "is_refund", "chosen"):
            if name in values:
                key = f"{key}_{name}"
        if fact.reason == "original_not_booked" and values.keys() == {"original"}:
            key = "fact_original_unknown"
        for name in ("kind", "basis"):
            if name in values:
                values[name] = self.texts(str(values[name]))
        if "rejected_for" in values:
            values["words"] = reason(str(values["rejected_for"]), self.lang).words
        yield self.texts(key, **values)

    def event(self, event: ConcerningEvent) -> str:
        """A correction, and what became of it."""
        row = event.row
        names = ("person_id", "service_id", "account_id", "transaction_id", "other_id")
        about = ", ".join(str(row[name]) for name in names if row[name] is not None)
        text = self.texts(
            "event" if event.reason is None else "event_rejected",
            run_id=event.run_id,
            booked_on=event.booked_on,
            event_id=row["event_id"],
            kind=self.texts(row["kind"]),
            about=about,
            authority=row["authority"],
            reason="" if event.reason is None else self.reason(event.reason),
        )
        if row["effective_at"] is not None:
            text = self.joined([text, self.texts("effective_at", effective_at=row["effective_at"])])
        return self.joined([text, self.texts("noted", note=row["note"])]) if row["note"] else text

    def terms(self, declined: Declined) -> str:
        """The terms that a transaction was declined under."""
        return self.texts("terms", **asdict(declined.terms))

    def unknown(self, person: Person) -> str:
        """Says that nothing is known of a person, and how certain that is."""
        if person.without_ids:
            return self.texts("unknown_without_ids", rows=person.without_ids)
        return self.texts("unknown_person")

    def never_delivered(self, transaction: Transaction) -> str:
        """Says that no run knows of a transaction, and how certain that is."""
        if transaction.without_ids:
            return self.texts("without_ids", rows=transaction.without_ids)
        return self.texts("never_delivered")

    def quarantined(self, quarantined: Quarantined) -> str:
        """Where a row was set aside, and for which faults."""
        faults = "; ".join(fault(error, self.lang) for error in quarantined.errors)
        return self.texts(
            "quarantined",
            run_id=quarantined.run_id,
            file=quarantined.file,
            row=quarantined.row,
            faults=faults,
        )


def fraction(worth: Worth) -> str:
    """The fraction of a point, exactly: with decimals where they end, as a ratio elsewhere."""
    for digits in range(1, 7):
        scaled, rest = divmod(worth.fraction * 10**digits, worth.denominator)
        if not rest:
            return f"0.{scaled:0{digits}}"
    return f"{worth.fraction}/{worth.denominator}"
