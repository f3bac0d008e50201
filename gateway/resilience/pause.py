"""Pause: a backend that answers "too many requests" is left alone, for as long as it asks.

While the lane is paused, each call of the fleet is refused at once. After the pause one call goes out alone,
the probe. If it is not throttled, the pause is over, even if it failed: failures are the business of other
policies.

A backend that does not say for how long is left alone for 0.5 … 1 s. This doubles after each throttled probe,
up to 30 s.
"""

import random
from collections.abc import Awaitable, Callable

from gateway.core.errors import BackendThrottled
from gateway.resilience.board import Board
from gateway.resilience.gate import OPEN, Gate
from gateway.resilience.gatekeeper import Gatekeeper
from gateway.resilience.policy import Call
from gateway.telemetry import events

FIRST_PAUSE = 1.0
LONGEST_UNASKED = 30.0


def pause_name(lane: str) -> str:
    """Return the name of a lane's pause on the board."""
    return f"pause:{lane}"


class Pause:
    """The pause of one lane, as the fleet shares it."""

    def __init__(
        self,
        board: Board,
        lane: str,
        *,
        longest_attempt: float,
        longest: float = 60.0,
        share: Callable[[], float] = random.random,
    ) -> None:
        """Take the lane, and the ``longest`` pause. ``share`` gives a random number from 0 to 1."""
        self._lane, self._longest, self._share = lane, longest, share
        self._keeper = Gatekeeper(board, pause_name(lane), longest_attempt)

    def admit(self, call: Call) -> Awaitable[None] | None:
        """Let the call go on, as the probe if there was a pause; raise BackendThrottled during it."""
        if (gate := self._keeper.gate.value).is_open:
            return None
        left = gate.left(self._keeper.board.now())
        msg = f"not asked: the backend wants to be left alone for {left:.1f} s more"
        return self._keeper.admit(call, BackendThrottled(msg))

    def succeeded(self, call: Call) -> None:
        """End the pause if this is the probe. An answer to a call from before the pause says nothing."""
        if self._keeper.ends_probe(call):
            resumed = self._keeper.by_probe(lambda _gate, _now: OPEN)
            self._keeper.gate.change_soon(resumed, lambda _: events.lane_resumed(lane=self._lane))

    def failed(self, call: Call, error: BaseException) -> None:
        """Begin a pause, or lengthen it, if the backend asks for it."""
        if not isinstance(error, BackendThrottled):
            self._end(call, error)
            return
        is_probe = self._keeper.ends_probe(call)
        asked, share = error.pause, self._share()

        def paused(gate: Gate, now: float) -> Gate | None:
            if asked is not None:
                seconds, length = min(asked, self._longest), FIRST_PAUSE
            else:
                length = min(LONGEST_UNASKED, gate.length * 2) if is_probe and gate.length else FIRST_PAUSE
                seconds = min(length * (1 + share) / 2, self._longest)
            if not is_probe and now + seconds <= gate.until:
                return None
            return Gate(now + seconds, length)

        self._keeper.gate.change_soon(paused, self._report_paused)

    def _end(self, call: Call, error: BaseException) -> None:
        if call is not self._keeper.probe:
            return
        if isinstance(error, Exception):
            self.succeeded(call)
        else:  # it was cancelled, and says nothing
            self._keeper.ends_probe(call)
            self._keeper.give_back()

    def _report_paused(self, gate: Gate) -> None:
        events.lane_paused(lane=self._lane, seconds=gate.left(self._keeper.board.now()))
