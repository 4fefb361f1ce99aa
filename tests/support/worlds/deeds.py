"""What people pay, charge and get back."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, time, timedelta

from oracle import TRANSACTION_REQUIRED

from worlds.claims import Claims
from worlds.contents import DAY, MICROSECOND, Claim, Deed, Row
from worlds.setting import Setting
from worlds.texts import (
    ACCOUNT_IDS,
    BAD_AMOUNTS,
    BAD_IDS,
    BAD_KINDS,
    BAD_TIMES,
    FAR_TIMES,
    METHODS,
    TRANSACTION_STEMS,
)


class Deeds:
    def __init__(self, setting: Setting, claims: Claims) -> None:
        self.setting = setting
        self.claims = claims
        self.deeds: list[Deed] = []
        self.voided: list[Deed] = []
        """Those that an event names."""
        self.numbers = 0

    def new_id(self) -> str:
        rng = self.setting.rng
        self.numbers += 1
        number = str(self.numbers)
        if self.setting.chance(0.03):
            return number.rjust(64, rng.choice(("x", "口", "\U0001f600")))
        return rng.choice(TRANSACTION_STEMS) + number

    def make_moment(self, claim: Claim) -> datetime:
        rng = self.setting.rng
        terms = self.setting.terms
        ties = [tie for tie in self.setting.ties if tie >= claim.applied_at]
        if ties and self.setting.chance(0.5):
            return rng.choice(ties)
        if self.setting.chance(0.3):
            return rng.choice(self.setting.instants)
        if self.setting.chance(0.5):
            return claim.applied_at + timedelta(
                days=rng.randint(0, 60),
                seconds=rng.randint(0, 86399),
                microseconds=rng.randint(0, 9),
            )
        application_day = datetime.combine(claim.applied_at.date(), time())
        edges = [
            datetime.combine(terms.window_first, time()),
            datetime.combine(terms.window_last + DAY, time()),
            claim.applied_at,
            application_day,
            application_day + DAY,
            self.setting.ties[0] + MICROSECOND,
        ]
        # Months' ends in Japan's time, for the groups by month.
        edges += [
            datetime.combine(edge.replace(day=1), time())
            for edge in (self.setting.ties[0].date(), self.setting.ties[1].date() + 31 * DAY)
        ]
        service = self.setting.service_of(claim.service_id)
        if service is not None and service.awards_close_on is not None:
            edges.append(datetime.combine(service.awards_close_on + DAY, time()))
        return rng.choice(edges) - rng.choice((timedelta(0), MICROSECOND))

    def make_amount(self, claim: Claim) -> int:
        rng = self.setting.rng
        cap = self.setting.cap_yen
        spent = sum(
            -deed.amount if deed.kind == "refund" else deed.amount
            for deed in self.deeds
            if deed.account_id == claim.account_id and deed.service_id == claim.service_id
        )
        left = cap - spent
        choices = (
            rng.choice((1, 2, 3, 4, 5, 7, 8, 11)),
            rng.choice((999, 1_000, 1_001, 1_003, 4_999, 5_000, 5_001)),
            rng.choice((cap - 1, cap, cap + 1, cap // 2, cap // 2 + 1)),
            left + rng.choice((-1, 0, 1, 2, 3, 4)),
            4 * rng.randint(1, 2_000) + rng.choice((-1, 0, 1)),
            rng.randint(1, max(1, min(cap, 9_000))),
            rng.choice((100_000_000, 20_000, 19_999, 20_001)),
        )
        weights = (20, 15, 10, 20, 20, 20, 2)
        return max(1, min(rng.choices(choices, weights)[0], 100_000_000))

    def make_deed(self) -> Deed:
        rng = self.setting.rng
        hopeful = self.claims.likely if self.setting.chance(0.9) else []
        claim = rng.choice(hopeful or self.claims.claims)
        service = self.setting.service_of(claim.service_id)
        basis = service.basis if service is not None else "charge"
        if basis == "either":
            basis = claim.basis or "charge"
        if self.setting.chance(0.07):
            basis = "charge" if basis == "purchase" else "purchase"
        deed = Deed(
            transaction_id=self.new_id(),
            service_id=claim.service_id,
            account_id=rng.choice([claim.account_id, *self.claims.accounts_of(claim)]),
            occurred_at=self.make_moment(claim),
            kind=basis,
            amount=self.make_amount(claim),
            original_transaction_id="",
            method=rng.choice(METHODS) if self.setting.chance(0.3) else "",
        )
        if self.setting.chance(0.04):
            deed = replace(deed, account_id=rng.choice(ACCOUNT_IDS))
        if self.setting.chance(0.03):
            deed = replace(deed, service_id=rng.choice(("gone", "COIN", "coi")))
        # The same ID with another service is another transaction.
        if self.deeds and self.setting.chance(0.05):
            other = rng.choice(self.deeds)
            keys = {(known.service_id, known.transaction_id) for known in self.deeds}
            if (deed.service_id, other.transaction_id) not in keys:
                deed = replace(deed, transaction_id=other.transaction_id)
        return deed

    def make_refunds(self, original: Deed) -> list[Deed]:
        """Refund in full, in part, in many parts, by too much, or in a way that cannot stand."""
        rng = self.setting.rng
        amount = original.amount
        parts = [amount]
        if self.setting.chance(0.35):
            parts = [rng.randint(1, amount)]
        elif self.setting.chance(0.4):
            size = max(1, amount // rng.randint(2, 4))
            parts = [size] * rng.randint(2, 6)
        elif self.setting.chance(0.3):
            parts = [
                rng.choice((amount + 1, amount, max(1, amount - 1))),
                rng.choice((1, 2, amount)),
            ]
        refunds = []
        for part in parts:
            refund = Deed(
                transaction_id=self.new_id(),
                service_id=original.service_id,
                account_id=original.account_id,
                occurred_at=self.make_refund_moment(original),
                kind="refund",
                amount=max(1, min(part, 100_000_000)),
                original_transaction_id=original.transaction_id,
                method=rng.choice((original.method, "", "bank")),
            )
            if self.setting.corrected and self.setting.chance(0.2):
                refund = self.of_another_account(refund)
            refunds.append(self.spoilt(refund) if self.setting.chance(0.2) else refund)
        return refunds

    def of_another_account(self, deed: Deed) -> Deed:
        """Say the same of another account that replaces, or is replaced by, this one."""
        for claim in self.claims.claims:
            accounts = self.claims.accounts_of(claim)
            if claim.service_id == deed.service_id and deed.account_id in accounts:
                return replace(deed, account_id=self.setting.rng.choice(accounts))
        return deed

    def make_refund_moment(self, original: Deed) -> datetime:
        rng = self.setting.rng
        if self.setting.chance(0.25) and original.occurred_at < self.setting.sweep:
            return self.setting.sweep
        delays = (
            timedelta(0),
            timedelta(0),
            MICROSECOND,
            timedelta(hours=1),
            timedelta(hours=1),
            3 * DAY,
            31 * DAY,
            400 * DAY,
            timedelta(days=rng.randint(0, 60), seconds=rng.randint(0, 86399)),
        )
        return original.occurred_at + rng.choice(delays)

    def spoilt(self, refund: Deed) -> Deed:
        rng = self.setting.rng
        claim = rng.choice(self.claims.claims)
        others = [
            deed
            for deed in self.deeds
            if deed.service_id == refund.service_id and deed.account_id != refund.account_id
        ]
        what = rng.choice(("account", "account", "account", "service", "early", "early", "nothing"))
        if what == "account" and others and self.setting.chance(0.8):
            return replace(refund, account_id=rng.choice(others).account_id)
        if what == "account":
            return replace(refund, account_id=claim.account_id)
        if what == "service":
            return replace(refund, service_id=claim.service_id, account_id=claim.account_id)
        if what == "early":
            return replace(refund, occurred_at=refund.occurred_at - rng.choice((MICROSECOND, DAY)))
        return replace(
            refund, original_transaction_id=rng.choice(("T", "gone", refund.transaction_id))
        )

    def changed_deed(self, deed: Deed) -> Deed:
        rng = self.setting.rng
        changes: list[Callable[[], Deed]] = [
            lambda: replace(deed, amount=deed.amount - 1 if deed.amount > 1 else 2),
            lambda: replace(deed, occurred_at=deed.occurred_at + MICROSECOND),
            lambda: replace(deed, account_id=deed.account_id + "x"),
            lambda: replace(deed, method="" if deed.method else "bank"),
        ]
        if deed.kind == "refund":
            changes.append(lambda: replace(deed, original_transaction_id="T"))
        else:
            kind = "charge" if deed.kind == "purchase" else "purchase"
            changes.append(lambda: replace(deed, kind=kind))
        return rng.choice(changes)()

    def transaction_rows(self, held: list[Deed]) -> list[Row]:
        """A night's transactions; what is put into `held` comes only on the next night."""
        rng = self.setting.rng
        tonight = list(held)
        rows_of_history: list[Deed] = []
        held.clear()
        known_before = list(self.deeds)
        fresh = []
        for _ in range(rng.choice((0, 2, 6, 10, 14))):
            fresh.append(self.make_deed())
            self.deeds.append(fresh[-1])
        if self.setting.corrected:
            for deed in known_before:
                if self.setting.chance(0.06):
                    rows_of_history.append(self.of_another_account(deed))
                if deed in self.voided and self.setting.chance(0.4):
                    rows_of_history.append(self.changed_deed(deed))
        likely = [(claim.service_id, claim.account_id) for claim in self.claims.likely]
        for original in [*fresh, *known_before]:
            hopeful = (original.service_id, original.account_id) in likely
            if self.setting.chance(0.3 if hopeful and original.kind != "refund" else 0.05):
                refunds = self.make_refunds(original)
                fresh += refunds
                self.deeds += refunds
        for deed in fresh:
            (held if self.setting.chance(0.12) else tonight).append(deed)

        rows = [deed.spelled(rng) for deed in [*tonight, *rows_of_history]]
        if known_before and self.setting.chance(0.25):
            rows += [deed.spelled(rng) for deed in known_before if deed not in tonight]
        for deed in [*tonight, *known_before]:
            if self.setting.chance(0.06):
                rows.append(deed.spelled(rng))
            if self.setting.chance(0.02) and not self.setting.clean:
                rows.append(self.changed_deed(deed).spelled(rng))
        if not self.setting.clean:
            for deed in fresh:
                if self.setting.chance(0.15):
                    rows.append(self.broken_transaction(deed))
        rng.shuffle(rows)
        return rows

    def broken_transaction(self, deed: Deed) -> Row:
        rng = self.setting.rng
        if self.setting.chance(0.5):
            deed = replace(deed, transaction_id=self.new_id())
        row = deed.spelled(rng)
        shape = self.setting.broken_shape(row)
        if shape is not None:
            return shape
        values = dict(row.values)
        if self.setting.chance(0.05):
            # Far off, but a time: `before_window` or `after_window`, not the quarantine.
            values["occurred_at"] = rng.choice(FAR_TIMES)
            return Row(values)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            column = rng.choice((*TRANSACTION_REQUIRED, "amount", "original_transaction_id"))
            if self.setting.chance(0.15):
                values[column] = ""
            elif column == "occurred_at":
                values[column] = rng.choice(BAD_TIMES)
            elif column == "kind":
                values[column] = rng.choice(BAD_KINDS)
            elif column == "amount":
                values[column] = rng.choice(BAD_AMOUNTS)
            elif column == "original_transaction_id":
                values[column] = rng.choice((*BAD_IDS, "T1"))
            else:
                values[column] = rng.choice(BAD_IDS)
        return Row(values)
