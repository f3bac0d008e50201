"""Patience: a limit in time for what comes from elsewhere, fair to it if this process is held up."""

import asyncio
from types import TracebackType
from typing import Self


class Patience:
    """``async with`` it: raises TimeoutError after so many seconds, as :func:`asyncio.timeout` does.

    A process may be held up: a paused machine, a starved container. Then its timer comes late. In a turn of
    the loop timers come before sockets, so the answer may be there, unread. Therefore the wait goes on once
    more for as long as the timer came late, and for no longer than the limit itself.
    """

    def __init__(self, seconds: float) -> None:
        """Take the limit."""
        self._seconds = seconds
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        """Begin to wait."""
        self._loop = asyncio.get_running_loop()
        await self._timeout.__aenter__()
        self._due = self._loop.time() + self._seconds
        self._timer = self._loop.call_at(self._due, self._wait_on)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the wait."""
        self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def _wait_on(self) -> None:
        late = self._loop.time() - self._due
        self._timer = self._loop.call_later(min(late, self._seconds), self._end)

    def _end(self) -> None:
        self._timeout.reschedule(self._loop.time())
