"""What an operator may decide about a backend, for the whole fleet: to hold it, to open or close its breaker.

Each is a change of a gate on the board, as the policies make them. So it is known to all processes at once.
An operator means all of them: each raises QueueUnavailable if this process alone would know.
"""

from gateway.core.errors import QueueUnavailable
from gateway.resilience.board import Board
from gateway.resilience.breaker import breaker_name
from gateway.resilience.gate import OPEN, Gate
from gateway.resilience.hold import hold_name

LONGEST_HOLD = 3600.0
"""Seconds, the longest hold. Who needs a longer one holds the backend again."""


async def hold(board: Board, lane: str, seconds: float) -> None:
    """Have nobody ask a lane's backend for so long: the last known answers go out."""
    await _put(board, hold_name(lane), min(seconds, LONGEST_HOLD))


async def release(board: Board, lane: str) -> None:
    """End a hold."""
    await _put(board, hold_name(lane), 0.0)


async def open_breaker(board: Board, lane: str, seconds: float) -> None:
    """Open the breaker of a lane's backend. After so long a probe decides, as after every break."""
    await _put(board, breaker_name(lane), seconds)


async def close_breaker(board: Board, lane: str) -> None:
    """Close the breaker of a lane's backend. Further failures open it anew."""
    await _put(board, breaker_name(lane), 0.0)


async def _put(board: Board, name: str, seconds: float) -> None:
    entry = board.entry(name, OPEN)
    if await entry.change_for_all(lambda _, now: Gate(now + seconds, seconds) if seconds else OPEN) is None:
        msg = "other processes changed it each time"
        raise QueueUnavailable(msg)
