"""The setting of a world: its programme, its services, and the instants at which much happens."""

from collections.abc import Collection
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from random import Random

from oracle import MYNAPOINT_2020, Programme, Service, Terms

from worlds.contents import DAY, Row
from worlds.texts import EXCLUDABLE_METHODS, SERVICE_IDS

INSTANTS = 8
TIE_INSTANTS = 3
SERVICES_TO_COME = ("gone", "COIN", "coi")
"""Named by rows that have no service, until one of this name is added."""


class Setting:
    def __init__(self, rng: Random, *, clean: bool, rounding: str | None, corrected: bool) -> None:
        self.rng = rng
        self.clean = clean
        self.corrected = corrected
        """Whether there are events."""
        self.programme = self.make_programme() if rng.random() < 0.5 else None
        self.terms = (self.programme or MYNAPOINT_2020).terms[-1]
        self.cap_yen = (self.programme or MYNAPOINT_2020).cap_yen
        self.rounding = rounding
        self.services = self.make_services()
        start = datetime.combine(self.terms.window_first, time())
        self.instants = [
            start + timedelta(days=rng.randint(0, 120), seconds=rng.randint(0, 86399))
            for _ in range(INSTANTS)
        ]
        self.ties = rng.sample(self.instants, TIE_INSTANTS)
        self.sweep = start + 300 * DAY
        """When refunds of many originals come all in one instant."""

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def make_programme(self) -> Programme:
        rng = self.rng
        rates = ((25, 100), (30, 100), (1, 3), (1, 4), (7, 20), (1, 1), (2, 3), (1, 1000))
        numerator, denominator = rng.choice(rates)
        first = date(2020, 9, 1) + rng.randint(-60, 60) * DAY
        last = first + rng.randint(90, 200) * DAY
        terms = []
        announced = first - rng.randint(1, 60) * DAY
        for _ in range(rng.choice((1, 2, 2, 3))):
            applications_last = last - rng.choice((0, 0, 30)) * DAY
            terms.append(
                Terms(
                    announced_on=announced,
                    window_first=first,
                    window_last=last,
                    applications_last=applications_last,
                    card_applications_last=applications_last - rng.choice((0, 31)) * DAY,
                )
            )
            announced += rng.randint(1, 80) * DAY
            last += rng.choice((0, 30, 180)) * DAY
        caps = (1, 7, 100, 999, 1_000, 20_000, 20_000, 20_001, 50_000, 100_000_000, 1_000_000_000)
        days = rng.choice((None, None, None, 3, 30, 60, 120))
        return Programme(
            "random", numerator, denominator, rng.choice(caps), tuple(terms), reconsider_days=days
        )

    def make_services(self) -> list[Service]:
        rng = self.rng
        return [
            self.make_service(service_id, self.rounding)
            for service_id in rng.sample(SERVICE_IDS, rng.randint(3, 6))
        ]

    def make_service(self, service_id: str, rounding: str | None) -> Service:
        rng = self.rng
        applications_close = None
        awards_close = None
        if self.chance(0.45):
            awards_close = self.terms.window_first + rng.randint(30, 150) * DAY
        if self.chance(0.25):
            applications_close = self.terms.window_first + rng.randint(-5, 30) * DAY
        return Service(
            service_id=service_id,
            name=f"service {service_id}",
            basis=rng.choice(("charge", "purchase", "purchase", "either", "either")),
            rounding=rounding or rng.choice(("cumulative", "month", "transaction")),
            counts_from=rng.choice(("instant", "instant", "application_day", "next_day")),
            preregistration=self.chance(0.25),
            applications_close_on=applications_close,
            awards_close_on=awards_close,
            excluded_methods=tuple(rng.sample(EXCLUDABLE_METHODS, rng.choice((0, 1, 2)))),
        )

    def change_services(self, in_use: Collection[str]) -> None:
        """Announce an end, drop or add a service, change what it excludes.

        Never its basis or rounding, and nothing in use is dropped: a run would refuse that.
        """
        rng = self.rng
        number = rng.randrange(len(self.services))
        shut = [n for n, s in enumerate(self.services) if s.applications_close_on is not None]
        if shut and self.chance(0.4):
            number = rng.choice(shut)
        service = self.services[number]
        added = [s for s in SERVICES_TO_COME if self.service_of(s) is None]
        if self.chance(0.2) and len(self.services) > 1 and service.service_id not in in_use:
            del self.services[number]
        elif self.chance(0.3) and added:
            self.services.append(self.make_service(rng.choice(added), self.rounding))
        elif self.chance(0.6 if number in shut else 0.2):
            # Applications are taken again.
            self.services[number] = replace(
                service, applications_close_on=None, preregistration=False
            )
        elif self.chance(0.5):
            end = self.terms.window_first + rng.randint(30, 150) * DAY
            self.services[number] = replace(service, awards_close_on=end)
        else:
            self.services[number] = replace(
                service,
                excluded_methods=tuple(rng.sample(EXCLUDABLE_METHODS, 2)),
                preregistration=not service.preregistration,
            )

    def extend_terms(self) -> None:
        """Announce new terms, by which more is possible."""
        assert self.programme is not None
        last = self.programme.terms[-1]
        rng = self.rng
        self.programme = replace(
            self.programme,
            terms=(
                *self.programme.terms,
                replace(
                    last,
                    announced_on=last.announced_on + rng.randint(1, 30) * DAY,
                    window_first=last.window_first - rng.choice((0, 0, 10)) * DAY,
                    window_last=last.window_last + rng.choice((0, 40, 90)) * DAY,
                    applications_last=last.applications_last + rng.choice((1, 30, 60)) * DAY,
                    card_applications_last=(
                        last.card_applications_last + rng.choice((0, 1, 31)) * DAY
                    ),
                ),
            ),
        )

    def service_of(self, service_id: str) -> Service | None:
        return next((s for s in self.services if s.service_id == service_id), None)

    def broken_shape(self, row: Row) -> Row | None:
        rng = self.rng
        if self.chance(0.1):
            return replace(row, fields_off=rng.choice((-3, -1, -1, 1, 1, 2)))
        if self.chance(0.04):
            return replace(row, values={}, blanks=True)
        return None
