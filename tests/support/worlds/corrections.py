"""What is put right afterwards: events of all kinds, some too early, some undone again."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from oracle import EVENT_OPTIONAL, EVENT_REQUIRED

from worlds.claims import Claims
from worlds.contents import DAY, MICROSECOND, Claim, Correction, Row
from worlds.deeds import Deeds
from worlds.setting import SERVICES_TO_COME, Setting
from worlds.texts import ACCOUNT_IDS, BAD_BASES, BAD_IDS, BAD_TIMES, PERSON_IDS

AUTHORITIES = ("help desk", "ministry 2021-11-01", "事務局", 'list "3", page 2', "k" * 200, "NULL")
EVENT_STEMS = ("V", "v", "E", "訂正", "\U0001f600", "")


class Corrections:
    def __init__(self, setting: Setting, claims: Claims, deeds: Deeds) -> None:
        self.setting = setting
        self.claims = claims
        self.deeds = deeds
        self.made: list[Correction] = []
        self.plans: list[list[list[Correction]]] = []
        """What is to follow, night by night, so that an undoing clashes with something."""
        self.event_ids: set[str] = set()
        self.held: list[Correction] = []
        """Made already, so that an undoing may name them, and delivered on a later night."""

    def event_rows(self) -> list[Row]:
        """A night's events."""
        rng = self.setting.rng
        tonight = [correction for correction in self.held if self.setting.chance(0.5)]
        self.held = [correction for correction in self.held if correction not in tonight]
        known_before = list(self.made)
        for plan in self.plans:
            if plan and self.setting.chance(0.7):
                following = plan.pop(0)
                self.made += following
                tonight += following
        for _ in range(rng.choice((0, 1, 2, 3, 4, 6, 8))):
            for correction in self.make_some():
                self.made.append(correction)
                (self.held if self.setting.chance(0.15) else tonight).append(correction)
        rows = [correction.spelled(rng) for correction in tonight]
        for correction in [*tonight, *known_before]:
            if self.setting.chance(0.08):
                rows.append(correction.spelled(rng))
            if self.setting.chance(0.03) and not self.setting.clean:
                rows.append(self.changed(correction).spelled(rng))
        if not self.setting.clean:
            for correction in tonight:
                if self.setting.chance(0.1):
                    rows.append(self.broken(correction))
        rng.shuffle(rows)
        return rows

    def make_some(self) -> list[Correction]:
        """Make one event, or some that belong together."""
        rng = self.setting.rng
        kinds: tuple[tuple[int, Callable[[], list[Correction]]], ...] = (
            (20, self.replace_account),
            (10, self.stop),
            (7, self.resume),
            (12, self.void_enrollment),
            (10, self.grant),
            (12, self.merge),
            (12, self.void_transaction),
            (22, self.undo),
        )
        (make,) = rng.choices([make for _, make in kinds], [weight for weight, _ in kinds])
        return make()

    def new_id(self) -> str:
        """Choose an ID whose place in the order says nothing about when it was made."""
        rng = self.setting.rng
        while True:
            event_id = rng.choice(EVENT_STEMS) + str(rng.randint(10, 999))
            if event_id not in self.event_ids:
                self.event_ids.add(event_id)
                return event_id

    def correction(self, kind: str, **columns: Any) -> Correction:
        rng = self.setting.rng
        return Correction(
            event_id=self.new_id(),
            kind=kind,
            authority=rng.choice(AUTHORITIES),
            note="by telephone" if self.setting.chance(0.1) else "",
            **columns,
        )

    def a_claim(self) -> Claim:
        rng = self.setting.rng
        hopeful = self.claims.likely if self.setting.chance(0.93) else []
        return rng.choice(hopeful or self.claims.claims)

    def an_instant(self, claim: Claim) -> datetime:
        """Choose an instant, often that of a transaction, or right before or after it."""
        rng = self.setting.rng
        accounts = self.claims.accounts_of(claim)
        moments = [
            deed.occurred_at
            for deed in self.deeds.deeds
            if deed.service_id == claim.service_id and deed.account_id in accounts
        ]
        if moments and self.setting.chance(0.5):
            return rng.choice(moments) + rng.choice((-MICROSECOND, 0 * DAY, 0 * DAY, MICROSECOND))
        if self.setting.chance(0.3):
            return claim.applied_at + rng.choice((-DAY, 0 * DAY, DAY))
        return rng.choice((*self.setting.instants, *self.setting.ties))

    def an_account(self, claim: Claim) -> str:
        """Choose an account that names the claim, seldom another one."""
        rng = self.setting.rng
        if self.setting.chance(0.08):
            return rng.choice(ACCOUNT_IDS)
        return rng.choice([claim.account_id, *self.claims.accounts_of(claim)])

    def a_person(self, claim: Claim) -> str:
        rng = self.setting.rng
        if self.setting.chance(0.88):
            return claim.person_id
        return rng.choice([*self.claims.people(), rng.choice(PERSON_IDS)])

    def replace_account(self) -> list[Correction]:
        rng = self.setting.rng
        claim = self.a_claim()
        account_id = self.an_account(claim)
        free = [a for a in ACCOUNT_IDS if a not in [c.account_id for c in self.claims.claims]]
        other_id = rng.choice(free if free and self.setting.chance(0.8) else ACCOUNT_IDS)
        correction = replace(
            self.correction(
                "account_replaced",
                service_id=self.a_service(claim),
                account_id=account_id,
                other_id=other_id,
            ),
            effective_at=self.an_instant(claim),
        )
        self.claims.successors.setdefault((claim.service_id, account_id), []).append(other_id)
        undoing = self.undoing(correction)
        if self.setting.chance(0.15):
            # From another instant, all in one night.
            instant = self.an_instant(claim)
            again = replace(correction, event_id=self.new_id(), effective_at=instant)
            self.plans.append([[undoing, again]])
        elif self.setting.chance(0.2):
            # The new account is given to another account's enrollment, and then to the first, too.
            other = self.a_claim()
            again = replace(
                correction,
                event_id=self.new_id(),
                service_id=other.service_id,
                account_id=other.account_id,
            )
            self.plans.append([[undoing], [again], [self.undoing(undoing)]])
        return [correction]

    def a_service(self, claim: Claim) -> str:
        if self.setting.chance(0.03):
            return self.setting.rng.choice(SERVICES_TO_COME)
        return claim.service_id

    def of_enrollment(self, kind: str, claim: Claim) -> Correction:
        return self.correction(
            kind,
            person_id=self.a_person(claim),
            service_id=self.a_service(claim),
            account_id=self.an_account(claim),
        )

    def stop(self) -> list[Correction]:
        claim = self.a_claim()
        stopped = replace(
            self.of_enrollment("enrollment_stopped", claim), effective_at=self.an_instant(claim)
        )
        if self.setting.chance(0.3):
            return [stopped, *self.resume(claim)]
        return [stopped]

    def resume(self, claim: Claim | None = None) -> list[Correction]:
        rng = self.setting.rng
        stops = [c for c in self.made if c.kind == "enrollment_stopped"]
        if claim is None and stops and self.setting.chance(0.85):
            stopped = rng.choice(stops)
            assert stopped.effective_at is not None
            later = rng.choice((0 * DAY, MICROSECOND, DAY, 30 * DAY))
            return [
                replace(
                    stopped,
                    event_id=self.new_id(),
                    kind="enrollment_resumed",
                    effective_at=stopped.effective_at + later,
                )
            ]
        claim = claim or self.a_claim()
        return [
            replace(
                self.of_enrollment("enrollment_resumed", claim),
                effective_at=self.an_instant(claim),
            )
        ]

    def void_enrollment(self) -> list[Correction]:
        claim = self.a_claim()
        voided = self.of_enrollment("enrollment_voided", claim)
        if self.setting.chance(0.35):
            return [voided, self.granted(claim)]
        if self.setting.chance(0.6):
            # The account goes to somebody else, or the person to another account.
            rng = self.setting.rng
            undoing = self.undoing(voided)
            if self.setting.chance(0.25):
                # The person is merged meanwhile.
                other_id = rng.choice([*self.claims.people(), rng.choice(PERSON_IDS)])
                merged = self.correction(
                    "persons_merged", person_id=claim.person_id, other_id=other_id
                )
                self.plans.append([[merged], [undoing]])
            elif self.setting.chance(0.5):
                self.plans.append([[self.granted(claim)], [undoing]])
            else:
                follower = self.claims.make_claim(
                    claim.person_id, rng.choice(self.setting.services), claim.applied_at
                )
                self.claims.late.append(follower)
                self.plans.append([[undoing]])
        return [voided]

    def grant(self) -> list[Correction]:
        rng = self.setting.rng
        unlikely = [claim for claim in self.claims.claims if claim not in self.claims.likely]
        hopeful = unlikely if self.setting.chance(0.6) else []
        return [self.granted(rng.choice(hopeful or self.claims.claims))]

    def granted(self, claim: Claim) -> Correction:
        rng = self.setting.rng
        service = self.setting.service_of(claim.service_id)
        basis = claim.basis
        if service is not None and service.basis == "either":
            basis = basis or rng.choice(("charge", "purchase"))
            if self.setting.chance(0.25):
                basis = ""
        account_id = self.an_account(claim)
        if self.setting.chance(0.15):
            account_id = rng.choice(ACCOUNT_IDS)
        instant = self.an_instant(claim)
        if self.setting.chance(0.6):
            instant = claim.applied_at
        person_id = claim.person_id
        if self.setting.chance(0.5):
            person_id = rng.choice(self.claims.people())
        return replace(
            self.of_enrollment("enrollment_granted", claim),
            person_id=person_id,
            account_id=account_id,
            effective_at=instant,
            basis=basis,
        )

    def merge(self) -> list[Correction]:
        rng = self.setting.rng
        people = self.claims.people()
        if self.setting.chance(0.25):
            people.append(rng.choice(PERSON_IDS))
        goes, stays = rng.choice(people), rng.choice(people)
        merged_before = [c.person_id for c in self.made if c.kind == "persons_merged"]
        if merged_before and self.setting.chance(0.2):
            goes = rng.choice(merged_before)
        if goes == stays:
            goes, stays = rng.choice(people), rng.choice(people)
        merged = self.correction("persons_merged", person_id=goes, other_id=stays)
        if self.setting.chance(0.5):
            service = rng.choice(self.setting.services)
            self.claims.late.append(self.claims.make_claim(rng.choice((goes, stays)), service))
        if self.setting.chance(0.4):
            # Undone, merged in another way, and then the undoing is undone.
            undoing = self.undoing(merged)
            other_id = rng.choice((stays, *people))
            again = self.correction("persons_merged", person_id=goes, other_id=other_id)
            if self.setting.chance(0.5):
                again = replace(again, person_id=stays, other_id=goes)
            self.plans.append([[undoing], [again], [self.undoing(undoing)]])
        return [merged]

    def undoing(self, correction: Correction) -> Correction:
        return self.correction("undone", other_id=correction.event_id)

    def void_transaction(self) -> list[Correction]:
        rng = self.setting.rng
        if not self.deeds.deeds or self.setting.chance(0.05):
            claim = self.a_claim()
            return [
                self.correction(
                    "transaction_voided", service_id=claim.service_id, transaction_id="T1"
                )
            ]
        refunded = {deed.original_transaction_id for deed in self.deeds.deeds}
        refunds_and_refunded = [
            deed
            for deed in self.deeds.deeds
            if deed.kind == "refund" or deed.transaction_id in refunded
        ]
        hopeful = refunds_and_refunded if self.setting.chance(0.5) else []
        deed = rng.choice(hopeful or self.deeds.deeds)
        self.deeds.voided.append(deed)
        voided = self.correction(
            "transaction_voided", service_id=deed.service_id, transaction_id=deed.transaction_id
        )
        if self.setting.chance(0.4):
            # Another content is delivered meanwhile.
            self.plans.append([[], [self.undoing(voided)]])
        return [voided]

    def undo(self) -> list[Correction]:
        """Undo an event made before, seldom one that is made in the same breath or never."""
        rng = self.setting.rng
        if not self.made or self.setting.chance(0.03):
            return [self.correction("undone", other_id="V0")]
        if self.setting.chance(0.08):
            # One that undoes itself, or two or three that undo each other.
            circle = [self.correction("undone") for _ in range(rng.choice((1, 2, 2, 3)))]
            return [
                replace(undoing, other_id=following.event_id)
                for undoing, following in zip(circle, [*circle[1:], circle[0]], strict=True)
            ]
        kind = rng.choice([correction.kind for correction in self.made])
        if self.setting.chance(0.5):
            kind = rng.choice(sorted({correction.kind for correction in self.made}))
        of_the_kind = [correction for correction in self.made if correction.kind == kind]
        named = rng.choice(rng.choice((self.made[-6:], of_the_kind)))
        undone = [self.undoing(named)]
        if self.setting.chance(0.12):
            undone.append(self.undoing(undone[0]))
        return undone

    def changed(self, correction: Correction) -> Correction:
        """Say something else under the same ID."""
        rng = self.setting.rng
        changes: list[Callable[[], Correction]] = [
            lambda: replace(correction, authority=correction.authority[:-1] + "x"),
            lambda: replace(correction, note=correction.note + "!"),
        ]
        if correction.effective_at is not None:
            moment = correction.effective_at
            changes.append(lambda: replace(correction, effective_at=moment + MICROSECOND))
        if correction.account_id:
            changes.append(lambda: replace(correction, account_id=rng.choice(ACCOUNT_IDS)))
        return rng.choice(changes)()

    def broken(self, correction: Correction) -> Row:
        rng = self.setting.rng
        if self.setting.chance(0.5):
            correction = replace(correction, event_id=self.new_id())
        row = correction.spelled(rng)
        shape = self.setting.broken_shape(row)
        if shape is not None:
            return shape
        values = dict(row.values)
        for _ in range(rng.choice((1, 1, 2, 3))):
            column = rng.choice((*EVENT_REQUIRED, *EVENT_OPTIONAL[:-1]))
            if self.setting.chance(0.3):
                values[column] = ""
            elif column == "authority":
                values[column] = rng.choice(("a" * 201, "\U0001f600" * 201))
            elif column == "kind":
                values[column] = rng.choice(("undo", "Undone", "enrollment", "NULL"))
            elif column == "effective_at":
                values[column] = rng.choice((*BAD_TIMES, "2020-10-10 00:00:00"))
            elif column == "basis":
                values[column] = rng.choice((*BAD_BASES, "charge"))
            else:
                values[column] = rng.choice((*BAD_IDS, "P1"))
        return Row(values)
