"""Background work: tasks that nobody awaits. They are held until they end, and cancelled together."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

INSIST_EVERY = 0.1
"""Seconds after which a task that was cancelled and goes on is cancelled again."""


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended; its exception is no matter any more.

    Once is not enough. A task group whose task fails in the same turn swallows the cancellation, and so may
    ``wait_for()`` before Python 3.12 (gh-86296). What the task does at its end must bear a second one.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=INSIST_EVERY)
    if not task.cancelled():
        task.exception()


class Background:
    """Tasks of one owner. The event loop itself holds only a weak reference to a task."""

    def __init__(self) -> None:
        """Begin without a task."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine; return its task, which the owner may await or cancel."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """Cancel every task that runs, and do not wait for their end."""
        for task in list(self._tasks):
            task.cancel()

    async def close(self, grace: float = 0.0) -> int:
        """Wait ``grace`` seconds for the tasks that run, then cancel the rest and wait for their end.

        A task that begins meanwhile is one that runs. Return the number of tasks that were cancelled.
        """
        until = time.monotonic() + grace
        while self._tasks and (left_to_wait := until - time.monotonic()) > 0:
            await asyncio.wait(self._tasks, timeout=left_to_wait)
        left = [task for task in self._tasks if not task.done()]
        self.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return len(left)

    def __len__(self) -> int:
        """Return the number of tasks that run."""
        return len(self._tasks)
