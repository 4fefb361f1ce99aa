"""Small random worlds: a programme, a registry of services, and some nights' files.

`make(seed)` gives the same world for the same seed. The worlds are tuned so that the rare things
happen often: ties in time, refunds that cannot stand, amounts around the cap, rows that cannot be
read. What each night delivers is kept twice: as rows, so that tests may shuffle and cut them anew,
and as the files they were rendered to.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from random import Random

import oracle
from oracle import (
    ENROLLMENT_OPTIONAL,
    ENROLLMENT_REQUIRED,
    JST_AHEAD_OF_UTC,
    MYNAPOINT_2020,
    TRANSACTION_OPTIONAL,
    TRANSACTION_REQUIRED,
    File,
    Programme,
    Service,
    Terms,
)

MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Row:
    """A delivered record: its values as text by column, and what is wrong with its shape."""

    values: dict[str, str]
    fields_off: int = 0
    """So many fields too many, or (below zero) too few."""
    blanks: bool = False
    """Nothing but blanks on the line: a record of one field."""


@dataclass(frozen=True)
class Night:
    booked_on: date
    terms_as_of: date | None
    services: str | None
    """The registry's TOML: always given on the first night, later only when it changes."""
    enrollment_rows: tuple[Row, ...]
    transaction_rows: tuple[Row, ...]
    enrollments: tuple[File, ...]
    transactions: tuple[File, ...]


@dataclass(frozen=True)
class World:
    seed: int
    programme: str | None
    """The programme's TOML, or None for the built-in one."""
    nights: tuple[Night, ...]


# --- Texts that are easily confused ---------------------------------------------------------------

# Upper and lower case, prefixes of each other, wide letters (U+FF..) and emoji (beyond U+FFFF, so
# that UTF-16 order is not code point order), one letter composed and decomposed, and blanks that
# are not trimmed.
PERSON_IDS = (
    "P1",
    "P10",
    "P2",
    "p1",
    "P",
    "\uff30\uff11",
    "人",
    "人1",
    "\U0001f600",
    "\uffee",
    "が",
    "か\u3099",
    'O"Brien',
    "a,b",
    "z",
    "Z",
    "NULL",
    "\u00a0P1",
    "P1\u2028",
    "p" * 64,
    "口" * 64,
    "\U00020bb7",
    "\uff5e",
    "\U0001f4b3" * 64,
)
SERVICE_IDS = (
    "coin",
    "Coin",
    "coin2",
    "MP0000064",
    "MP00000640",
    "電子マネー",
    "\U0001f4b0",
    "\uff30ay",
    "pay,now",
    'the "card"',
    "nan",
    "s" * 64,
)
ACCOUNT_IDS = (
    "A1",
    "A10",
    "A2",
    "a1",
    "口座",
    "口座1",
    "\U0001f4b3",
    "\uff21\uff11",
    "1",
    "01",
    'A"1"',
    "A,1",
    "A 1",
    "A1\u00a0",
    "null",
)
TRANSACTION_STEMS = (
    "T",
    "t",
    "T1.",
    "取引",
    "\U0001f600",
    "\uff34",
    "T,",
    '"',
    "T ",
    "0",
    "é",
    "e\u0301",
)
EXCLUDABLE_METHODS = ("gift_card", "points", "bank", "ポイント", "Gift_card", "NULL", "card, gift")
# A registry holds no line ends, a delivery may.
METHODS = (*EXCLUDABLE_METHODS, "two\nlines")

# Every value is in the contract's words; what must come of it is for the oracle to say.
BAD_IDS = (
    "A\tB",
    "A\nB",
    "A\x00",
    "\x1fA",
    "A\x7fB",
    "x" * 65,
    "\U0001f600" * 65,
    "x" * 70 + "\x01",
)
BAD_TIMES = (
    "2020-09-31 10:00:00",
    "2021-02-29 10:00:00",
    "05/09/2020 10:00",
    "2020-09-05",
    "2020-09-05 10:00",
    "2020-09-05 24:00:00",
    "2020-09-05 10:60:00",
    "2020-09-05 10:00:60",
    "2020-09-05 10:00:00.",
    "2020-09-05 10:00:00.1234567",
    "2020-09-05 10:00:00,5",
    "2020-09-05 10:00:00+0900",
    "2020-09-05 10:00:00+09",
    "2020-09-05 10:00:00+24:00",
    "2020-09-05 10:00:00+09:60",
    "2020-09-05 10:00:00 +09:00",
    "2020-09-05t10:00:00",
    "2020-09-05T10:00:00z",
    "2020-09-05  10:00:00",
    "2020-09-05\u300010:00:00",
    "\uff12\uff10\uff12\uff10-09-05 10:00:00",
    "2020-9-5 10:00:00",
    "20200905 10:00:00",
    "2020/09/05 10:00:00",
    "0000-09-05 10:00:00",
    "9999-12-31 23:59:59Z",
    "0001-01-01 00:00:00+10:00",
    "-2020-09-05 10:00:00",
    "1599267600",
    "NULL",
)
FAR_TIMES = (
    "0001-01-01 00:00:00",
    "0001-01-01 00:00:00Z",
    "0001-01-01T14:59:59.999999+23:59",
    "9999-12-31 23:59:59.999999",
    "9999-12-31T23:59:59.999999+09:00",
    "1969-12-31 23:59:59.999999",
    "1900-02-28 00:00:00",
)
BAD_DATES = (
    "2020-02-30",
    "2021-02-29",
    "2020-6-1",
    "2020-06-01 00:00:00",
    "20200601",
    "2020/06/01",
    "0000-06-01",
    "\uff12\uff10\uff12\uff10-06-01",
    "06-01-2020",
    "nan",
)
BAD_AMOUNTS = (
    "0",
    "-0",
    "-5",
    "000",
    "100000001",
    "0100000001",
    "9223372036854775808",
    "18446744073709551617",
    "99999999999999999999999999999999",
    "-99999999999999999999999999999999",
    "1000.0",
    "1000.",
    ".5",
    "1,000",
    "1 000",
    "1_000",
    "+5",
    "1e3",
    "0x10",
    "\uff11\uff10\uff10",
    "\u0661\u0662",
    "\u00a51000",
    "1000\u00a0",
    "1000円",
    "-",
    "--5",
    "5-",
    "NaN",
    "NULL",
)
BAD_KINDS = ("Purchase", "CHARGE", "refunds", "購入", "NULL", "charge\n")
BAD_BASES = ("either", "Charge", "refund", "purchases", "NULL")

INSTANTS = 8
TIE_INSTANTS = 3


# --- Spelling: one content, many texts ------------------------------------------------------------


def spell_time(rng: Random, moment: datetime) -> str:
    """Write the moment with or without an offset, a fraction, a `T`."""
    zone = ""
    local = moment
    if rng.random() < 0.3:
        minutes = rng.choice((0, 0, 540, 540, -300, 345, -570, 840, 1439, -1439))
        try:
            local = moment + timedelta(minutes=minutes) - JST_AHEAD_OF_UTC
        except OverflowError:
            pass
        else:
            sign = "-" if minutes < 0 else "+"
            zone = f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
            if minutes == 0:
                zone = rng.choice(("Z", "+00:00", "-00:00"))
    day = f"{local.year:04}-{local.month:02}-{local.day:02}"
    clock = f"{local.hour:02}:{local.minute:02}:{local.second:02}"
    fraction = f"{local.microsecond:06}"
    if rng.random() < 0.7:
        fraction = fraction.rstrip("0")
    if local.microsecond == 0 and rng.random() < 0.8:
        fraction = ""
    return day + rng.choice("  T") + clock + ("." + fraction if fraction else "") + zone


def spell_amount(rng: Random, amount: int) -> str:
    if rng.random() < 0.06:
        return "0" * rng.choice((1, 3, 30)) + str(amount)
    return str(amount)


def padded(rng: Random, text: str) -> str:
    if rng.random() < 0.94:
        return text
    blanks = (" ", "\t", "\u3000", " \u3000\t", "  ")
    return rng.choice(("", *blanks)) + text + rng.choice(blanks)


def as_text(moment: datetime | date | None, rng: Random) -> str:
    if moment is None:
        return ""
    if isinstance(moment, datetime):
        return spell_time(rng, moment)
    return f"{moment.year:04}-{moment.month:02}-{moment.day:02}"


# --- Contents -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """What an enrollment says."""

    person_id: str
    service_id: str
    account_id: str
    applied_at: datetime
    card_applied_on: date
    basis: str
    reserved_at: datetime | None
    certificate_issued_at: datetime | None
    preregistered_on: date | None

    def spelled(self, rng: Random) -> Row:
        values = {
            "person_id": self.person_id,
            "service_id": self.service_id,
            "account_id": self.account_id,
            "applied_at": as_text(self.applied_at, rng),
            "card_applied_on": as_text(self.card_applied_on, rng),
            "basis": self.basis,
            "reserved_at": as_text(self.reserved_at, rng),
            "certificate_issued_at": as_text(self.certificate_issued_at, rng),
            "preregistered_on": as_text(self.preregistered_on, rng),
        }
        return Row({column: padded(rng, text) for column, text in values.items()})


@dataclass(frozen=True)
class Deed:
    """What a transaction says."""

    transaction_id: str
    service_id: str
    account_id: str
    occurred_at: datetime
    kind: str
    amount: int
    original_transaction_id: str
    method: str

    def spelled(self, rng: Random) -> Row:
        values = {
            "transaction_id": self.transaction_id,
            "service_id": self.service_id,
            "account_id": self.account_id,
            "occurred_at": spell_time(rng, self.occurred_at),
            "kind": self.kind,
            "amount": spell_amount(rng, self.amount),
            "original_transaction_id": self.original_transaction_id,
            "method": self.method,
        }
        return Row({column: padded(rng, text) for column, text in values.items()})


# --- TOML -----------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    """Write a TOML basic string; JSON's escapes are among TOML's."""
    return json.dumps(text, ensure_ascii=False)


def services_toml(rng: Random, services: Sequence[Service]) -> str:
    """Write the registry, keys in any order, defaults sometimes left out."""
    blocks = []
    for service in services:
        lines = [
            f"service_id = {quoted(service.service_id)}",
            f"name = {quoted(service.name)}",
            f"basis = {quoted(service.basis)}",
        ]
        if service.rounding != "cumulative" or rng.random() < 0.5:
            lines.append(f"rounding = {quoted(service.rounding)}")
        if service.counts_from != "instant" or rng.random() < 0.5:
            lines.append(f"counts_from = {quoted(service.counts_from)}")
        if service.preregistration or rng.random() < 0.5:
            lines.append(f"preregistration = {str(service.preregistration).lower()}")
        if service.applications_close_on is not None:
            lines.append(f"applications_close_on = {service.applications_close_on.isoformat()}")
        if service.awards_close_on is not None:
            lines.append(f"awards_close_on = {service.awards_close_on.isoformat()}")
        if service.excluded_methods or rng.random() < 0.5:
            methods = ", ".join(quoted(method) for method in service.excluded_methods)
            lines.append(f"excluded_methods = [{methods}]")
        rng.shuffle(lines)
        blocks.append("\n".join(["[[services]]", *lines, ""]))
    return "\n".join(blocks)


def programme_toml(programme: Programme) -> str:
    lines = [
        f"programme_id = {quoted(programme.programme_id)}",
        'name = "a programme that never was"',
        "[rate]",
        f"numerator = {programme.numerator}",
        f"denominator = {programme.denominator}",
        'source = "invented"',
        "[cap]",
        f"spending_yen = {programme.cap_yen}",
        'source = "invented"',
    ]
    for terms in programme.terms:
        lines += [
            "[[terms]]",
            f"announced_on = {terms.announced_on.isoformat()}",
            f"window_first = {terms.window_first.isoformat()}",
            f"window_last = {terms.window_last.isoformat()}",
            f"applications_last = {terms.applications_last.isoformat()}",
            f"card_applications_last = {terms.card_applications_last.isoformat()}",
            'source = "invented"',
        ]
    return "\n".join(lines) + "\n"


# --- CSV ------------------------------------------------------------------------------------------


def render(rng: Random, role: str, rows: Sequence[Row]) -> tuple[File, ...]:
    """Write the rows to one to three files, in this order, each file in a manner of its own."""
    if not rows and rng.random() < 0.5:
        return ()
    count = rng.choice((1, 1, 1, 2, 2, 3))
    cuts = sorted(rng.randint(0, len(rows)) for _ in range(count - 1))
    files = []
    for number, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(rows)], strict=True), 1):
        files.append((f"{role}-{number}.csv", render_file(rng, role, rows[begin:end])))
    return tuple(files)


def render_file(rng: Random, role: str, rows: Sequence[Row]) -> str:
    required, optional = columns_of(role)
    columns = list(required)
    for column in optional:
        # A row that lacks fields loses the last ones, whichever these are.
        given = any(row.values.get(column, "").strip(" \t\u3000") for row in rows)
        if given or rng.random() < 0.6:
            columns.append(column)
    columns += [extra for extra in ("備考", "Amount", "a, b") if rng.random() < 0.1]
    if rng.random() < 0.5:
        rng.shuffle(columns)

    line_end = "\r\n" if rng.random() < 0.3 else "\n"
    quote_all = rng.random() < 0.15
    blank_lines = rng.random() < 0.2

    def written(text: str) -> str:
        if quote_all or any(mark in text for mark in ',"\r\n') or rng.random() < 0.05:
            return '"' + text.replace('"', '""') + '"'
        return text

    lines = [",".join(written(column) for column in columns)]
    for row in rows:
        while blank_lines and rng.random() < 0.15:
            lines.append("")
        if row.blanks:
            lines.append(rng.choice((" ", "\t", "\u3000", "  \t")))
            continue
        fields = [
            row.values.get(column, rng.choice(("", "x", "a,b", "NULL", "-1"))) for column in columns
        ]
        if row.fields_off < 0:
            # Two are left at least: a single empty field would be an empty line.
            del fields[max(2, len(fields) + row.fields_off) :]
        fields += [""] * row.fields_off
        lines.append(",".join(written(text) for text in fields))
    if blank_lines:
        lines.append("")
    end = "" if rng.random() < 0.2 else line_end
    return ("\ufeff" if rng.random() < 0.2 else "") + line_end.join(lines) + end


def columns_of(role: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if role == "enrollments":
        return ENROLLMENT_REQUIRED, ENROLLMENT_OPTIONAL
    return TRANSACTION_REQUIRED, TRANSACTION_OPTIONAL


def fields_of(raw: str) -> tuple[str, ...]:
    """Read one record's text back."""
    return tuple(next(csv.reader(io.StringIO(raw, newline=""))))


# --- Making a world -------------------------------------------------------------------------------


def make(seed: int, *, clean: bool = False, rounding: str | None = None) -> World:
    """Make the world of this seed.

    `clean`: nothing for the quarantine, and the registry and the terms stay as they are, so that
    only the transactions' own content decides. `rounding`: every service's, instead of a random
    one.
    """
    return _Maker(Random(seed), clean, rounding).world(seed)


class _Maker:
    def __init__(self, rng: Random, clean: bool, rounding: str | None) -> None:
        self.rng = rng
        self.clean = clean
        self.programme = self.make_programme() if rng.random() < 0.5 else None
        self.terms = (self.programme or MYNAPOINT_2020).terms[-1]
        self.cap_yen = (self.programme or MYNAPOINT_2020).cap_yen
        self.services = self.make_services(rounding)
        start = datetime.combine(self.terms.window_first, time())
        self.instants = [
            start + timedelta(days=rng.randint(0, 120), seconds=rng.randint(0, 86399))
            for _ in range(INSTANTS)
        ]
        self.ties = rng.sample(self.instants, TIE_INSTANTS)
        self.sweep = start + 300 * DAY
        """When refunds of many originals come all in one instant."""
        self.claims: list[Claim] = []
        self.likely: list[Claim] = []
        """The claims that stand a chance: most transactions are theirs."""
        self.deeds: list[Deed] = []
        self.numbers = 0

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    # Programme and services

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
        return Programme("random", numerator, denominator, rng.choice(caps), tuple(terms))

    def make_services(self, rounding: str | None) -> list[Service]:
        rng = self.rng
        services = []
        for service_id in rng.sample(SERVICE_IDS, rng.randint(3, 6)):
            applications_close = None
            awards_close = None
            if self.chance(0.45):
                awards_close = self.terms.window_first + rng.randint(30, 150) * DAY
            if self.chance(0.25):
                applications_close = self.terms.window_first + rng.randint(-5, 30) * DAY
            services.append(
                Service(
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
            )
        return services

    def change_services(self) -> None:
        """Announce an end, drop a service, change what it excludes; never its basis or rounding."""
        rng = self.rng
        number = rng.randrange(len(self.services))
        service = self.services[number]
        if self.chance(0.2) and len(self.services) > 1:
            del self.services[number]
        elif self.chance(0.5):
            end = self.terms.window_first + rng.randint(30, 150) * DAY
            self.services[number] = replace(service, awards_close_on=end)
        else:
            self.services[number] = replace(
                service,
                excluded_methods=tuple(rng.sample(EXCLUDABLE_METHODS, 2)),
                preregistration=not service.preregistration,
            )

    def service_of(self, service_id: str) -> Service | None:
        return next((s for s in self.services if s.service_id == service_id), None)

    # Enrollments

    def make_claims(self) -> None:
        rng = self.rng
        for person_id in rng.sample(PERSON_IDS, rng.choice((1, 2, 3, 4, 5, 5, 6, 6))):
            first = self.make_claim(person_id, rng.choice(self.services))
            if self.chance(0.3):
                self.claims.append(self.hindered(first))
            else:
                self.claims.append(first)
                self.likely.append(first)
            service = self.service_of(first.service_id)
            ends = service is not None and service.awards_close_on is not None
            while self.chance(0.65 if ends else 0.35):
                self.make_further_claim(first)

    def make_claim(
        self, person_id: str, service: Service, applied_at: datetime | None = None
    ) -> Claim:
        """Claim what the rules allow, often at their very edge."""
        rng = self.rng
        terms = self.terms
        last_day = min(terms.applications_last, service.applications_close_on or date.max)
        latest = datetime.combine(last_day + DAY, time()) - MICROSECOND
        if applied_at is None:
            applied_at = datetime.combine(terms.window_first, time()) + timedelta(
                days=rng.randint(-40, 25), seconds=rng.randint(0, 86399)
            )
            if self.chance(0.15):
                applied_at = rng.choice((datetime.combine(terms.window_first, time()), latest))
            if self.chance(0.15):
                applied_at = rng.choice(self.ties)
        applied_at = min(applied_at, latest)
        day = applied_at.date()
        reserved = None
        if self.chance(0.4):
            reserved = applied_at - rng.choice((timedelta(0), MICROSECOND, DAY, 9 * DAY))
        certificate = None
        if self.chance(0.35):
            certificate = (reserved or applied_at) - rng.choice((1, 1, 2, 30)) * DAY
        basis = ""
        if service.basis == "either" or self.chance(0.25):
            basis = rng.choice(("charge", "purchase"))
        preregistered = None
        if service.preregistration or self.chance(0.2):
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
        rng = self.rng
        service = self.service_of(claim.service_id)
        early = (claim.reserved_at or claim.applied_at) - DAY
        hindrances: list[dict[str, str | date | None]] = [
            {"card_applied_on": self.terms.card_applications_last + DAY},
            {"applied_at": datetime.combine(self.terms.applications_last + DAY, time())},
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
        rng = self.rng
        service = self.service_of(first.service_id)
        what = rng.choice(("move", "twin", "steal", "same service"))
        if service is not None and service.awards_close_on is not None and self.chance(0.75):
            what = "move"
        if what == "move" and service is not None and service.awards_close_on is not None:
            # On the closing day itself it is too early.
            applied_at = datetime.combine(service.awards_close_on, time()) + timedelta(
                days=rng.choice((0, 1, 1, 1, 10)), seconds=rng.choice((0, 3600, 86399))
            )
            open_ones = [
                s
                for s in self.services
                if s != service and (s.applications_close_on or date.max) >= applied_at.date()
            ]
            other = rng.choice(open_ones or self.services)
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
            other = rng.choice(self.services)
            if what == "same service" and service is not None:
                other = service
            claim = self.make_claim(
                first.person_id, other, applied_at if self.chance(0.8) else None
            )
        if self.chance(0.15):
            claim = self.hindered(claim)
        elif what == "move" and service is not None:
            accounts_of_the_person = [c for c in self.likely if c.person_id == first.person_id]
            ended = service.awards_close_on or date.max
            if len(accounts_of_the_person) == 1 and claim.applied_at.date() > ended:
                self.likely.append(claim)
        self.claims.append(claim)

    def changed_claim(self, claim: Claim) -> Claim:
        rng = self.rng
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
        rng = self.rng
        rows = [claim.spelled(rng) for claim in claims_of_the_night]
        for claim in [*claims_of_the_night, *earlier]:
            if self.chance(0.15):
                rows.append(claim.spelled(rng))
            if self.chance(0.04) and not self.clean:
                rows.append(self.changed_claim(claim).spelled(rng))
        if not self.clean:
            for claim in claims_of_the_night:
                if self.chance(0.25):
                    rows.append(self.broken_enrollment(claim))
        rng.shuffle(rows)
        return rows

    def broken_enrollment(self, claim: Claim) -> Row:
        rng = self.rng
        row = claim.spelled(rng)
        shape = self.broken_shape(row)
        if shape is not None:
            return shape
        values = dict(row.values)
        for _ in range(rng.choice((1, 1, 2, 3))):
            column = rng.choice((*ENROLLMENT_REQUIRED, *ENROLLMENT_OPTIONAL))
            if self.chance(0.15):
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

    # Transactions

    def new_id(self) -> str:
        rng = self.rng
        self.numbers += 1
        number = str(self.numbers)
        if self.chance(0.03):
            return number.rjust(64, rng.choice(("x", "口", "\U0001f600")))
        return rng.choice(TRANSACTION_STEMS) + number

    def make_moment(self, claim: Claim) -> datetime:
        rng = self.rng
        terms = self.terms
        ties = [tie for tie in self.ties if tie >= claim.applied_at]
        if ties and self.chance(0.5):
            return rng.choice(ties)
        if self.chance(0.3):
            return rng.choice(self.instants)
        if self.chance(0.5):
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
            self.ties[0] + MICROSECOND,
        ]
        # Months' ends in Japan's time, for the groups by month.
        edges += [
            datetime.combine(edge.replace(day=1), time())
            for edge in (self.ties[0].date(), self.ties[1].date() + 31 * DAY)
        ]
        service = self.service_of(claim.service_id)
        if service is not None and service.awards_close_on is not None:
            edges.append(datetime.combine(service.awards_close_on + DAY, time()))
        return rng.choice(edges) - rng.choice((timedelta(0), MICROSECOND))

    def make_amount(self, claim: Claim) -> int:
        rng = self.rng
        cap = self.cap_yen
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
        rng = self.rng
        claim = rng.choice(self.likely if self.likely and self.chance(0.9) else self.claims)
        service = self.service_of(claim.service_id)
        basis = service.basis if service is not None else "charge"
        if basis == "either":
            basis = claim.basis or "charge"
        if self.chance(0.07):
            basis = "charge" if basis == "purchase" else "purchase"
        deed = Deed(
            transaction_id=self.new_id(),
            service_id=claim.service_id,
            account_id=claim.account_id,
            occurred_at=self.make_moment(claim),
            kind=basis,
            amount=self.make_amount(claim),
            original_transaction_id="",
            method=rng.choice(METHODS) if self.chance(0.3) else "",
        )
        if self.chance(0.04):
            deed = replace(deed, account_id=rng.choice(ACCOUNT_IDS))
        if self.chance(0.03):
            deed = replace(deed, service_id=rng.choice(("gone", "COIN", "coi")))
        # The same ID with another service is another transaction.
        if self.deeds and self.chance(0.05):
            other = rng.choice(self.deeds)
            keys = {(known.service_id, known.transaction_id) for known in self.deeds}
            if (deed.service_id, other.transaction_id) not in keys:
                deed = replace(deed, transaction_id=other.transaction_id)
        return deed

    def make_refunds(self, original: Deed) -> list[Deed]:
        """Refund in full, in part, in many parts, by too much, or in a way that cannot stand."""
        rng = self.rng
        amount = original.amount
        parts = [amount]
        if self.chance(0.35):
            parts = [rng.randint(1, amount)]
        elif self.chance(0.4):
            size = max(1, amount // rng.randint(2, 4))
            parts = [size] * rng.randint(2, 6)
        elif self.chance(0.3):
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
            refunds.append(self.spoilt(refund) if self.chance(0.2) else refund)
        return refunds

    def make_refund_moment(self, original: Deed) -> datetime:
        rng = self.rng
        if self.chance(0.25) and original.occurred_at < self.sweep:
            return self.sweep
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
        rng = self.rng
        claim = rng.choice(self.claims)
        others = [
            deed
            for deed in self.deeds
            if deed.service_id == refund.service_id and deed.account_id != refund.account_id
        ]
        what = rng.choice(("account", "account", "account", "service", "early", "early", "nothing"))
        if what == "account" and others and self.chance(0.8):
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
        rng = self.rng
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
        rng = self.rng
        tonight = list(held)
        held.clear()
        known_before = list(self.deeds)
        fresh = []
        for _ in range(rng.choice((0, 2, 6, 10, 14))):
            fresh.append(self.make_deed())
            self.deeds.append(fresh[-1])
        likely = [(claim.service_id, claim.account_id) for claim in self.likely]
        for original in [*fresh, *known_before]:
            hopeful = (original.service_id, original.account_id) in likely
            if self.chance(0.3 if hopeful and original.kind != "refund" else 0.05):
                refunds = self.make_refunds(original)
                fresh += refunds
                self.deeds += refunds
        for deed in fresh:
            (held if self.chance(0.12) else tonight).append(deed)

        rows = [deed.spelled(rng) for deed in tonight]
        if known_before and self.chance(0.25):
            rows += [deed.spelled(rng) for deed in known_before if deed not in tonight]
        for deed in [*tonight, *known_before]:
            if self.chance(0.06):
                rows.append(deed.spelled(rng))
            if self.chance(0.02) and not self.clean:
                rows.append(self.changed_deed(deed).spelled(rng))
        if not self.clean:
            for deed in fresh:
                if self.chance(0.15):
                    rows.append(self.broken_transaction(deed))
        rng.shuffle(rows)
        return rows

    def broken_transaction(self, deed: Deed) -> Row:
        rng = self.rng
        if self.chance(0.5):
            deed = replace(deed, transaction_id=self.new_id())
        row = deed.spelled(rng)
        shape = self.broken_shape(row)
        if shape is not None:
            return shape
        values = dict(row.values)
        if self.chance(0.05):
            # Far off, but a time: `before_window` or `after_window`, not the quarantine.
            values["occurred_at"] = rng.choice(FAR_TIMES)
            return Row(values)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            column = rng.choice((*TRANSACTION_REQUIRED, "amount", "original_transaction_id"))
            if self.chance(0.15):
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

    def broken_shape(self, row: Row) -> Row | None:
        rng = self.rng
        if self.chance(0.1):
            return replace(row, fields_off=rng.choice((-3, -1, -1, 1, 1, 2)))
        if self.chance(0.04):
            return replace(row, values={}, blanks=True)
        return None

    # The world

    def world(self, seed: int) -> World:
        rng = self.rng
        self.make_claims()
        count = rng.randint(1, 5)
        turns = [rng.choice((0, 0, 0, rng.randrange(count))) for _ in self.claims]
        held: list[Deed] = []
        nights = []
        for number in range(count):
            changed = number > 0 and not self.clean and self.chance(0.1)
            if changed:
                self.change_services()
            enrollment_rows = self.enrollment_rows(
                [c for c, turn in zip(self.claims, turns, strict=True) if turn == number],
                [c for c, turn in zip(self.claims, turns, strict=True) if turn < number],
            )
            transaction_rows = self.transaction_rows(held)
            nights.append(
                rendered(
                    rng,
                    Night(
                        booked_on=date(2020, 10, 1) + number * DAY,
                        terms_as_of=self.terms_as_of(),
                        services=(
                            services_toml(rng, self.services) if number == 0 or changed else None
                        ),
                        enrollment_rows=tuple(enrollment_rows),
                        transaction_rows=tuple(transaction_rows),
                        enrollments=(),
                        transactions=(),
                    ),
                )
            )
        programme = programme_toml(self.programme) if self.programme is not None else None
        return World(seed, programme, tuple(nights))

    def terms_as_of(self) -> date | None:
        rng = self.rng
        if self.clean or self.chance(0.6):
            return None
        terms = (self.programme or MYNAPOINT_2020).terms
        # A day before an announcement is still in the terms before it, unless it is the first.
        first = terms[0].announced_on
        return max(first, rng.choice(terms).announced_on + rng.choice((-1, 0, 0, 1)) * DAY)


# --- What the oracle says -------------------------------------------------------------------------


def booked_by_the_oracle(world: World) -> list[oracle.Night]:
    """Book all nights into a fresh book of the oracle's."""
    book = oracle.Book()
    programme = MYNAPOINT_2020
    if world.programme is not None:
        programme = oracle.read_programme(world.programme)
    services: list[Service] = []
    booked = []
    for night in world.nights:
        if night.services is not None:
            services = oracle.read_services(night.services)
        booked.append(
            oracle.run(
                book,
                booked_on=night.booked_on,
                transactions=night.transactions,
                enrollments=night.enrollments,
                services=services,
                programme=programme,
                terms_as_of=night.terms_as_of,
            )
        )
    return booked


# --- The same rows, delivered otherwise -----------------------------------------------------------


def rendered(rng: Random, night: Night) -> Night:
    enrollments = render(rng, "enrollments", night.enrollment_rows)
    transactions = render(rng, "transactions", night.transaction_rows)
    if not enrollments and not transactions:
        transactions = (("transactions-1.csv", render_file(rng, "transactions", ())),)
    return replace(night, enrollments=enrollments, transactions=transactions)


def redelivered(world: World, seed: int) -> World:
    """Deliver each night's rows in another order, cut into other files, written in another way."""
    rng = Random(seed)
    nights = []
    for night in world.nights:
        nights.append(
            rendered(
                rng,
                replace(
                    night,
                    enrollment_rows=tuple(
                        rng.sample(night.enrollment_rows, len(night.enrollment_rows))
                    ),
                    transaction_rows=tuple(
                        rng.sample(night.transaction_rows, len(night.transaction_rows))
                    ),
                ),
            )
        )
    return replace(world, nights=tuple(nights))


def cut_into_nights(world: World, seed: int, parts: Sequence[Sequence[Row]]) -> World:
    """Deliver all enrollments on the first night, and the transactions in these parts."""
    rng = Random(seed)
    enrollment_rows = tuple(row for night in world.nights for row in night.enrollment_rows)
    nights = []
    for number, rows in enumerate(parts):
        nights.append(
            rendered(
                rng,
                replace(
                    world.nights[0],
                    booked_on=world.nights[0].booked_on + number * DAY,
                    services=world.nights[0].services if number == 0 else None,
                    enrollment_rows=enrollment_rows if number == 0 else (),
                    transaction_rows=tuple(rng.sample(list(rows), len(rows))),
                ),
            )
        )
    return replace(world, nights=tuple(nights))
