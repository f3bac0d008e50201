"""Lanes: which job is next, how many may wait, and the sweeps that put right what was missed."""

import asyncio

import msgspec
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.core.records import Record
from gateway.crm.server import Crm
from gateway.queue.jobs import LANE_LIMIT, State, server_ms
from gateway.resilience.board import Board
from gateway.wire.keys import Keys
from tests.desk import Place, when
from tests.integration.queueing import FAR, begin, hand_off, now, stranger, wanted
from workers import push
from workers.main import open_lane, workers


async def test_job_that_followed_another_in_its_slot_is_not_put_back(place: Place, crm: Crm) -> None:
    """A worker whose connection was made anew says which jobs it has; one left out would be run twice."""
    crm.put('seed = 1\n[[rules]]\nlatency = { fixed = "200ms" }\nshares = { ok = 1 }\n')
    catalog = place.catalog({"backends.crm.concurrency": 1})
    async with hand_off(catalog) as side, workers(catalog, catalog.lanes, grace=1) as (worker,):
        asked, deadline = await begin(side, 1, 2)
        await when(lambda: crm.stats.report()["total"] == 2)
        worker._listening()
        await side.wait(asked, deadline)
    assert set(crm.stats.calls.values()) == {1}


async def test_waited_for_jobs_run_before_refreshes_and_those_before_dead_ones(place: Place) -> None:
    """Under overload, work that nobody can use any more must not delay what somebody waits for."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, Redis.from_url(place.redis_url) as redis:
        async with stranger(place, slots=0):
            await begin(side, 1, left=0.001)
            refresh = wanted(2)._replace(fresh=0.0, revalidate=FAR)
            record = msgspec.msgpack.encode(Record(0.0, {}))
            await redis.set(Keys(place.prefix).record(refresh.job.record), await now(redis, record))
            (stale,) = await side.begin([refresh], asyncio.get_running_loop().time() + FAR)
            assert stale.state is State.REVALIDATING
            await begin(side, 3)
        lane = open_lane(catalog, "crm", side.link, Board())
        dead = server_ms(await redis.time()) + 20.0  # the deadline is 1 ms away, and known in steps of 10
        while server_ms(await redis.time()) < dead:
            pass
        taken = await lane.queue.sweep(slots=3, running=0)
        await lane.backend.close()
    assert [one.job_id.split(":")[1] for one in taken] == ["t3", "t2", "t1"]


@pytest.mark.parametrize(
    ("pace", "state"),
    [("500 100.0", State.SHED), ("5 2.0", State.SHED), ("5 100.0", State.BEGUN)],
    ids=["a job takes too long", "its turn comes too late", "there is time"],
)
async def test_lookup_is_shed_when_its_job_cannot_be_done_in_time(
    place: Place, pace: str, state: State
) -> None:
    """The workers are busy: by their pace it is known now. The job becomes a refresh."""
    async with hand_off(place.catalog()) as side, stranger(place, slots=0):
        await side.link.execute("HSET", Keys(place.prefix).pace("crm"), "stranger", pace)
        (asked,), _ = await begin(side, 1, left=0.3)
        assert asked.job is not None
        score = await side.link.execute("ZSCORE", Keys(place.prefix).lane("crm"), asked.job.job_id)
    assert asked.state is state
    assert (float(score) > 5e11) == (state is State.SHED)  # lane.lua: the band of refreshes


async def test_worker_that_has_run_a_job_tells_its_pace(place: Place) -> None:
    """Without it no callback is ever shed, and under overload all of them wait in vain."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, workers(catalog, catalog.lanes, grace=1) as (worker,):
        asked, deadline = await begin(side, 1)
        await side.wait(asked, deadline)
        worker._due.set()
        while not await side.link.execute("HEXISTS", Keys(place.prefix).pace("crm"), worker.lane.channel):
            pass


async def test_worker_that_has_run_nothing_lately_tells_no_pace(place: Place) -> None:
    """Its backend may be quicker by now; callbacks must not be shed by the pace of this morning."""
    catalog = place.catalog()
    async with hand_off(catalog) as side:
        lane, pace = open_lane(catalog, "crm", side.link, Board()), Keys(place.prefix).pace("crm")
        lane.queue.note_run(0.5)
        await lane.queue.sweep(slots=2, running=0)
        assert await side.link.execute("HGET", pace, lane.channel) == b"501 4.0"
        await side.link.execute("DEL", pace)
        await lane.queue.sweep(slots=2, running=0)
        assert not await side.link.execute("EXISTS", pace)
        await lane.backend.close()


async def test_every_key_of_a_job_that_is_never_finished_lapses(place: Place) -> None:
    """Gateways and workers may all be killed at any moment: Redis must not fill up with their jobs."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, hand_off(catalog) as other:
        deadline = asyncio.get_running_loop().time() + FAR
        for one in (side, other):
            await one.begin([wanted(1)._replace(indexed=FAR)], deadline)
        lane = open_lane(catalog, "crm", side.link, Board())
        lane.queue.note_run(0.5)
        assert await lane.queue.sweep(slots=2, running=0)
        assert await lane.queue.sweep(2, 0, has=[])
        await lane.backend.close()
        keys = await side.link.execute("KEYS", f"*{place.prefix}:*")
        lasting = [key for key in keys if await side.link.execute("PTTL", key) <= 0]
    assert len(keys) == 9  # job, claim, tries, flight, waiters, index of the session, lane, free, pace
    assert lasting == [Keys(place.prefix).lane("crm").encode()]


COUNT_SLOTS = """
local handed = redis.call('ZCOUNT', KEYS[2], '1e12', '+inf')
return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')[2] + handed
"""


async def test_slots_are_either_free_or_taken_however_often_a_worker_sweeps(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While jobs come and go, the slots that a worker reports must never hide a free one from begin.lua."""
    monkeypatch.setattr(push, "SWEEP_EVERY", 0.0)
    catalog = place.catalog()
    keys = Keys(place.prefix)
    counted = []
    async with hand_off(catalog) as side, Redis.from_url(place.redis_url) as redis:
        async with workers(catalog, catalog.lanes, grace=1) as running:
            for batch in range(0, 600, 15):
                asked, deadline = await begin(side, *range(batch, batch + 15))
                waiting = asyncio.create_task(side.wait(asked, deadline))
                while not waiting.done():
                    counted.append(await redis.eval(COUNT_SLOTS, 2, keys.free("crm"), keys.lane("crm")))
                await waiting
        slots = running[0].max_jobs
    assert set(counted) == {slots}


async def test_full_lane_refuses_one_job_more(place: Place) -> None:
    """Without workers a lane must not grow for ever."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, Redis.from_url(place.redis_url) as redis:
        lane = Keys(place.prefix).lane("crm")
        seconds, _ = await redis.time()
        await redis.zadd(lane, {f"job-{n}": (seconds + 60) * 100 for n in range(LANE_LIMIT)})
        with capture_logs() as lines:
            (asked,), _ = await begin(side, 1)
            await begin(side, 2)
        assert (asked.state, asked.job) == (State.REFUSED, None)
        assert [(line["event"], line["depth"]) for line in lines] == [("lane.full", LANE_LIMIT)]
        await redis.zadd(lane, {f"job-{n}": (seconds - 3600) * 100 for n in range(LANE_LIMIT)})
        (asked,), _ = await begin(side, 1)
        assert asked.state is State.UNATTENDED
        assert await redis.zcard(lane) == 1


async def test_lapsed_refreshes_alone_make_room_on_a_full_lane(place: Place) -> None:
    """Without workers nobody else removes them; all else on the lane waits for the workers' return."""
    async with hand_off(place.catalog()) as side, Redis.from_url(place.redis_url) as redis:
        lane = Keys(place.prefix).lane("crm")
        seconds, _ = await redis.time()
        refreshes = 5e11  # lane.lua: their band begins here
        lapsed = refreshes + (seconds - 3600) * 100
        await redis.zadd(lane, {f"lapsed-{n}": lapsed for n in range(LANE_LIMIT)})
        await redis.zadd(lane, {"job": (seconds + 60) * 100, "refresh": refreshes + seconds * 100})
        (asked,), _ = await begin(side, 1)
        assert asked.state is State.UNATTENDED
        assert asked.job is not None
        left = await redis.zrange(lane, 0, -1)
        assert set(left) == {b"job", b"refresh", asked.job.job_id.encode()}


async def test_sweep_puts_back_what_was_lost_and_nothing_that_the_worker_has(place: Place) -> None:
    """Put back, a job that runs would be run by another worker, too."""
    catalog = place.catalog()
    async with hand_off(catalog) as side:
        await begin(side, 1)
        lane = open_lane(catalog, "crm", side.link, Board())
        (first,) = await lane.queue.sweep(slots=2, running=0)
        assert await lane.queue.sweep(2, 1, has=[first.job_id]) == []
        (again,) = await lane.queue.sweep(2, 0, has=[])
        await lane.backend.close()
    assert (first.job_id, first.job_try) == (again.job_id, again.job_try - 1)


async def test_job_that_redis_has_lost_is_taken_off_its_lane(place: Place) -> None:
    """Its place must not be found again at each sweep, and those behind it must be."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, Redis.from_url(place.redis_url) as redis:
        name = Keys(place.prefix).lane("crm")
        asked, _ = await begin(side, 1)
        assert asked[0].job is not None
        seconds, _ = await redis.time()
        await redis.zadd(name, {f"{place.prefix}:lost": (seconds + 1) * 100})
        lane = open_lane(catalog, "crm", side.link, Board())
        taken = await lane.queue.sweep(slots=1, running=0)
        await lane.backend.close()
        assert [one.job_id for one in taken] == [asked[0].job.job_id]
        assert await redis.zrange(name, 0, -1) == [asked[0].job.job_id.encode()]


async def test_claim_whose_job_is_gone_is_removed(place: Place) -> None:
    """Redis drops a job that nobody finishes; its claim must not stay on the lane for ever."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, Redis.from_url(place.redis_url) as redis:
        name, job_id = Keys(place.prefix).lane("crm"), f"{place.prefix}:gone"
        seconds, _ = await redis.time()
        await redis.zadd(name, {job_id: (seconds - 60) * 1000})
        await redis.set(f"arq:retry:{job_id}", 1)
        lane = open_lane(catalog, "crm", side.link, Board())
        assert await lane.queue.sweep(slots=1, running=0) == []
        await lane.backend.close()
        assert await redis.exists(name, f"arq:retry:{job_id}") == 0


async def test_worker_among_too_many_claims_takes_no_more_than_redis_says(place: Place) -> None:
    """Some of the claims that were not looked at may be its own: its slots must not count as free."""
    catalog = place.catalog()
    keys = Keys(place.prefix)
    async with hand_off(catalog) as side, Redis.from_url(place.redis_url) as redis:
        await begin(side, 1, 2)
        lane = open_lane(catalog, "crm", side.link, Board())
        seconds, _ = await redis.time()
        await redis.zadd(keys.lane("crm"), {f"job-{n}": (seconds + FAR) * 1000 for n in range(1000)})
        await redis.zadd(keys.free("crm"), {lane.channel: 1})
        taken = await lane.queue.sweep(slots=3, running=0)
        free = await redis.zscore(keys.free("crm"), lane.channel)
        await lane.backend.close()
    assert (len(taken), free) == (1, 0)
