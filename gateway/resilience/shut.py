"""What is known of the backends that must not be asked now: a gateway need not begin a job for them."""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from gateway.core.errors import Code
from gateway.declared.backend import Backend
from gateway.resilience.board import Board
from gateway.resilience.breaker import breaker_name
from gateway.resilience.gate import OPEN, Gate
from gateway.resilience.hold import hold_name
from gateway.resilience.pause import pause_name

BreakerState = Literal["closed", "open", "half_open"]
"""The words of Polly: a closed circuit lets every call through."""

BREAKER_STATES: tuple[BreakerState, ...] = get_args(BreakerState)


class Gates(msgspec.Struct, frozen=True):
    """What keeps a backend from being asked.

    ``breaker`` is None if it is off. For ``paused_s`` seconds it is still left alone because it asked for it,
    for ``held_s`` because an operator holds it.
    """

    breaker: BreakerState | None
    paused_s: float
    held_s: float


class ShutBackends:
    """The gates of all backends. A gateway looks at them, and never moves one."""

    def __init__(self, board: Board, backends: Mapping[str, Backend]) -> None:
        """Take the settings of each backend."""
        self._board = board
        self._pauses = {name: board.entry(pause_name(name), OPEN) for name in backends}
        self._holds = {name: board.entry(hold_name(name), OPEN) for name in backends}
        self._breakers = {
            name: board.entry(breaker_name(name), OPEN)
            for name, backend in backends.items()
            if backend.breaker != "off"
        }
        self._dry = {name for name, one in backends.items() if one.breaker != "off" and one.breaker.dry_run}

    def why(self, lane: str) -> Code | None:
        """Return the code of a lane that must not be asked; None if it may be, by a probe at least."""
        hold = self._holds[lane].value
        if not hold.is_open and hold.refuses(self._board.now()):
            return Code.CIRCUIT_OPEN
        pause = self._pauses[lane].value
        if not pause.is_open and pause.refuses(self._board.now()):
            return Code.BACKEND_THROTTLED
        breaker = self._breakers.get(lane)
        if breaker is None or breaker.value.is_open or lane in self._dry:
            return None
        return Code.CIRCUIT_OPEN if breaker.value.refuses(self._board.now()) else None

    def gates(self) -> dict[str, Gates]:
        """Return how the gates of each backend stand."""
        return {name: self._gates(name) for name in self._pauses}

    def _gates(self, name: str) -> Gates:
        now, breaker = self._board.now(), self._breakers.get(name)
        state = None if breaker is None else _state_of(breaker.value, now)
        return Gates(state, _left(self._pauses[name].value, now), _left(self._holds[name].value, now))


def _state_of(gate: Gate, now: float) -> BreakerState:
    if gate.is_open:
        return "closed"
    return "open" if gate.refuses(now) and not gate.probe else "half_open"


def _left(gate: Gate, now: float) -> float:
    return 0.0 if gate.is_open else gate.left(now)
