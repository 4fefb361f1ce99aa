"""What the oracle books of a world, and the same rows delivered otherwise."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

import oracle

from worlds.contents import DAY, Night, Row, World
from worlds.files import render, render_file


def booked_by_the_oracle(world: World) -> list[oracle.Night]:
    """Book all nights into a fresh book of the oracle's."""
    return [booked for booked, _ in nights_of_the_oracle(world)]


def nights_of_the_oracle(world: World) -> Iterator[tuple[oracle.Night, oracle.Book]]:
    """Book night by night into a fresh book; give each night and the book after it."""
    book = oracle.Book()
    for night in world.nights:
        yield book_night(book, night), book


def book_night(book: oracle.Book, night: Night) -> oracle.Night:
    """Book a night by the oracle; the services and the programme are kept from the last one."""
    services = book.services
    programme = book.programme or oracle.MYNAPOINT_2020
    if night.services is not None:
        services = oracle.read_services(night.services)
    if night.programme is not None:
        programme = oracle.read_programme(night.programme)
    return oracle.run(
        book,
        booked_on=night.booked_on,
        transactions=night.transactions,
        enrollments=night.enrollments,
        events=night.events,
        services=services,
        programme=programme,
        terms_as_of=night.terms_as_of,
    )


# --- The same rows, delivered otherwise -----------------------------------------------------------


def rendered(rng: Random, night: Night) -> Night:
    """Write the night's rows to files; at least to one, which may hold none."""
    events = render(rng, "events", night.event_rows)
    enrollments = render(rng, "enrollments", night.enrollment_rows)
    transactions = render(rng, "transactions", night.transaction_rows)
    if not events and not enrollments and not transactions:
        transactions = (("transactions-1.csv", render_file(rng, "transactions", ())),)
    return replace(night, events=events, enrollments=enrollments, transactions=transactions)


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
                    event_rows=tuple(rng.sample(night.event_rows, len(night.event_rows))),
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
    """Deliver all else on the first night, and the transactions in these parts."""
    rng = Random(seed)
    event_rows = tuple(row for night in world.nights for row in night.event_rows)
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
                    programme=world.nights[0].programme if number == 0 else None,
                    event_rows=event_rows if number == 0 else (),
                    enrollment_rows=enrollment_rows if number == 0 else (),
                    transaction_rows=tuple(rng.sample(list(rows), len(rows))),
                ),
            )
        )
    return replace(world, nights=tuple(nights))
