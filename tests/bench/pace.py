"""How long the parts of a run take: the whole in ten minutes, the quick one in two."""

from collections.abc import Callable
from dataclasses import dataclass

Step = Callable[[], None]
"""Called after each turn, so that progress can be shown."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Turns are short and many, so that those compared are close in time.

    Lengths are seconds of one turn. A contestant has one turn a round, a slow one every so many rounds.
    """

    hand_off_rounds: int
    hand_off_turn: float
    slow_every: int
    slow_turn: float
    callback_rounds: int
    callback_turn: float
    scaling_rounds: int
    scaling_turn: float
    idle: float


WHOLE = Pace(
    hand_off_rounds=36,
    hand_off_turn=0.4,
    slow_every=12,
    slow_turn=4.0,
    callback_rounds=18,
    callback_turn=0.7,
    scaling_rounds=4,
    scaling_turn=1.1,
    idle=10.0,
)
QUICK = Pace(
    hand_off_rounds=6,
    hand_off_turn=0.25,
    slow_every=6,
    slow_turn=1.2,
    callback_rounds=5,
    callback_turn=0.3,
    scaling_rounds=2,
    scaling_turn=0.5,
    idle=3.0,
)
