"""Pause: a backend that answers "too many requests" is left alone, for as long as it asks.

::

    open ──a throttled answer──▶ paused ──its time is over──▶ probing ──anything else──▶ open
                                   ▲                              │
                                   └───── a throttled answer ─────┘

While the lane is paused, each call is refused at once. After the pause one call goes out alone, the probe.
The others are refused until it ends. If it is not throttled, the pause is over, even if it failed: failures
are the business of other policies.

A backend that does not say for how long is left alone for 0.5 … 1 s. This doubles after each throttled probe,
up to 30 s.
"""

import random
from collections.abc import Callable

from gateway.core.errors import BackendThrottled
from gateway.process.clock import MONOTONIC, Clock
from gateway.resilience.policy import Call

FIRST_PAUSE = 1.0
LONGEST_UNASKED = 30.0


class Pause:
    """The pause of one lane, in one process."""

    def __init__(self, *, clock: Clock = MONOTONIC, share: Callable[[], float] = random.random) -> None:
        """Begin open. ``share`` gives a random number from 0 to 1."""
        self._clock, self._share = clock, share
        self._until: float | None = None
        self._probe: Call | None = None
        self._bound = FIRST_PAUSE

    def admit(self, call: Call) -> None:
        """Let the call go on, as the probe if there was a pause; raise BackendThrottled during it."""
        if self._until is None:
            return
        left = self._until - self._clock.now()
        if left > 0 or self._probe is not None:
            msg = f"not asked: the backend wants to be left alone for {max(0.0, left):.1f} s more"
            raise BackendThrottled(msg)
        self._probe = call

    def succeeded(self, call: Call) -> None:
        """End the pause if this is the probe. An answer to a call from before the pause says nothing."""
        if call is self._probe:
            self._until, self._probe, self._bound = None, None, FIRST_PAUSE

    def failed(self, call: Call, error: BaseException) -> None:
        """Begin a pause, or lengthen it, if the backend asks for it."""
        is_probe = call is self._probe
        if is_probe:
            self._until = self._probe = None
        if not isinstance(error, BackendThrottled):
            return
        if is_probe:
            self._bound = min(LONGEST_UNASKED, self._bound * 2)
        pause = self._bound * (1 + self._share()) / 2 if error.pause is None else error.pause
        self._until = max(self._until or 0.0, self._clock.now() + pause)
