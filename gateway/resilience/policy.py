"""The seam of a policy: may this go on? It succeeded. It failed.

A policy is one file. It decides by what it has seen, opens nothing and awaits nothing. ``stack.py`` has the
order of the policies, and calls them:

===========  ============================================================================================
``admit``    before: the policy lets the call go on, or raises the NoAnswer that stands for it
``succeeded``  after an answer
``failed``   after any exception, a cancellation among them
===========  ============================================================================================

Each call that was admitted is followed by exactly one of the other two. So whatever ``admit`` took, they can
give back.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from gateway.core.errors import NoAnswer


class Call:
    """One question to a backend on its way through the policies.

    ``make`` makes one attempt. ``deadline`` is on the monotonic clock; a call that nobody waits for is not
    ``awaited``. ``retried`` hears of each failure that is followed by another attempt.

    What policies note has one writer each: ``attempts``, those begun so far, and ``pause``, the seconds to
    wait before the next one (None: there is no next one), are the retry's; ``last_start``, after which no
    further attempt begins, is the deadline's.
    """

    __slots__ = ("attempts", "awaited", "deadline", "last_start", "make", "pause", "retried")

    def __init__(
        self,
        make: Callable[[], Awaitable[Any]],
        deadline: float,
        *,
        awaited: bool = True,
        retried: Callable[[int, NoAnswer], None] = lambda _number, _error: None,
    ) -> None:
        """Take what is asked, until when, and who hears of failures."""
        self.make, self.deadline, self.awaited, self.retried = make, deadline, awaited, retried
        self.attempts = 0
        self.pause: float | None = None
        self.last_start = math.inf


class Policy(Protocol):
    """Three verbs; see the module."""

    def admit(self, call: Call) -> None:
        """Let the call go on; raise NoAnswer when it must not."""
        ...

    def succeeded(self, call: Call) -> None:
        """Note an answer."""
        ...

    def failed(self, call: Call, error: BaseException) -> None:
        """Note a failure; ``error`` may be a cancellation."""
        ...
