"""Numbers from a seed: the same in every version and every language.

Number ``n`` for a purpose is the SHA-256 of ``SEED:PURPOSE:n`` in UTF-8, taken as a big-endian
whole number, modulo the number of choices. With 256 bits the remainder favours no choice by more
than one part in 2^192 for populations below 2^64.
"""

import hashlib
from itertools import pairwise


def number(seed: int, purpose: str, n: int, choices: int) -> int:
    """One of 0, 1, …, ``choices`` - 1."""
    digest = hashlib.sha256(f"{seed}:{purpose}:{n}".encode()).digest()
    return int.from_bytes(digest) % choices


def one_of_each_cell(seed: int, total: int, cells: int) -> list[int]:
    """One place in each of so many cells of equal width, ascending.

    Cell k has the places from floor(k × total / cells) up to the next cell.
    """
    edges = [total * cell // cells for cell in range(cells + 1)]
    return [
        first + number(seed, "cell", cell, after - first)
        for cell, (first, after) in enumerate(pairwise(edges))
        if after > first
    ]


def distinct(seed: int, purpose: str, total: int, wanted: int) -> list[int]:
    """So many different places among ``total``, ascending: repeated ones are passed over."""
    found: set[int] = set()
    n = 0
    while len(found) < min(wanted, total):
        found.add(number(seed, purpose, n, total))
        n += 1
    return sorted(found)


def allocated(sizes: dict[str, int], units: int, least: int) -> dict[str, int]:
    """How many of ``units`` each stratum gets: ``least`` or all it has, the rest by its size.

    What is left over after rounding down goes to the largest remainders, equal ones by name.
    """
    given = {name: min(size, least) for name, size in sizes.items()}
    rest = units - sum(given.values())
    room = {name: size - given[name] for name, size in sizes.items()}
    total = sum(room.values())
    if rest <= 0 or not total:
        return given
    rest = min(rest, total)
    shares = {name: divmod(rest * size, total) for name, size in room.items()}
    for name, (whole, _) in shares.items():
        given[name] += whole
    left = rest - sum(whole for whole, _ in shares.values())
    by_remainder = sorted(shares, key=lambda name: (-shares[name][1], name))
    for name in by_remainder[:left]:
        given[name] += 1
    return given
