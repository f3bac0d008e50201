"""A worker that is told to stop: it takes no job any more, and finishes those that it has."""

import asyncio

from redis.asyncio import Redis

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.queue.jobs import State
from gateway.wire.keys import Keys
from tests.desk import Place, when
from tests.integration.queueing import begin, hand_off
from workers.main import workers

QUICK_AND_SLOW = """
seed = 1

[[rules]]
path = "/orders/1"
latency = { fixed = "100ms" }
shares = { ok = 1 }

[[rules]]
latency = { fixed = "1s" }
shares = { ok = 1 }
"""


async def test_slot_that_ends_its_last_job_does_not_bring_the_worker_back(place: Place, crm: Crm) -> None:
    """It was handed jobs as long as it had others in hand, and gave them up with these."""
    catalog, free = place.catalog(), Keys(place.prefix).free("crm")
    crm.put(QUICK_AND_SLOW)
    async with (
        hand_off(catalog) as side,
        Redis.from_url(place.redis_url) as redis,
        workers(catalog, catalog.lanes, grace=0) as (worker,),
    ):
        asked, deadline = await begin(side, 1, 2)
        await when(lambda: sum(crm.stats.calls.values()) == 2)
        leaving = asyncio.create_task(worker.drain(10))
        await side.wait(asked[:1], deadline)
        await worker.lane.link.execute("PING")  # what finished the job has run
        assert await redis.zrange(free, 0, -1) == []
        (late,), _ = await begin(side, 3)
        assert late.state is State.UNATTENDED
        assert await leaving == 0
        await side.wait(asked, deadline)
    assert [one.answer is not None and one.answer.code for one in asked] == [Code.OK, Code.OK]


async def test_job_that_is_on_its_way_to_a_worker_that_leaves_is_done(place: Place) -> None:
    """It was handed over before the worker left, and comes after."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, workers(catalog, catalog.lanes, grace=0) as (worker,):
        receive, held = worker._handed._receive, asyncio.Queue[bytes]()
        worker._handed._receive = held.put_nowait
        asked, deadline = await begin(side, 1)
        leaving = asyncio.create_task(worker.drain(10))
        await asyncio.sleep(0.1)  # the job is on its way for longer than it takes to leave
        for _ in range(2):
            receive(await held.get())
        assert await leaving == 0
        await side.wait(asked, min(deadline, asyncio.get_running_loop().time() + 2))
    assert asked[0].answer is not None


async def test_worker_that_could_not_leave_does_so_when_redis_is_back(place: Place, crm: Crm) -> None:
    """Else it is handed jobs for as long as it has one in hand."""
    catalog, free = place.catalog(), Keys(place.prefix).free("crm")
    crm.put(QUICK_AND_SLOW)
    async with (
        hand_off(catalog) as side,
        Redis.from_url(place.redis_url) as redis,
        workers(catalog, catalog.lanes, grace=0) as (worker,),
    ):
        asked, deadline = await begin(side, 2)
        await when(lambda: sum(crm.stats.calls.values()) == 1)
        number = await worker.lane.link.execute("CLIENT", "ID")
        await redis.client_kill_filter(_id=number)
        await when(lambda: worker.lane.link.lost)
        leaving = asyncio.create_task(worker.drain(10))
        await when(lambda: not worker.lane.link.lost)
        while await redis.zrange(free, 0, -1):
            assert not leaving.done(), "it has not left while it had a job"
            await asyncio.sleep(0.01)
        assert await leaving == 0
        await side.wait(asked, deadline)
    assert asked[0].answer is not None
