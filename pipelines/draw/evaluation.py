"""What a filled-in sample says of the book: errors found, projected, and at most.

Monetary-unit samples: an error's tainting is its share of the booked points. Each drawn point
stands for an interval (all points / units), so taintings times the interval are the projected
error; the upper limit is Stringer's, with the factors of the Poisson distribution. Points too few
have none: rows of few points or none are hardly drawn.

Stratified samples: the mean difference of each stratum times its rows is the projected error; the
upper limit adds its standard error, for a normal distribution. The share of rows in error has an
upper limit by the Poisson distribution, and holds also where no error was found: each row in error
stands for as many rows as one of the stratum of which the smallest share was drawn.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import pairwise
from statistics import NormalDist
from typing import Any

from pipelines.draw.sample import Sample, Unit


@dataclass(frozen=True, slots=True)
class UnitError:
    """A unit whose audited points are not the booked ones."""

    unit: Unit
    audited_points: int

    @property
    def over_points(self) -> int:
        """What was booked too much; negative for too little."""
        return self.unit.points - self.audited_points


@dataclass(frozen=True, slots=True)
class Side:
    """Errors to one side: points too many, or too few.

    Attributes:
        found: in the units themselves.
        projected: onto the population, to the nearest point.
        upper: what they are at most, with the confidence that was asked for; None where the sample
            says nothing of it.
    """

    found: int
    projected: int
    upper: int | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a sample says.

    Attributes:
        confidence: in percent.
        errors: units that differ.
        too_many, too_few: points booked that should not have been, and the reverse.
        upper_rate: of rows in error, at most, 0 to 1; None of a monetary sample.
    """

    confidence: float
    audited: int
    errors: list[UnitError]
    too_many: Side
    too_few: Side
    upper_rate: float | None

    def value(self) -> dict[str, Any]:
        """For machines."""
        return {
            "confidence": self.confidence,
            "audited_units": self.audited,
            "units_in_error": len(self.errors),
            "upper_rate": self.upper_rate,
            "too_many": asdict(self.too_many),
            "too_few": asdict(self.too_few),
            "errors": [
                {
                    "unit": error.unit.number,
                    "book_points": error.unit.points,
                    "audited_points": error.audited_points,
                }
                for error in self.errors
            ],
        }


def evaluate(sample: Sample, audited_points: Mapping[int, int], confidence: float) -> Evaluation:
    """Projects the differences of a sample, by unit number, onto the population."""
    errors = [
        UnitError(unit, audited_points[unit.number])
        for unit in sample.units
        if audited_points[unit.number] != unit.points
    ]
    over = [error for error in errors if error.over_points > 0]
    under = [error for error in errors if error.over_points < 0]
    if sample.drawn.method == "monetary":
        sides = [_monetary(sample, side, confidence) for side in (over, under)]
        sides[1] = replace(sides[1], upper=None)
        rate = None
    else:
        sides = [_stratified(sample, side, confidence) for side in (over, under)]
        stands_for = max(Fraction(stratum.rows, stratum.units) for stratum in sample.strata)
        upper_rows = poisson_upper(len(errors), confidence) * float(stands_for)
        rate = min(1.0, upper_rows / sample.rows)
    return Evaluation(confidence, len(sample.units), errors, sides[0], sides[1], rate)


def poisson_upper(events: int, confidence: float) -> float:
    """The mean at which so few events or fewer have but the remaining probability.

    For 95 percent: 3.00, 4.74, 6.30, … for 0, 1, 2, … events.
    """
    rest = 1 - confidence / 100
    low, high = 0.0, events + 20 * math.sqrt(events + 1) + 20
    for _ in range(200):
        middle = (low + high) / 2
        probability = math.fsum(
            math.exp(k * math.log(middle) - middle - math.lgamma(k + 1)) for k in range(events + 1)
        )
        low, high = (middle, high) if probability > rest else (low, middle)
    return high


def _monetary(sample: Sample, errors: Sequence[UnitError], confidence: float) -> Side:
    interval = Fraction(sample.points, sample.drawn.units)
    taintings = sorted(
        (
            Fraction(abs(error.over_points), error.unit.points)
            for error in errors
            for _ in range(error.unit.hits)
        ),
        reverse=True,
    )
    factors = [poisson_upper(k, confidence) for k in range(len(taintings) + 1)]
    steps = [after - before for before, after in pairwise(factors)]
    upper = float(interval) * (
        factors[0]
        + math.fsum(step * float(taint) for step, taint in zip(steps, taintings, strict=True))
    )
    return Side(_found(errors), round(interval * sum(taintings)), math.ceil(upper))


def _stratified(sample: Sample, errors: Sequence[UnitError], confidence: float) -> Side:
    projected, variance = Fraction(), Fraction()
    for stratum in sample.strata:
        points = [abs(e.over_points) for e in errors if e.unit.stratum == stratum.name]
        n = stratum.units
        mean = Fraction(sum(points), n)
        projected += mean * stratum.rows
        if n > 1:
            squares = sum((point - mean) ** 2 for point in points) + (n - len(points)) * mean**2
            of_mean = Fraction(squares, n - 1) / n * (1 - Fraction(n, stratum.rows))
            variance += of_mean * stratum.rows**2
    if not errors:
        return Side(0, 0, None)
    deviation = math.sqrt(variance) * NormalDist().inv_cdf(confidence / 100)
    return Side(_found(errors), round(projected), math.ceil(float(projected) + deviation))


def _found(errors: Sequence[UnitError]) -> int:
    return sum(abs(error.over_points) for error in errors)
