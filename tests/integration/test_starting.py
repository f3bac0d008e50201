"""A start that is cancelled half-way leaves nothing behind: no task, no socket, no port."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.declared.catalog import Catalog
from gateway.front.app import gateway
from tests.desk import APP, Place
from workers.main import workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")

Start = Callable[[Catalog], AbstractAsyncContextManager[object]]


@asynccontextmanager
async def some_workers(catalog: Catalog) -> AsyncIterator[object]:
    """Run the workers of every lane."""
    async with workers(catalog, catalog.lanes, grace=0) as running:
        yield running


def open_files() -> set[str]:
    """Return what this process has open."""
    found = set()
    for file in list(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):  # the directory's own
            found.add(f"{file.name} {file.readlink()}")
    return found


async def gone(tasks: set["asyncio.Task[Any]"], files: set[str]) -> bool:
    """True if nothing new is there. A closed transport takes some turns of the loop to go."""
    for _ in range(200):
        await asyncio.sleep(0)
        if asyncio.all_tasks() <= tasks and open_files() <= files:
            return True
    return False


@pytest.mark.parametrize("start", [gateway, some_workers])
@pytest.mark.parametrize("first", range(6))
async def test_start_that_is_cancelled_leaves_nothing_behind(start: Start, first: int, place: Place) -> None:
    """A supervisor may change its mind at any moment. It must not be left with half a process."""
    catalog = place.catalog({f"apps.{APP}.redis_lost": "direct"})
    async with start(catalog):  # what a start leaves for good, such as threads, is there from now on
        pass
    tasks, files = asyncio.all_tasks(), open_files()
    whole = 0
    for turns in range(first, 120, 6):
        started = asyncio.Event()

        async def run(started: asyncio.Event = started) -> None:
            async with start(catalog):
                started.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(run())
        for _ in range(turns):
            await asyncio.sleep(0)
        whole += started.is_set()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), turns
        assert await gone(tasks, files), (turns, asyncio.all_tasks() - tasks, open_files() - files)
    assert whole < 20, "every start was whole: none was cancelled half-way"


async def test_gateway_that_cannot_listen_leaves_nothing_behind(place: Place) -> None:
    """The port is taken: the error says so, and Redis has no connection of ours any more."""
    catalog = place.catalog()
    async with gateway(catalog) as running:
        taken = place.catalog({"gateway.listen": f"127.0.0.1:{running.callbacks[1]}"})
        tasks, files = asyncio.all_tasks(), open_files()
        with pytest.raises(OSError, match="Address already in use"):
            async with gateway(taken):
                pass
        assert await gone(tasks, files), (asyncio.all_tasks() - tasks, open_files() - files)
