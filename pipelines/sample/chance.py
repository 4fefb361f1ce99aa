"""Chance without a state: every value is a hash of the seed, the value's name and the row's number.

So columns are made whole, and one more column changes none of the others.
"""

from __future__ import annotations

import hashlib
import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import polars as pl

Bits = npt.NDArray[np.uint64]


Integers = npt.NDArray[np.int64]


def mixed(seed: int, name: str, counters: Bits) -> Bits:
    """64 well-mixed bits for each counter, one to one: a pure function, on every machine."""
    salt = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()
    bits = counters * np.uint64(0x9E3779B97F4A7C15)
    bits += np.uint64(int.from_bytes(salt, "little"))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits ^= bits >> np.uint64(shift)
        bits *= np.uint64(factor)
    bits ^= bits >> np.uint64(31)
    return bits


def scattered(seed: int, name: str, counters: Integers, left: int, right: int) -> Integers:
    """Numbers below left x right that look random, one to one with the counters below it."""
    high, low = np.divmod(counters, right)
    for turn in ("1", "2"):
        high = (high + below(mixed(seed, name + turn, low.view(np.uint64)), left)) % left
        low = (low + below(mixed(seed, name + turn, high.view(np.uint64)), right)) % right
    return high * right + low


def below(bits: Bits, sides: int) -> Integers:
    """A whole number from 0 to sides - 1 out of each value's bits."""
    return (bits % np.uint64(sides)).view(np.int64)


def skewed(bits: Bits, size: int | Integers) -> Integers:
    """Positions below size: the first twenty times as often as the mean, the last a third."""
    share = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    share *= 0.05 + 0.95 * share * share
    return (share * size).astype(np.int64)


def payments_yen(mean: int) -> Integers:
    """1,024 equally likely payments around a mean: most are small, a few are large."""
    spread = 1.0
    middle = math.log(mean) - spread**2 / 2
    steps = (NormalDist(middle, spread).inv_cdf((step + 0.5) / 1024) for step in range(1024))
    return np.array([max(20, round(math.exp(step))) for step in steps], dtype=np.int64)


def charges_yen() -> Integers:
    """1,024 equally likely charges, in whole thousands."""
    usual = (1, 1, 1, 2, 2, 3, 3, 3, 5, 5, 5, 5, 10, 10, 10, 20)
    return np.array([1_000 * thousands for thousands in usual * 64], dtype=np.int64)


class Dice:
    """Rolls that depend on the seed, their name and the row's number alone."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def bits(self, name: str, n: int) -> Bits:
        return mixed(self._seed, name, np.arange(n, dtype=np.uint64))

    def roll(self, name: str, n: int, sides: int) -> pl.Series:
        """A whole number from 0 to sides - 1 for each of n rows."""
        return pl.Series(below(self.bits(name, n), sides))

    def scatter(self, name: str, first: int, n: int, left: int, right: int) -> pl.Series:
        """N numbers below left x right, no two the same, nor the same as for another first."""
        counters = np.arange(first, first + n, dtype=np.int64)
        return pl.Series(scattered(self._seed, name, counters, left, right))

    def shuffled(self, name: str, frame: pl.DataFrame) -> pl.DataFrame:
        return frame[np.argsort(self.bits(name, frame.height), kind="stable")]
