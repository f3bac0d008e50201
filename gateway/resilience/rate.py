"""Rate: calls per second, for the whole fleet.

Each worker process keeps to its share: the rate, divided by the number of workers that the lane has. So no
call of Redis stands before a call of the backend. A call waits for its turn, if its turn comes before its
deadline; else it is refused at once.
"""

from collections.abc import Awaitable, Callable

from gateway.core.errors import Overloaded
from gateway.process.clock import MONOTONIC, Clock
from gateway.resilience.policy import Call


class Rate:
    """The turns that one process has. It is the generic cell rate algorithm, of ITU-T I.371."""

    def __init__(
        self,
        per_second: float,
        burst: int,
        workers: Callable[[], int] = lambda: 1,
        *,
        clock: Clock = MONOTONIC,
    ) -> None:
        """Take the rate and the burst of the fleet, and what returns the number of its workers."""
        self._per_second, self._burst, self._workers, self._clock = per_second, burst, workers, clock
        self._next = 0.0

    def admit(self, call: Call) -> Awaitable[None] | None:
        """Let the call go on, at once or at its turn; raise Overloaded if that is past its deadline."""
        now, workers = self._clock.now(), max(1, self._workers())
        between = workers / self._per_second
        turn = max(self._next, now - between * (max(1.0, self._burst / workers) - 1))
        if turn > call.deadline:
            msg = f"not asked: the rate of {self._per_second:g}/s leaves no turn before the deadline"
            raise Overloaded(msg)
        self._next = turn + between
        return None if turn <= now else self._clock.sleep(turn - now)

    def succeeded(self, call: Call) -> None:
        """Do nothing."""

    def failed(self, call: Call, error: BaseException) -> None:
        """Do nothing: an attempt that failed was one, too."""
