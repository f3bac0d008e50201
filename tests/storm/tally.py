"""The sum of one contestant's verdicts in one scenario. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import floor, nan
from typing import Self

from tests.bench.figures import percentile
from tests.storm.judging import PATIENCE, Verdict

DISTURBED = 0.05
"""Seconds by which the generator can be late before a play counts as disturbed. The worst reply is promised
to within so much, and the machine was busy with something else.
"""

MOST_PLAYS = 3
"""Plays of one scenario with one contestant, the first one included, when the others were disturbed."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of callbacks; ``took`` has the seconds of every callback, those given up with Desk's patience.

    ``blank`` held an empty variable where the CRM has a value. ``known`` were asked before, ``known_right``
    of them were answered right; ``calls`` is the CRM's count. ``late`` is the most by which the generator
    sent a callback too late, in seconds; ``restarts`` counts processes that had ended, ``plays`` how often
    the scenario was played for it.
    """

    took: Sequence[float]
    answered: int
    right: int
    good: int
    known: int
    known_right: int
    foreign: int
    blank: int
    calls: int
    late: float
    restarts: int
    plays: int = 1

    @classmethod
    def of(cls, verdicts: Iterable[Verdict], calls: int, late: float, restarts: int) -> Self:
        """Count."""
        told = list(verdicts)
        known = [one for one in told if one.asked_before]
        return cls(
            took=[PATIENCE if one.took is None else one.took for one in told],
            answered=sum(one.answered for one in told),
            right=sum(one.right for one in told),
            good=sum(one.good for one in told),
            known=len(known),
            known_right=sum(one.right for one in known),
            foreign=sum(one.foreign for one in told),
            blank=sum(one.blank for one in told),
            calls=calls,
            late=late,
            restarts=restarts,
        )

    def share(self, count: int) -> float:
        """Return a count as a share of all callbacks; NaN when there were none."""
        return count / len(self.took) if self.took else nan

    @property
    def disturbed(self) -> bool:
        """Whether the machine was too busy with something else for this to count, if it need not."""
        return self.late > DISTURBED and self.plays < MOST_PLAYS

    def or_calmer(self, again: Self) -> Self:
        """Return that of two plays whose generator was the less late; a foreign variable counts in either."""
        calmer = min(self, again, key=lambda tally: tally.late)
        foreign, blank = max(self.foreign, again.foreign), max(self.blank, again.blank)
        return replace(calmer, foreign=foreign, blank=blank, plays=self.plays + again.plays)

    @property
    def known_share(self) -> float:
        """The share answered right of those callbacks whose lookups had been answered before."""
        return self.known_right / self.known if self.known else nan

    @property
    def calls_each(self) -> float:
        """CRM calls per callback."""
        return self.share(self.calls)

    def ms(self, share: float) -> float:
        """Return a percentile of the reply times in ms; ``share`` 1 is the worst."""
        return percentile(self.took, share) * 1000


def percent(share: float) -> str:
    """Return a share for people; never rounded up, so that 100 % means all."""
    return "-" if share != share else f"{floor(share * 1e4 + 1e-6) / 100:g} %"  # noqa: PLR0124 - NaN
