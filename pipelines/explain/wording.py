"""The story in words: each entry's reasons as sentences, in Japanese or English."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from pipelines.desk.reasons import fault, reason
from pipelines.desk.terms import rate
from pipelines.explain.account import REFUND, Entry, Explained, Worth
from pipelines.explain.set_aside import Quarantined
from pipelines.explain.story import Application, ConcerningEvent, Declined, Person, Transaction
from pipelines.shown.texts import Lang, Texts


class Words:
    """What is said of a story, in one language."""

    def __init__(self, lang: Lang) -> None:
        self.lang = lang
        self.texts = Texts("explain", lang)

    def why(self, one: Explained) -> list[str]:
        """Why an entry counted and earned what it did, a sentence each."""
        return [*self._counted(one), *self._earned(one), *self._later(one), *self._fault(one)]

    def joined(self, sentences: Sequence[str]) -> str:
        """Sentences one after the other: Japanese leaves no space between them."""
        return ("" if self.lang == "ja" else " ").join(sentences)

    def _counted(self, one: Explained) -> Iterator[str]:
        entry, cap = one.entry, one.terms.cap_yen
        counted = abs(one.counted_yen)
        if entry.is_recount:
            yield self._recounted(one)
        elif entry.is_void:
            yield self._void(one)
            yield self.texts("counted_change", counted=one.counted_yen)
        elif entry.kind == REFUND:
            yield from self._refunded(one)
        elif counted == entry.amount:
            yield self.texts("counted_all", amount=entry.amount)
        elif counted == 0:
            yield self.texts("cap_reached", cap=cap, net_before=one.net_before_yen)
        else:
            left = cap - one.net_before_yen
            yield self.texts("cap_bites", cap=cap, left=left, amount=entry.amount, counted=counted)
        if counted != abs(entry.net_amount):
            yield self._clause("counted_spend")

    def _refunded(self, one: Explained) -> Iterator[str]:
        entry, cap = one.entry, one.terms.cap_yen
        counted, taken = abs(one.counted_yen), -one.net_yen
        over = one.net_before_yen - cap
        yield self._original(one)
        if taken < entry.amount:
            yield self.texts("refund_left", amount=entry.amount, taken=taken)
        if counted == taken:
            yield self.texts("refund_all", amount=taken)
        elif counted == 0 and one.net_after_yen >= cap:
            yield self.texts("refund_above_cap", net_after=one.net_after_yen, cap=cap)
        elif counted == taken - over:
            yield self.texts("refund_part", over=over, amount=taken, counted=counted)
        else:
            yield self.texts("counted_change", counted=one.counted_yen)

    def _void(self, one: Explained) -> str:
        voided = one.voids
        if voided is None:
            return self.texts("void_of_unknown")
        return self.texts(
            "void_of", entry_seq=voided.entry_seq, run_id=voided.run_id, event=self._by_event(one)
        )

    def _recounted(self, one: Explained) -> str:
        if one.inherited:
            return self.texts(
                "recount_of_format_1",
                transaction_id=one.entry.transaction_id,
                counted=one.counted_yen,
            )
        if one.cause is None:
            return self.texts("recount_of_unknown")
        cause = one.cause
        return self.texts(
            "recount_of",
            kind=self.texts(cause.kind),
            cause=cause.transaction_id,
            entry_seq=cause.entry_seq,
            transaction_id=one.entry.transaction_id,
            counted=one.counted_yen,
        )

    def _by_event(self, one: Explained) -> str:
        event = one.event
        if event is None:
            return self.texts("by_unknown_event", event_id=one.entry.event_id)
        return self.texts(
            "by_event",
            event_id=event["event_id"],
            kind=self.texts(event["kind"]),
            authority=event["authority"],
        )

    def _original(self, one: Explained) -> str:
        original = one.original
        if original is None:
            return self.texts("refund_of_unknown", transaction_id=one.entry.spending_id)
        return self.texts(
            "refund_of",
            run_id=original.run_id,
            kind=self.texts(original.kind),
            transaction_id=original.transaction_id,
            occurred_at=original.occurred_at,
            amount=original.amount,
        )

    def _earned(self, one: Explained) -> Iterator[str]:
        if one.counted_yen == 0:
            yield self.texts("no_points")
            return
        rounding = one.terms.rounding
        before, after = one.worth_before, one.worth_after
        yield self.texts(
            "points",
            group=self.texts(f"group_{rounding}", month=one.month),
            before=one.group_before_yen,
            after=one.group_after_yen,
            rate=rate(one.terms.numerator, one.terms.denominator, self.lang),
            worth_before=before.points,
            worth_after=after.points,
            points=one.points,
        )
        if before.fraction and rounding != "transaction":
            yield self.texts("fraction_before", fraction=fraction(before))
        if after.fraction:
            key = {"cumulative": "carried", "month": "carried_in_month", "transaction": "cut"}
            yield self.texts(key[rounding], fraction=fraction(after), month=one.month)

    def _later(self, one: Explained) -> Iterator[str]:
        for refund in one.refunds:
            yield self.texts(
                "refunded_later",
                run_id=refund.run_id,
                amount=-refund.net_amount,
                transaction_id=refund.transaction_id,
            )
        for void in one.voided_by:
            yield self.texts("voided_later", run_id=void.run_id, event_id=void.event_id)

    def _fault(self, one: Explained) -> Iterator[str]:
        if not one.agrees:
            yield self.texts(
                "disagrees",
                counted=one.counted_yen,
                points=one.points,
                net=one.net_after_yen,
                points_after=one.points_after,
            )

    def _clause(self, code: str) -> str:
        clause = reason(code, self.lang).clause
        return self.texts("clause", clause=clause) if clause else self.texts("no_clause")

    def reason(self, code: str) -> str:
        """A reason with its code, in words, and the clause of the notice."""
        text = self.texts("reason", code=code, words=reason(code, self.lang).words)
        return f"{text} {self._clause(code)}"

    def booked(self, entry: Entry) -> str:
        """Where an entry stands, and what it earned."""
        return self.texts(
            "booked",
            run_id=entry.run_id,
            booked_on=entry.booked_on,
            person_id=entry.person_id,
            entry_seq=entry.entry_seq,
            points=entry.points,
        )

    def holds(self, person: Person) -> str:
        """What a person has come to."""
        return self.texts(
            "holds",
            points=person.points,
            counted=person.counted_yen,
            cap=person.cap_yen,
            net=person.net_spend_yen,
            entries=len(person.entries),
        )

    def application(self, one: Application) -> str:
        """What became of an application."""
        values = {**one.row, "run_id": one.run_id, "booked_on": one.booked_on}
        if one.reason is not None:
            return self.texts("rejected", **values | {"reason": self.reason(one.reason)})
        text = self.texts("accepted", **values, counts_from=one.counts_from)
        if one.row["basis"]:
            text = self.texts("chosen", text=text, basis=self.texts(one.row["basis"]))
        return text

    def of_the_account(self, one: Application) -> str:
        """An account's application, beside a transaction that it decided."""
        return self.texts("its_application", application=self.application(one))

    def declined(self, one: Declined) -> str:
        """Why a transaction earned nothing, and what became of it since."""
        values = {**one.row, "run_id": one.run_id, "booked_on": one.booked_on}
        values |= {"kind": self.texts(one.row["kind"]), "reason": self.reason(one.reason)}
        text = self.texts("declined", **values)
        if one.taken_up is not None:
            return self.joined([text, self.texts("taken_up", run_id=one.taken_up)])
        return self.joined([text, self.texts("waits")]) if one.waits else text

    def event(self, one: ConcerningEvent) -> str:
        """A correction, and what became of it."""
        row = one.row
        names = ("person_id", "service_id", "account_id", "transaction_id", "other_id")
        about = ", ".join(str(row[name]) for name in names if row[name] is not None)
        text = self.texts(
            "event" if one.reason is None else "event_rejected",
            run_id=one.run_id,
            booked_on=one.booked_on,
            event_id=row["event_id"],
            kind=self.texts(row["kind"]),
            about=about,
            authority=row["authority"],
            reason="" if one.reason is None else self.reason(one.reason),
        )
        if row["effective_at"] is not None:
            text = self.joined([text, self.texts("effective_at", effective_at=row["effective_at"])])
        return self.joined([text, self.texts("noted", note=row["note"])]) if row["note"] else text

    def terms(self, one: Declined) -> str:
        """The terms that a transaction was declined under."""
        return self.texts("terms", **asdict(one.terms))

    def unknown(self, person: Person) -> str:
        """That nothing is known of a person, as far as that can be told."""
        if person.without_ids:
            return self.texts("unknown_without_ids", rows=person.without_ids)
        return self.texts("unknown_person")

    def never_delivered(self, told: Transaction) -> str:
        """That no run knows of a transaction, as far as that can be told."""
        if told.without_ids:
            return self.texts("without_ids", rows=told.without_ids)
        return self.texts("never_delivered")

    def quarantined(self, one: Quarantined) -> str:
        """Where a row was set aside, and for what."""
        faults = "; ".join(fault(error, self.lang) for error in one.errors)
        return self.texts(
            "quarantined", run_id=one.run_id, file=one.file, row=one.row, faults=faults
        )


def fraction(worth: Worth) -> str:
    """The fraction of a point, exactly: with decimals where they end, as a ratio elsewhere."""
    for digits in range(1, 7):
        scaled, rest = divmod(worth.fraction * 10**digits, worth.denominator)
        if not rest:
            return f"0.{scaled:0{digits}}"
    return f"{worth.fraction}/{worth.denominator}"
