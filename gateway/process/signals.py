"""What an operator asks a process for, by signals."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def keep_hangups() -> None:
    """Keep a SIGHUP until :class:`Signals` listens: whoever asks a process that starts to reload ended it.

    A program that this one becomes (``exec``) keeps it on.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


class Signals:
    """The signals of a process that serves, each an event that others wait for.

    ``SIGTERM`` asks it to stop, in peace. ``SIGINT``, or a second signal to stop, asks it to hurry.
    ``SIGHUP`` asks it to reload, or to hurry if its terminal has closed. ``SIGUSR1`` asks it to stop, and
    says that another process has its ports already.
    """

    def __init__(self) -> None:
        """Listen, on the running loop."""
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self.replaced = asyncio.Event()
        self.reload = asyncio.Event()
        self._on_terminal = _has_terminal()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGINT, self._hurry)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_signal_handler(signal.SIGUSR1, self._replace)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    async def unless_stopped(self, start: Coroutine[Any, Any, T]) -> T | None:
        """Return what ``start`` returns; cancel it and return None if a signal to stop comes first."""
        starting, stopped = asyncio.ensure_future(start), asyncio.ensure_future(self.stop.wait())
        try:
            await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                return await starting
            return None
        finally:
            for task in (starting, stopped):
                task.cancel()
            await asyncio.gather(starting, stopped, return_exceptions=True)

    def _stop(self) -> None:
        if self.stop.is_set():
            self.hurry.set()
        self.stop.set()

    def _hurry(self) -> None:
        self.stop.set()
        self.hurry.set()

    def _reload(self) -> None:
        if self._on_terminal and not _has_terminal():
            self._hurry()
        else:
            self.reload.set()

    def _replace(self) -> None:
        self.replaced.set()
        self.stop.set()


def _has_terminal() -> bool:
    """True while standard output is a terminal that has not hung up."""
    return sys.stdout is not None and not sys.stdout.closed and sys.stdout.isatty()
