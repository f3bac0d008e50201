"""A clock that moves when it is told to."""

from gateway.core.units import parse_duration


class Clock:
    """Seconds that pass by :meth:`advance` alone."""

    def __init__(self) -> None:
        """Begin at some moment."""
        self._now = 1000.0

    def now(self) -> float:
        """Return the seconds since some moment in the past."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Let so many seconds pass, and return at once."""
        self._now += seconds

    def advance(self, time: str | float) -> None:
        """Let a time pass: seconds, or a text such as ``"10m"``; raise ValueError for another text."""
        self._now += parse_duration(time) if isinstance(time, str) else time
