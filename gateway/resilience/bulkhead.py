"""Bulkhead: at most so many calls at one time. One more is refused at once, and does not wait in line.

A worker needs none: its lane hands it no more jobs than it has slots for.
"""

from gateway.core.errors import Overloaded
from gateway.resilience.policy import Call


class Bulkhead:
    """Room for ``size`` calls: a call takes a place, and leaves it however it ends."""

    def __init__(self, size: int) -> None:
        """Begin empty."""
        self._size = size
        self._inside = 0

    def admit(self, _: Call) -> None:
        """Take a place; raise Overloaded when there is none."""
        if self._inside >= self._size:
            msg = f"{self._size} calls are under way already"
            raise Overloaded(msg)
        self._inside += 1

    def succeeded(self, _: Call) -> None:
        """Leave the place to another call."""
        self._inside -= 1

    def failed(self, _: Call, __: BaseException) -> None:
        """Leave the place to another call."""
        self._inside -= 1
