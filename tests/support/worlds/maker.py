"""Making a world of a seed."""

from datetime import date
from random import Random

from oracle import MYNAPOINT_2020

from worlds.claims import Claims
from worlds.contents import DAY, Deed, Night, World
from worlds.corrections import Corrections
from worlds.deeds import Deeds
from worlds.files import programme_toml, services_toml
from worlds.nights import rendered
from worlds.setting import Setting


def make(
    seed: int, *, clean: bool = False, rounding: str | None = None, corrected: bool = False
) -> World:
    """Make the world of this seed.

    `clean`: nothing for the quarantine, and the registry and the terms stay as they are, so that
    only the rows' own content decides. `rounding`: every service's, instead of a random one.
    `corrected`: with events.
    """
    setting = Setting(Random(seed), clean=clean, rounding=rounding, corrected=corrected)
    return _Maker(setting).world(seed)


class _Maker:
    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.claims = Claims(setting)
        self.deeds = Deeds(setting, self.claims)
        self.corrections = Corrections(setting, self.claims, self.deeds)

    def world(self, seed: int) -> World:
        setting = self.setting
        rng = setting.rng
        self.claims.make_claims()
        count = rng.randint(3, 8) if setting.corrected else rng.randint(1, 5)
        turns = [rng.choice((0, 0, 0, rng.randrange(count))) for _ in self.claims.claims]
        held: list[Deed] = []
        nights: list[Night] = []
        booked_on = date(2020, 10, 1)
        for number in range(count):
            nights.append(self.night(number, booked_on, turns, held))
            booked_on += rng.choice((1, 1, 1, 2, 30)) * DAY
        return World(seed, tuple(nights))

    def night(self, number: int, booked_on: date, turns: list[int], held: list[Deed]) -> Night:
        setting = self.setting
        rng = setting.rng
        first = number == 0
        changed = not first and not setting.clean and setting.chance(0.2)
        if changed:
            in_use = {claim.service_id for claim in (*self.claims.claims, *self.claims.late)}
            in_use |= {correction.service_id for correction in self.corrections.made}
            setting.change_services(in_use)
        extended = (
            not first
            and setting.corrected
            and not setting.clean
            and setting.programme is not None
            and setting.chance(0.12)
        )
        if extended:
            setting.extend_terms()
        programme = None
        if (first or extended) and setting.programme is not None:
            programme = programme_toml(setting.programme)
        night = Night(
            booked_on=booked_on,
            terms_as_of=self.terms_as_of(),
            services=services_toml(rng, setting.services) if first or changed else None,
            programme=programme,
            event_rows=(),
            enrollment_rows=(),
            transaction_rows=(),
            events=(),
            enrollments=(),
            transactions=(),
        )
        if setting.corrected and not first and setting.chance(0.06):
            # Nothing is delivered: the run takes up what waits.
            return night
        turn_of = list(zip(self.claims.claims, turns, strict=True))
        enrollment_rows = self.claims.enrollment_rows(
            [claim for claim, turn in turn_of if turn == number],
            [claim for claim, turn in turn_of if turn < number],
        )
        transaction_rows = self.deeds.transaction_rows(held)
        event_rows = self.corrections.event_rows() if setting.corrected else []
        return rendered(
            rng,
            Night(
                booked_on=booked_on,
                terms_as_of=night.terms_as_of,
                services=night.services,
                programme=programme,
                event_rows=tuple(event_rows),
                enrollment_rows=tuple(enrollment_rows),
                transaction_rows=tuple(transaction_rows),
                events=(),
                enrollments=(),
                transactions=(),
            ),
        )

    def terms_as_of(self) -> date | None:
        setting = self.setting
        rng = setting.rng
        if setting.clean or setting.chance(0.6):
            return None
        terms = (setting.programme or MYNAPOINT_2020).terms
        # A day before an announcement is still in the terms before it, unless it is the first.
        first = terms[0].announced_on
        return max(first, rng.choice(terms).announced_on + rng.choice((-1, 0, 0, 1)) * DAY)
