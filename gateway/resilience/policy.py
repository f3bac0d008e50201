"""The seam of a policy: may this call go on? It succeeded. It failed.

A policy is one file. It decides by the calls that it has seen. It opens nothing and awaits nothing.
``stack.py`` has the order of the policies, and calls them:

=============  ==========================================================================================
``admit``      before a call: the policy lets it go on, or raises a NoAnswer in its place. It may return
               what is to be awaited first: a turn, or the word of the fleet
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


class Observer:
    """Hears of the attempts of a call. This one makes nothing of it."""

    def retried(self, number: int, error: NoAnswer) -> None:
        """Hear that an attempt failed, and that another one follows."""

    def ended(self, number: int, outcome: str, took: float) -> None:
        """Hear that an attempt ended: its number, the name of its code or CANCELLED, its seconds."""


NOBODY = Observer()


class Call:
    """One question to a backend on its way through the policies.

    ``deadline`` is on the monotonic clock. A call that no callback waits for is not ``awaited``.
    ``attempts`` is the number begun so far; its ``observer`` hears of their ends.

    After ``hedge`` seconds a second attempt begins beside the first; with None, failures are retried.

    Each note of a policy has one writer. The retry writes ``pause``, the seconds until the next attempt
    (None: there is no next attempt). The stack writes ``renewed``: an attempt was made with other
    credentials. The deadline writes ``last_start``, the time after which no further attempt begins. The
    attempt timeout writes ``took``, the seconds of the last attempt.
    """

    __slots__ = (
        *("_make", "attempts", "awaited", "deadline", "hedge"),
        *("last_start", "observer", "pause", "renewed", "took"),
    )

    def __init__(
        self,
        make: Callable[[], Awaitable[Any]],
        deadline: float,
        *,
        awaited: bool = True,
        observer: Observer | None = None,
        hedge: float | None = None,
    ) -> None:
        """Take what makes one attempt, the deadline, and who wants to hear of attempts."""
        self._make, self.deadline, self.awaited = make, deadline, awaited
        self.observer = observer or NOBODY
        self.hedge = hedge
        self.attempts = 0
        self.took = 0.0
        self.renewed = False
        self.pause: float | None = None
        self.last_start = math.inf

    def make(self) -> Awaitable[Any]:
        """Make one attempt, and count it."""
        self.attempts += 1
        return self._make()


class Policy(Protocol):
    """Three verbs: see the module."""

    def admit(self, call: Call) -> Awaitable[None] | None:
        """Let the call go on, at once or after what is returned; or raise NoAnswer. So may the awaitable."""
        ...

    def succeeded(self, call: Call) -> None:
        """Note an answer."""
        ...

    def failed(self, call: Call, error: BaseException) -> None:
        """Note a failure; ``error`` may be a cancellation."""
        ...
