"""Patience: a limit in time, fair to others if this process is held up."""

import asyncio
import time

import pytest

from gateway.process.patience import Patience


async def test_wait_ends_when_its_time_is_up() -> None:
    """Nobody waits for ever."""
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        async with Patience(0.05):
            await asyncio.Event().wait()
    assert time.monotonic() - begun >= 0.04


async def test_work_that_ends_in_time_is_left_alone() -> None:
    """A timer that goes on would hit the task's next work."""
    async with Patience(0.02):
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)


async def test_time_for_which_the_process_stood_still_is_given_back() -> None:
    """What is waited for lies in a socket, or would have been on its way by now."""
    came = asyncio.Event()
    async with Patience(0.2):
        time.sleep(0.5)  # noqa: ASYNC251 - the process stands still
        asyncio.get_running_loop().call_later(0.02, came.set)
        await came.wait()


async def test_outer_cancellation_is_no_end_of_the_time() -> None:
    """A callback that gives up is cancelled, and not timed out."""

    async def wait() -> None:
        async with Patience(5.0):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
