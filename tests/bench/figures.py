"""Figures from samples: percentiles of a turn, medians of rounds, ratios of turns of the same round."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isnan, nan
from statistics import median
from typing import Any, Self

ENOUGH_FOR_P99 = 100
"""Least samples of a turn for which a 99th percentile means anything."""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of ``values``, ``share`` from 0 to 1; NaN when there are none."""
    if not values:
        return nan
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


@dataclass(frozen=True, slots=True)
class Turn:
    """Calls made one after the other by closed-loop callers, their latencies in ms.

    ``late`` ended after the turn's ``seconds`` and are no samples; ``lost`` never ended well.
    """

    ms: Sequence[float]
    seconds: float
    late: int = 0
    lost: int = 0

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        """Return the turn that a caller process has told."""
        return cls(told["ms"], told["seconds"], told["late"], told["lost"])

    @property
    def ended(self) -> int:
        """The count of calls that ended well, in time or not."""
        return len(self.ms) + self.late

    @property
    def rate(self) -> float:
        """Calls per second."""
        return len(self.ms) / self.seconds

    @property
    def p50(self) -> float:
        """The median, in ms."""
        return percentile(self.ms, 0.5)

    @property
    def p99(self) -> float:
        """The 99th percentile, in ms; NaN of too few."""
        return percentile(self.ms, 0.99) if len(self.ms) >= ENOUGH_FOR_P99 else nan


def middle(values: Iterable[float]) -> float:
    """Return the median of those values that are numbers; NaN when none is."""
    numbers = [value for value in values if not isnan(value)]
    return median(numbers) if numbers else nan


def spread(values: Iterable[float]) -> str:
    """Return the median and the quartiles of those values that are numbers: ``233 (225-241)``.

    One number has no quartiles.
    """
    numbers = [value for value in values if not isnan(value)]
    if len(numbers) < 2:
        return brief(middle(numbers))
    low, high = percentile(numbers, 0.25), percentile(numbers, 0.75)
    return f"{brief(middle(numbers))} ({brief(low)}-{brief(high)})"


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratios of two contestants, one per round in which both had a turn."""

    rounds: Sequence[float]

    @classmethod
    def of(cls, ours: Mapping[int, float], theirs: Mapping[int, float]) -> Self:
        """Divide round by round: what slows the machine down for a while slows both."""
        shared = sorted(ours.keys() & theirs.keys())
        return cls([ours[number] / theirs[number] for number in shared if theirs[number]])

    @property
    def middle(self) -> float:
        """The median round."""
        return middle(self.rounds)

    def __str__(self) -> str:
        """Return the median and the quartiles: ``1.21 (1.15-1.30)``."""
        return spread(self.rounds)


@dataclass(frozen=True, slots=True)
class Target:
    """A promise about a figure and whether this run kept it."""

    promise: str
    value: float
    limit: float
    at_most: bool = True

    @property
    def reached(self) -> bool:
        """Whether the figure is on the right side of its limit; one that is missing is not."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit


def brief(value: float) -> str:
    """Return a figure with about three digits, ``-`` for NaN."""
    if isnan(value):
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
