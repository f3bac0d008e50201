"""Bulkhead: a cap on concurrent calls. One call more is refused at once, and does not wait.

A worker needs no bulkhead: its lane gives it no more jobs than it has slots.
"""

from gateway.core.errors import Overloaded
from gateway.resilience.policy import Call


class Bulkhead:
    """``size`` places: each call takes a place, and gives it back at its end."""

    def __init__(self, size: int) -> None:
        """Begin empty."""
        self._size = size
        self._inside = 0

    def admit(self, _: Call) -> None:
        """Take a place; raise Overloaded if all are taken."""
        if self._inside >= self._size:
            msg = f"{self._size} calls are under way already"
            raise Overloaded(msg)
        self._inside += 1

    def succeeded(self, _: Call) -> None:
        """Give the place back."""
        self._inside -= 1

    def failed(self, _: Call, __: BaseException) -> None:
        """Give the place back."""
        self._inside -= 1
