"""Hedge: a second attempt beside the first one, if that takes long or fails. The first answer wins.

It takes the place of retries, for lookups that declare it (Dean and Barroso, "The Tail at Scale"). Hedges are
at most a tenth of a process's calls to a backend: a backend that is slow for all is not helped by more calls.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.core.errors import is_transient
from gateway.process.clock import MONOTONIC, Clock
from gateway.resilience.policy import Call

SHARE = 0.1
"""Hedges that each call pays for."""

MOST_SAVED = 5.0
"""Most hedges that can be saved up. A process begins with one."""

Runner = Callable[[Call], Awaitable[Any]]


class Hedge:
    """The hedges of all calls to one backend."""

    def __init__(self, clock: Clock = MONOTONIC) -> None:
        """Begin with one hedge."""
        self._clock = clock
        self._saved = 1.0

    def spend(self, call: Call) -> bool:
        """Take one hedge for a call; return False if none is left, or if it is too late for one."""
        if self._saved < 1.0 or self._clock.now() >= call.last_start:
            return False
        self._saved -= 1.0
        return True

    async def run(self, call: Call, runner: Runner, after: float) -> Any:  # noqa: ANN401 - an answer
        """Return the first answer; raise the last failure. The hedge begins ``after`` seconds."""
        self._saved = min(MOST_SAVED, self._saved + SHARE)
        running: set[asyncio.Future[Any]] = {asyncio.ensure_future(runner(call))}
        try:
            await asyncio.wait(running, timeout=after)
            (first,) = running
            failure = first.exception() if first.done() else None
            failed = failure is not None and is_transient(failure)
            if first.done() and not failed:
                return first.result()
            if not self.spend(call):
                return await first
            second = asyncio.ensure_future(runner(call))
            running = {second} if failed else {first, second}
            return await _first_answer(running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def _first_answer(running: set[asyncio.Future[Any]]) -> Any:  # noqa: ANN401
    """Return the first answer of several attempts; raise the last failure if there is none."""
    left = set(running)
    while True:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        answered = [task for task in done if task.exception() is None]
        if answered or not left:
            return (answered or [*done])[0].result()
