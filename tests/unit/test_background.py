"""Work behind the answers: held until it ends, let go together."""

import asyncio

from gateway.process.background import Background


async def test_task_is_held_until_it_ends() -> None:
    """The event loop alone would let the garbage collector take it."""
    background, free = Background(), asyncio.Event()
    task = background.start(free.wait())
    assert len(background) == 1
    free.set()
    assert await task
    assert len(background) == 0


async def test_close_waits_for_what_ends_in_time_and_cancels_the_rest() -> None:
    """A process that stops finishes what it can, and leaves no task behind."""
    background, never = Background(), asyncio.Event()
    quick = background.start(asyncio.sleep(0, "done"))
    stuck = background.start(never.wait())
    assert await background.close(grace=0.01) == 1
    assert quick.result() == "done"
    assert stuck.cancelled()
    assert len(background) == 0


async def test_close_waits_for_what_begins_meanwhile() -> None:
    """Its place may have been promised before."""
    background = Background()

    async def follow() -> str:
        await asyncio.sleep(0.01)
        return "done"

    async def begin() -> asyncio.Task[str]:
        await asyncio.sleep(0)
        return background.start(follow())

    first = background.start(begin())
    assert await background.close(grace=5) == 0
    assert first.result().result() == "done"


async def test_close_without_grace_cancels_at_once_and_outlives_failures() -> None:
    """One task that fails on its way out must not keep the others open."""
    background, never = Background(), asyncio.Event()

    async def fail() -> None:
        try:
            await never.wait()
        finally:
            raise ValueError

    failing, waiting = background.start(fail()), background.start(never.wait())
    await asyncio.sleep(0)
    await background.close()
    assert waiting.cancelled()
    assert isinstance(failing.exception(), ValueError)
