"""Bulkhead: at most so many calls at one time; one more is refused at once, and does not wait in line."""

from gateway.core.errors import Overloaded


class Bulkhead:
    """Room for ``size`` calls; each holds its place for the length of a ``with`` block."""

    def __init__(self, size: int) -> None:
        """Begin empty."""
        self._size = size
        self._inside = 0

    def __enter__(self) -> None:
        """Take a place; raise Overloaded when there is none."""
        if self._inside >= self._size:
            msg = f"{self._size} calls are under way already"
            raise Overloaded(msg)
        self._inside += 1

    def __exit__(self, *_: object) -> None:
        """Leave it to another."""
        self._inside -= 1
