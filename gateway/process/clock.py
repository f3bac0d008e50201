"""The clock of everything that waits or measures. It is a parameter, so that tests need not wait."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Seconds that never go back, and a way to wait."""

    def now(self) -> float:
        """Return the seconds since some moment in the past."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when so many seconds have passed."""
        ...


class MonotonicClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Return the seconds since some moment in the past."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return when so many seconds have passed."""
        await asyncio.sleep(seconds)


MONOTONIC: Clock = MonotonicClock()
