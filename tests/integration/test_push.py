"""The hand-over: a job goes straight to a worker, the sorted set is the truth, nothing runs twice at once."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.crm.server import Crm
from gateway.queue.jobs import State, Taken, server_ms
from gateway.resilience.board import Board
from gateway.wire.keys import Keys
from tests.desk import Place
from tests.integration.queueing import FAR, begin, hand_off, stranger
from workers.main import open_lane, workers


async def test_job_whose_id_is_no_text_is_no_worker_s_end(place: Place) -> None:
    """Nonsense written to a lane is one log line. All jobs are served."""
    catalog = place.catalog()
    keys = Keys(place.prefix)
    nonsense = b"\xff\xfe"
    async with hand_off(catalog) as side, Redis.from_url(place.redis_url) as redis:
        seconds, _ = await redis.time()
        await redis.set(b"arq:job:" + nonsense, b"nonsense", px=10_000)
        await redis.zadd(keys.lane("crm"), {nonsense: (seconds + FAR) * 100})
        with capture_logs() as lines:
            async with workers(catalog, catalog.lanes, grace=1):
                asked, deadline = await begin(side, 1)
                await side.wait(asked, deadline)
        await redis.delete(b"arq:in-progress:" + nonsense)  # it has no prefix that would be cleaned up
    assert asked[0].answer is not None
    assert [line["event"] for line in lines].count("job.unfinished") == 1


async def test_nonsense_on_a_channel_is_logged_and_costs_nobody_anything(place: Place) -> None:
    """Another release, or another program, may publish there; jobs and answers go on coming."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, workers(catalog, catalog.lanes, grace=1) as (worker,):
        with capture_logs() as lines:
            for channel in (side.replies.channel, worker.lane.channel):
                await side.link.execute("PUBLISH", channel, b"\xc1")
            asked, deadline = await begin(side, 1)
            await side.wait(asked, deadline)
    assert asked[0].answer is not None
    told = [line["event"] for line in lines if line["log_level"] != "info"]
    assert sorted(told) == ["answer.unreadable", "job.unreadable"]


async def test_job_handed_over_twice_runs_once(place: Place, crm: Crm) -> None:
    """A worker that is handed what it is at work on has been taken for dead for a moment."""
    catalog = place.catalog()
    crm.put('seed = 1\n[[rules]]\nlatency = { fixed = "100ms" }\nshares = { ok = 1 }\n')
    async with hand_off(catalog) as side, workers(catalog, catalog.lanes, grace=1) as running:
        async with Redis.from_url(place.redis_url) as redis, redis.pubsub() as pubsub:
            await pubsub.subscribe(running[0].lane.channel)
            await pubsub.get_message(timeout=5.0)
            asked, deadline = await begin(side, 1)
            message = await pubsub.get_message(timeout=5.0)
            assert message is not None
            await redis.publish(running[0].lane.channel, message["data"])
        await side.wait(asked, deadline)
        again, deadline = await begin(side, 2)
        await side.wait(again, deadline)
    assert set(crm.stats.calls.values()) == {1}


@pytest.mark.parametrize("first", ["push", "sweep"])
async def test_job_that_a_worker_is_handed_and_finds_runs_once(
    place: Place, crm: Crm, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """It sweeps for what was lost while a job is on its way, and gets it twice, in either order."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, workers(catalog, catalog.lanes, grace=1) as (worker,):
        receive, held = worker._handed._receive, asyncio.Queue[bytes]()
        sweep = worker.lane.queue.sweep

        async def sweep_and_receive(*args: Any) -> list[Taken]:  # noqa: ANN401 - the arguments of sweep
            taken = await sweep(*args)
            if first == "push":
                receive(message)
                await asyncio.wait(worker._slots._tasks)
            else:
                asyncio.get_running_loop().call_soon(receive, message)  # when what was taken has been begun
            return taken

        worker._handed._receive = held.put_nowait
        asked, deadline = await begin(side, 1)
        message = await held.get()
        monkeypatch.setattr(worker.lane.queue, "sweep", sweep_and_receive)
        worker._listening()
        await side.wait(asked, deadline)
        worker._handed._receive = receive
        again, deadline = await begin(side, 2)
        await side.wait(again, deadline)
    assert asked[0].answer is not None
    assert set(crm.stats.calls.values()) == {1}


async def test_job_of_a_stock_arq_worker_is_left_to_it(place: Place) -> None:
    """Such a worker listens to no channel, and is not dead for that: nobody else may run its job."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, Redis.from_url(place.redis_url) as redis:
        (asked,), _ = await begin(side, 1)
        assert asked.job is not None
        claim = f"arq:in-progress:{asked.job.job_id}"
        await redis.set(claim, "1", px=60_000)  # as arq's own worker writes it
        lapses = server_ms(await redis.time()) + 60_000
        await redis.zadd(Keys(place.prefix).lane("crm"), {asked.job.job_id: lapses})
        async with stranger(place) as pubsub:
            (joined,), _ = await begin(side, 1, trace="u")
            handed_over = await pubsub.get_message(timeout=0.0)
        lane = open_lane(catalog, "crm", side.link, Board())
        swept = await lane.queue.sweep(slots=1, running=0)
        await lane.backend.close()
        assert await redis.get(claim) == b"1"
    assert (joined.state, handed_over, swept) == (State.JOINED, None, [])
