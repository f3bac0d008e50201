"""What a gateway knows of the backends that must not be asked now: it need not begin a job for them."""

from collections.abc import Mapping

from gateway.core.errors import Code
from gateway.declared.backend import Backend
from gateway.resilience.board import Board
from gateway.resilience.breaker import breaker_name
from gateway.resilience.gate import OPEN
from gateway.resilience.pause import pause_name


class ShutLanes:
    """The gates of all lanes. A gateway looks at them, and never moves one."""

    def __init__(self, board: Board, backends: Mapping[str, Backend]) -> None:
        """Take the settings of each lane's backend."""
        self._board = board
        self._pauses = {lane: board.entry(pause_name(lane), OPEN) for lane in backends}
        self._breakers = {
            lane: board.entry(breaker_name(lane), OPEN)
            for lane, backend in backends.items()
            if backend.breaker != "off" and not backend.breaker.dry_run
        }

    def why(self, lane: str) -> Code | None:
        """Return the code of a lane that must not be asked; None if it may be, by a probe at least."""
        pause = self._pauses[lane].value
        if not pause.is_open and pause.refuses(self._board.now()):
            return Code.BACKEND_THROTTLED
        breaker = self._breakers.get(lane)
        if breaker is not None and not breaker.value.is_open and breaker.value.refuses(self._board.now()):
            return Code.CIRCUIT_OPEN
        return None
