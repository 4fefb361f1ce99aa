"""What a world consists of: nights of rows, what the rows say, and how it is spelled."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random

from oracle import JST_AHEAD_OF_UTC, File

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
    programme: str | None
    """The programme's TOML where one is given; the built-in one where there never was any."""
    event_rows: tuple[Row, ...]
    enrollment_rows: tuple[Row, ...]
    transaction_rows: tuple[Row, ...]
    events: tuple[File, ...]
    enrollments: tuple[File, ...]
    transactions: tuple[File, ...]


@dataclass(frozen=True)
class World:
    seed: int
    nights: tuple[Night, ...]

    @property
    def programme(self) -> str | None:
        """The first night's programme."""
        return self.nights[0].programme


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
    blanks = (" ", "\t", "\u3000", " \u3000\t", "  ", "\ufeff", "\ufeff ")
    return rng.choice(("", *blanks)) + text + rng.choice(blanks)


def as_text(moment: datetime | date | None, rng: Random) -> str:
    if moment is None:
        return ""
    if isinstance(moment, datetime):
        return spell_time(rng, moment)
    return f"{moment.year:04}-{moment.month:02}-{moment.day:02}"


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


@dataclass(frozen=True)
class Correction:
    """What an event says."""

    event_id: str
    kind: str
    authority: str
    person_id: str = ""
    service_id: str = ""
    account_id: str = ""
    transaction_id: str = ""
    other_id: str = ""
    effective_at: datetime | None = None
    basis: str = ""
    note: str = ""

    def spelled(self, rng: Random) -> Row:
        values = vars(self) | {"effective_at": as_text(self.effective_at, rng)}
        return Row({column: padded(rng, text) for column, text in values.items()})
