"""What people apply for."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta

from oracle import ENROLLMENT_OPTIONAL, ENROLLMENT_REQUIRED, Service

from worlds.contents import DAY, MICROSECOND, Claim, Row
from worlds.setting import Setting
from worlds.texts import ACCOUNT_IDS, BAD_BASES, BAD_DATES, BAD_IDS, BAD_TIMES, PERSON_IDS


class Claims:
    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.claims: list[Claim] = []
        self.likely: list[Claim] = []
        """The claims that stand a chance: most transactions are theirs."""
        self.late: list[Claim] = []
        """Claims that an event gave rise to, delivered now and then."""
        self.successors: dict[tuple[str, str], list[str]] = {}
        """Of a service's account, the accounts that replaced it, or were to."""

    def accounts_of(self, claim: Claim) -> list[str]:
        """Give the claim's account, and what replaced it."""
        accounts = [claim.account_id]
        for account_id in accounts:
            for successor in self.successors.get((claim.service_id, account_id), ()):
                if successor not in accounts:
                    accounts.append(successor)
        return accounts

    def people(self) -> list[str]:
        return sorted({claim.person_id for claim in self.claims})

    def as_of_somebody_else(self, claim: Claim) -> Claim:
        """Say the same of another ID or another account, or nearly the same."""
        rng = self.setting.rng
        if self.setting.chance(0.6):
            claim = replace(claim, person_id=rng.choice(self.people()))
        if self.setting.chance(0.6):
            claim = replace(claim, account_id=rng.choice(self.accounts_of(claim)))
        return self.changed_claim(claim) if self.setting.chance(0.3) else claim

    def make_claims(self) -> None:
        rng = self.setting.rng
        how_many = rng.choice((1, 2, 3, 4, 5, 5, 6, 6))
        if self.setting.corrected:
            how_many = rng.choice((2, 2, 2, 3, 3, 4))
        for person_id in rng.sample(PERSON_IDS, how_many):
            first = self.make_claim(person_id, rng.choice(self.setting.services))
            if self.setting.chance(0.15 if self.setting.corrected else 0.3):
                self.claims.append(self.hindered(first))
            else:
                self.claims.append(first)
                self.likely.append(first)
            service = self.setting.service_of(first.service_id)
            ends = service is not None and service.awards_close_on is not None
            while self.setting.chance(0.65 if ends else 0.35):
                self.make_further_claim(first)

    def make_claim(
        self, person_id: str, service: Service, applied_at: datetime | None = None
    ) -> Claim:
        """Claim what the rules allow, often at their very edge."""
        rng = self.setting.rng
        terms = self.setting.terms
        last_day = min(terms.applications_last, service.applications_close_on or date.max)
        latest = datetime.combine(last_day + DAY, time()) - MICROSECOND
        if applied_at is None:
            applied_at = datetime.combine(terms.window_first, time()) + timedelta(
                days=rng.randint(-40, 25), seconds=rng.randint(0, 86399)
            )
            if self.setting.chance(0.15):
                applied_at = rng.choice((datetime.combine(terms.window_first, time()), latest))
            if self.setting.chance(0.15):
                applied_at = rng.choice(self.setting.ties)
        applied_at = min(applied_at, latest)
        day = applied_at.date()
        reserved = None
        if self.setting.chance(0.4):
            reserved = applied_at - rng.choice((timedelta(0), MICROSECOND, DAY, 9 * DAY))
        certificate = None
        if self.setting.chance(0.35):
            certificate = (reserved or applied_at) - rng.choice((1, 1, 2, 30)) * DAY
        basis = ""
        if service.basis == "either" or self.setting.chance(0.25):
            basis = rng.choice(("charge", "purchase"))
        preregistered = None
        if service.preregistration or self.setting.chance(0.2):
            preregistered = day - rng.choice((0, 0, 1, 20)) * DAY
        taken = [c.account_id for c in self.claims if c.service_id == service.service_id]
        return Claim(
            person_id=person_id,
            service_id=service.service_id,
            account_id=rng.choice([a for a in ACCOUNT_IDS if a not in taken] or ACCOUNT_IDS),
            applied_at=applied_at,
            card_applied_on=(
                min(day, terms.card_applications_last) - rng.choice((0, 0, 7, 90)) * DAY
            ),
            basis=basis,
            reserved_at=reserved,
            certificate_issued_at=certificate,
            preregistered_on=preregistered,
        )

    def hindered(self, claim: Claim) -> Claim:
        """Put one thing, sometimes more, in the claim's way."""
        rng = self.setting.rng
        service = self.setting.service_of(claim.service_id)
        early = (claim.reserved_at or claim.applied_at) - DAY
        hindrances: list[dict[str, str | date | None]] = [
            {"card_applied_on": self.setting.terms.card_applications_last + DAY},
            {"applied_at": datetime.combine(self.setting.terms.applications_last + DAY, time())},
            {"reserved_at": claim.applied_at + MICROSECOND},
            {"certificate_issued_at": early + rng.choice((MICROSECOND, DAY, 2 * DAY))},
            {"service_id": rng.choice(("gone", "COIN", "coi"))},
        ]
        if service is not None and service.preregistration:
            late = claim.applied_at.date() + DAY
            hindrances += [{"preregistered_on": None}, {"preregistered_on": late}] * 2
        if service is not None and service.basis == "either":
            hindrances += [{"basis": ""}] * 2
        if service is not None and service.applications_close_on is not None:
            closed = datetime.combine(service.applications_close_on + DAY, time())
            hindrances += [{"applied_at": closed}] * 4
        for changes in rng.sample(hindrances, rng.choice((1, 1, 1, 2))):
            claim = replace(claim, **changes)  # type: ignore[arg-type]
        return claim

    def make_further_claim(self, first: Claim) -> None:
        """Make another claim of the same person, or one for the same account."""
        rng = self.setting.rng
        service = self.setting.service_of(first.service_id)
        what = rng.choice(("move", "twin", "steal", "same service"))
        if (
            service is not None
            and service.awards_close_on is not None
            and self.setting.chance(0.75)
        ):
            what = "move"
        if what == "move" and service is not None and service.awards_close_on is not None:
            # On the closing day itself it is too early.
            applied_at = datetime.combine(service.awards_close_on, time()) + timedelta(
                days=rng.choice((0, 1, 1, 1, 10)), seconds=rng.choice((0, 3600, 86399))
            )
            open_ones = [
                s
                for s in self.setting.services
                if s != service and (s.applications_close_on or date.max) >= applied_at.date()
            ]
            other = rng.choice(open_ones or self.setting.services)
            claim = self.make_claim(first.person_id, other, applied_at)
        elif what == "steal":
            # Sometimes at the very same instant: then the person's ID decides.
            victim = rng.choice(self.claims)
            claim = replace(
                victim,
                person_id=rng.choice(PERSON_IDS),
                applied_at=rng.choice((victim.applied_at, first.applied_at)),
            )
        else:
            # Mostly after the first, which then stands.
            applied_at = first.applied_at + timedelta(days=rng.randint(0, 40))
            other = rng.choice(self.setting.services)
            if what == "same service" and service is not None:
                other = service
            claim = self.make_claim(
                first.person_id, other, applied_at if self.setting.chance(0.8) else None
            )
        if self.setting.chance(0.15):
            claim = self.hindered(claim)
        elif what == "move" and service is not None:
            accounts_of_the_person = [c for c in self.likely if c.person_id == first.person_id]
            ended = service.awards_close_on or date.max
            if len(accounts_of_the_person) == 1 and claim.applied_at.date() > ended:
                self.likely.append(claim)
        self.claims.append(claim)

    def changed_claim(self, claim: Claim) -> Claim:
        rng = self.setting.rng
        changes: tuple[Callable[[], Claim], ...] = (
            lambda: replace(claim, applied_at=claim.applied_at + MICROSECOND),
            lambda: replace(claim, card_applied_on=claim.card_applied_on - DAY),
            lambda: replace(claim, basis="charge" if claim.basis != "charge" else "purchase"),
            lambda: replace(claim, reserved_at=claim.applied_at - 3 * DAY),
            lambda: replace(claim, certificate_issued_at=None, preregistered_on=date(2020, 3, 1)),
        )
        return rng.choice(changes)()

    def enrollment_rows(
        self, claims_of_the_night: Sequence[Claim], earlier: Sequence[Claim]
    ) -> list[Row]:
        rng = self.setting.rng
        due = [claim for claim in self.late if self.setting.chance(0.3)]
        rows = [claim.spelled(rng) for claim in [*claims_of_the_night, *due]]
        for claim in [*claims_of_the_night, *earlier]:
            if self.setting.chance(0.15):
                rows.append(claim.spelled(rng))
            if self.setting.chance(0.04) and not self.setting.clean:
                rows.append(self.changed_claim(claim).spelled(rng))
                if self.setting.chance(0.3):
                    rows.append(claim.spelled(rng))
            if self.setting.corrected and self.setting.chance(0.12):
                rows.append(self.as_of_somebody_else(claim).spelled(rng))
        if not self.setting.clean:
            for claim in claims_of_the_night:
                if self.setting.chance(0.25):
                    rows.append(self.broken_enrollment(claim))
        rng.shuffle(rows)
        return rows

    def broken_enrollment(self, claim: Claim) -> Row:
        rng = self.setting.rng
        row = claim.spelled(rng)
        shape = self.setting.broken_shape(row)
        if shape is not None:
            return shape
        values = dict(row.values)
        for _ in range(rng.choice((1, 1, 2, 3))):
            column = rng.choice((*ENROLLMENT_REQUIRED, *ENROLLMENT_OPTIONAL))
            if self.setting.chance(0.15):
                values[column] = ""
            elif column in ("person_id", "service_id", "account_id"):
                values[column] = rng.choice(BAD_IDS)
            elif column in ("applied_at", "reserved_at", "certificate_issued_at"):
                values[column] = rng.choice(BAD_TIMES)
            elif column == "basis":
                values[column] = rng.choice(BAD_BASES)
            else:
                values[column] = rng.choice(BAD_DATES)
        return Row(values)
