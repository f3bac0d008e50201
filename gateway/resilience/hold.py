"""Hold: a backend that nobody asks, because an operator says so. The last known answers go out in its place.

A pause and a breaker end by themselves, and a probe finds out when. A hold ends when its time is over or the
operator ends it: nothing asks the backend meanwhile. So it can be repaired, or moved, in peace.
"""

from collections.abc import Awaitable

from gateway.core.errors import CircuitOpen
from gateway.resilience.board import Board
from gateway.resilience.gate import OPEN
from gateway.resilience.policy import Call


def hold_name(lane: str) -> str:
    """Return the name of a lane's hold on the board."""
    return f"hold:{lane}"


class Hold:
    """The hold of one lane, as the fleet shares it."""

    def __init__(self, board: Board, lane: str) -> None:
        """Take the lane."""
        self._board = board
        self._gate = board.entry(hold_name(lane), OPEN)

    def admit(self, call: Call) -> Awaitable[None] | None:  # noqa: ARG002 - one is as good as another
        """Let the call go on; raise CircuitOpen during a hold."""
        gate = self._gate.value
        if gate.is_open or not gate.refuses(now := self._board.now()):
            return None
        msg = f"not asked: an operator holds the backend for {gate.left(now):.0f} s more"
        raise CircuitOpen(msg)

    def succeeded(self, call: Call) -> None:
        """Note nothing: only an operator ends a hold."""

    def failed(self, call: Call, error: BaseException) -> None:
        """Note nothing."""
