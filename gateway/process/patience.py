"""Patience: limits in time for what comes from elsewhere, fair to it if this process is held up.

A process may be held up: a paused machine, a starved container. Then its timers come late. In a turn of the
loop timers come before sockets: what they wait for may be there, unread.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Alarm:
    """Calls a function when time is up. If its timer comes late, it waits once more, for as long.

    The second wait is at most as long as the first. Behind it comes a turn that reads the sockets.
    """

    def __init__(self, due: float, seconds: float, ring: Callable[[], None]) -> None:
        """Take when time is up, on the loop's clock, the seconds that it has, and the function."""
        self._due, self._seconds, self._ring = due, seconds, ring
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Handle = self._loop.call_at(due, self._wait_on)

    def cancel(self) -> None:
        """Call nobody."""
        self._next.cancel()

    def _wait_on(self) -> None:
        late = self._loop.time() - self._due
        self._next = self._loop.call_later(min(late, self._seconds), self._have_read)

    def _have_read(self) -> None:
        self._next = self._loop.call_soon(self._wait_a_turn)

    def _wait_a_turn(self) -> None:
        self._next = self._loop.call_soon(self._ring)  # behind the sockets


class Patience:
    """``async with`` it: raises TimeoutError after so many seconds, as :func:`asyncio.timeout` does."""

    def __init__(self, seconds: float) -> None:
        """Take the limit."""
        self._seconds = seconds
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        """Begin to wait."""
        self._loop = asyncio.get_running_loop()
        await self._timeout.__aenter__()
        self._alarm = Alarm(self._loop.time() + self._seconds, self._seconds, self._end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the wait."""
        self._alarm.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def _end(self) -> None:
        self._timeout.reschedule(self._loop.time())
