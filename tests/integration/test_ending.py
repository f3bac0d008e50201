"""The end of a process, whatever ends with it."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from gateway.crm.server import Crm
from gateway.front.app import gateway
from gateway.process.background import end
from gateway.tools.processes import Valkey
from tests.desk import Desk, Place
from workers.main import workers

pytestmark = pytest.mark.timeout(60)


async def test_gateway_and_worker_end_although_redis_ends_with_them(
    valkey: Valkey, crm: Crm, desk: Desk
) -> None:
    """As when a whole deployment is shut down: the loss of Redis and the word to stop come in one turn."""
    catalog = Place(valkey.url, "t", crm.url).catalog()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(workers(catalog, catalog.lanes, grace=0))
        running = await stack.enter_async_context(gateway(catalog))
        assert (await desk.at(running.callbacks).call(node="order", orderId="1")).code == 0
        parts = stack.pop_all()
    valkey.stop()  # the loop stands still meanwhile
    async with asyncio.timeout(10):
        await parts.aclose()


async def test_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    """A task group does, if a task of it fails in the same turn."""
    failing = asyncio.Event()

    async def fail() -> None:
        await failing.wait()
        raise OSError

    async def go_on() -> None:
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(fail())
            except* OSError:
                failing.clear()

    task = asyncio.create_task(go_on())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    failing.set()
    async with asyncio.timeout(5):
        await end(task)
    assert task.cancelled()


async def test_task_that_fails_at_its_end_has_ended() -> None:
    """Its exception is nobody's business any more."""

    async def fail() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await end(task)
    assert isinstance(task.exception(), OSError)
