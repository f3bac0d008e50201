"""The seam of a policy: may this call go on? It succeeded. It failed.

A policy is one file. It decides by the calls that it has seen. It opens nothing and awaits nothing.
``stack.py`` has the order of the policies, and calls them:

=============  ==========================================================================================
``admit``      before a call: the policy lets it go on, or raises a NoAnswer in its place
``succeeded``  after an answer
``failed``     after an exception, a cancellation too
=============  ==========================================================================================

After each call that was admitted, exactly one of the other two is called. So they can give back a place that
``admit`` took.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from gateway.core.errors import NoAnswer


class Call:
    """One question to a backend on its way through the policies.

    ``deadline`` is on the monotonic clock. A call that no callback waits for is not ``awaited``. ``retried``
    is called for each failure before another attempt, with the number of the failed attempt. ``attempts`` is
    the number begun so far.

    Each note of a policy has one writer. The retry writes ``pause``, the seconds until the next attempt
    (None: there is no next attempt). The deadline writes ``last_start``, the time after which no further
    attempt begins.
    """

    __slots__ = ("_make", "attempts", "awaited", "deadline", "last_start", "pause", "retried")

    def __init__(
        self,
        make: Callable[[], Awaitable[Any]],
        deadline: float,
        *,
        awaited: bool = True,
        retried: Callable[[int, NoAnswer], None] = lambda _number, _error: None,
    ) -> None:
        """Take what makes one attempt, the deadline, and the function for failures."""
        self._make, self.deadline, self.awaited, self.retried = make, deadline, awaited, retried
        self.attempts = 0
        self.pause: float | None = None
        self.last_start = math.inf

    def make(self) -> Awaitable[Any]:
        """Make one attempt, and count it."""
        self.attempts += 1
        return self._make()


class Policy(Protocol):
    """Three verbs: see the module."""

    def admit(self, call: Call) -> None:
        """Let the call go on, or raise NoAnswer."""
        ...

    def succeeded(self, call: Call) -> None:
        """Note an answer."""
        ...

    def failed(self, call: Call, error: BaseException) -> None:
        """Note a failure; ``error`` may be a cancellation."""
        ...
