"""The hand-over: a job goes straight to a worker, the sorted set is the truth, nothing runs twice at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.core.messages import Answer, Job
from gateway.core.records import Record, record_name
from gateway.crm.server import Crm
from gateway.declared.catalog import Catalog
from gateway.queue.finish import handed
from gateway.queue.hand_off import Asked, HandOff
from gateway.queue.jobs import LANE_LIMIT, State, Taken, Wanted, server_ms
from gateway.records.memory import RecordMemory
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink
from tests.desk import VERSION, Place, when
from workers import push
from workers.main import open_lane, workers

FAR = 60.0


def wanted(number: int, trace: str = "t") -> Wanted:
    """Return a lookup of order ``number``, never fresh."""
    inputs = {"orderId": str(number)}
    name = record_name(1400000001, "s1", "order", "v", inputs)
    return Wanted(
        Job("order", inputs, 1400000001, "s1", name, f"{trace}{number}", version=VERSION), "crm", 0.0, 1.0
    )


@asynccontextmanager
async def hand_off(catalog: Catalog) -> AsyncIterator[HandOff]:
    """A gateway's side of the queue."""
    settings = catalog.settings.redis
    link = RedisLink(settings.url, 2.0)
    side = HandOff(link, Keys(settings.prefix), RecordMemory(1000))
    await link.start()
    await side.replies.start(patience=2.0)
    try:
        yield side
    finally:
        await side.replies.close()
        await link.close()


async def begin(
    side: HandOff, *numbers: int, trace: str = "t", left: float = FAR
) -> tuple[list[Asked], float]:
    """Begin lookups. Their deadline is far away by default."""
    deadline = asyncio.get_running_loop().time() + left
    return await side.begin([wanted(n, trace) for n in numbers], deadline), deadline


@asynccontextmanager
async def stranger(place: Place, slots: int = 1, name: str = "stranger") -> AsyncIterator[PubSub]:
    """A worker that says that it has slots free, and listens, but runs nothing."""
    channel = Keys(place.prefix).jobs(name)
    async with Redis.from_url(place.redis_url) as redis, redis.pubsub() as pubsub:
        await pubsub.subscribe(channel)
        await pubsub.get_message(timeout=5.0)
        await redis.zadd(Keys(place.prefix).free("crm"), {channel: slots})
        yield pubsub


async def test_job_of_a_worker_that_is_gone_costs_no_more_than_a_sweep(place: Place) -> None:
    """A job whose worker died must reach another worker before the callback is given up."""
    catalog = place.catalog()
    async with hand_off(catalog) as side:
        async with stranger(place) as pubsub:
            asked, deadline = await begin(side, 1)
            message = await pubsub.get_message(timeout=5.0)
            assert message is not None, "the stranger was handed nothing"
        async with workers(catalog, catalog.lanes, grace=1):
            await side.wait(asked, deadline)
        assert asked[0].answer is not None
        assert asked[0].answer.code == Code.OK


async def test_worker_that_is_gone_is_handed_nothing(place: Place) -> None:
    """It still stands in the set with slots free; nobody listens, so the job goes to one that does."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, Redis.from_url(place.redis_url) as redis:
        async with stranger(place, slots=1000):
            pass
        async with workers(catalog, catalog.lanes, grace=1) as running:
            asked, deadline = await begin(side, 1)
            await side.wait(asked, deadline)
            known = await redis.zrange(Keys(place.prefix).free("crm"), 0, -1)
            assert known == [running[0].lane.channel.encode()]
        assert asked[0].answer is not None


async def test_jobs_of_a_worker_that_is_struck_off_are_asked_for_at_once(place: Place) -> None:
    """Its callbacks wait: the worker that comes next is told to sweep, before it sweeps by itself."""
    catalog = place.catalog()
    async with hand_off(catalog) as side:
        async with stranger(place, slots=1000) as gone:
            await begin(side, 1)
            assert await gone.get_message(timeout=5.0)
        async with stranger(place, name="next") as following:
            await begin(side, 2)
            messages = [await following.get_message(timeout=5.0) for _ in range(2)]
    told = [[one.job_id.split(":")[1] for one in handed(message["data"])] for message in messages if message]
    assert told == [[], ["t2"]]


async def test_callback_that_joins_a_dead_workers_job_brings_it_to_another(place: Place) -> None:
    """A callback whose worker was killed need not wait for a sweep."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, hand_off(catalog) as other:
        async with stranger(place, slots=1000) as pubsub:
            asked, deadline = await begin(side, 1)
            assert await pubsub.get_message(timeout=5.0)
            async with workers(catalog, catalog.lanes, grace=1) as running:
                await pubsub.aclose()  # type: ignore[no-untyped-call] # redis-py 5 has no types here
                running[0]._draining = True  # it must not sweep the job up before it is joined
                joined, deadline = await begin(other, 1)
                assert joined[0].state is State.JOINED
                await other.wait(joined, deadline)
                await side.wait(asked, deadline)
        assert joined[0].answer == asked[0].answer
        assert joined[0].answer is not None


@pytest.mark.parametrize("lost", ["worker", "job"])
async def test_job_that_came_to_nothing_is_begun_again_at_half_time(place: Place, lost: str) -> None:
    """Its worker was killed, or Redis has lost it; there is time left, and another worker."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, Redis.from_url(place.redis_url) as redis:
        async with stranger(place, slots=1000) as pubsub, workers(catalog, catalog.lanes, grace=1) as running:
            asked, deadline = await begin(side, 1, left=5.0)
            assert await pubsub.get_message(timeout=5.0)
            running[0]._draining = True  # it must not sweep the job up
            if lost == "worker":
                await pubsub.aclose()  # type: ignore[no-untyped-call] # redis-py 5 has no types here
            else:
                assert asked[0].job is not None
                await redis.delete(f"arq:job:{asked[0].job.job_id}", Keys(place.prefix).free("crm"))
                await running[0].lane.queue.sweep(slots=20, running=0)
            await side.wait(asked, deadline)
            left = deadline - asyncio.get_running_loop().time()
        assert asked[0].answer is not None
        assert asked[0].answer.code == Code.OK
        assert left > side.link.timeout / 2  # it was not the second look that has found it


async def test_job_that_was_done_is_not_begun_again_at_half_time(place: Place, crm: Crm) -> None:
    """Its push is lost, or the machine stood still; the record is there, and its backend was asked enough."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, workers(catalog, catalog.lanes, grace=1):
        side.link.timeout = 1.0  # the second look has to come last
        await side.replies.close()
        asked, deadline = await begin(side, 1, left=5.0)
        await side.wait(asked, deadline)
        left = deadline - asyncio.get_running_loop().time()
    assert asked[0].answer is not None
    assert asked[0].answer.variables["order_id"] == "1"
    assert left > side.link.timeout
    assert sum(crm.stats.calls.values()) == 1


async def test_record_from_before_the_question_is_no_answer_at_half_time(place: Place, crm: Crm) -> None:
    """The lookup asks every time. Its worker has died, and a record that is a moment older is no answer."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, Redis.from_url(place.redis_url) as redis:
        side.link.timeout = 1.0
        want = wanted(1)._replace(fresh=0.0)
        async with stranger(place, slots=1000) as pubsub, workers(catalog, catalog.lanes, grace=1) as running:
            old = await now(
                redis, msgspec.msgpack.encode(Record(0.0, {"order_id": "old", "order_total": ""}))
            )
            await redis.set(Keys(place.prefix).record(want.job.record), old)
            deadline = asyncio.get_running_loop().time() + 5.0
            asked = await side.begin([want], deadline)
            assert await pubsub.get_message(timeout=5.0)
            running[0]._draining = True  # it must not sweep the job up
            await pubsub.aclose()  # type: ignore[no-untyped-call] # redis-py 5 has no types here
            await side.wait(asked, deadline)
    assert asked[0].answer is not None
    assert asked[0].answer.variables["order_id"] == "1"
    assert sum(crm.stats.calls.values()) == 1


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


async def test_job_that_was_lost_on_its_way_is_handed_over_when_the_worker_listens_again(
    place: Place, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis had not noticed yet that the subscription was cut: the claim says that the worker has the job."""
    monkeypatch.setattr(push, "SWEEP_EVERY", FAR)  # the first sweep has to find it
    catalog = place.catalog()
    async with hand_off(catalog) as side, workers(catalog, catalog.lanes, grace=1) as (worker,):
        await worker._handed.close()
        async with Redis.from_url(place.redis_url) as redis, redis.pubsub() as pubsub:
            await pubsub.subscribe(worker.lane.channel)
            await pubsub.get_message(timeout=5.0)
            asked, deadline = await begin(side, 1)
            assert await pubsub.get_message(timeout=5.0), "the job was not on its way to the worker"
        await worker._handed.start(patience=5.0)
        await side.wait(asked, deadline)
        left = deadline - asyncio.get_running_loop().time()
    assert asked[0].answer is not None
    assert asked[0].answer.code == Code.OK
    assert left > FAR / 2  # it was not begun again at half time
    assert set(crm.stats.calls.values()) == {1}


async def test_worker_that_does_not_listen_takes_nothing(place: Place) -> None:
    """It would be taken for dead over its job, and another worker would ask the backend a second time."""
    catalog = place.catalog()
    async with (
        hand_off(catalog) as side,
        Redis.from_url(place.redis_url) as redis,
        workers(catalog, catalog.lanes, grace=1) as (worker,),
    ):
        await worker._handed.close()
        asked, _ = await begin(side, 1)
        worker._due.set()
        for _ in range(5):  # turns of the loop, in which it would send a sweep
            await asyncio.sleep(0)
        await worker.lane.link.execute("PING")  # the sweep would be done before this
        assert asked[0].job is not None
        assert not await redis.exists(f"arq:in-progress:{asked[0].job.job_id}")


async def test_worker_that_listens_again_takes_at_once_what_has_come_meanwhile(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short break must not cost a callback the time to the next sweep."""
    monkeypatch.setattr(push, "SWEEP_EVERY", FAR)
    catalog = place.catalog()
    async with hand_off(catalog) as side, workers(catalog, catalog.lanes, grace=1) as (worker,):
        await worker._handed.close()
        asked, deadline = await begin(side, 1)
        await worker._handed.start(patience=5.0)
        await side.wait(asked, deadline)
    assert asked[0].answer is not None


async def test_job_whose_taking_was_never_heard_of_is_taken_again(place: Place, crm: Crm) -> None:
    """Redis gave it to the worker, and the connection broke before the worker had read that."""
    catalog = place.catalog()
    async with (
        hand_off(catalog) as side,
        Redis.from_url(place.redis_url) as redis,
        workers(catalog, catalog.lanes, grace=1) as (worker,),
    ):
        client = await worker.lane.link.execute("CLIENT", "ID")
        await redis.zadd(Keys(place.prefix).free("crm"), {worker.lane.channel: 0})
        asked, deadline = await begin(side, 1)
        assert await worker.lane.queue.sweep(worker.max_jobs, running=0)
        await redis.client_kill_filter(_id=client)
        await side.wait(asked, deadline)
        left = deadline - asyncio.get_running_loop().time()
    assert asked[0].answer is not None
    assert left > FAR / 2
    assert set(crm.stats.calls.values()) == {1}


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
        lane = open_lane(catalog, "crm", side.link)
        dead = server_ms(await redis.time()) + 20.0  # the deadline is 1 ms away, and known in steps of 10
        while server_ms(await redis.time()) < dead:
            pass
        taken = await lane.queue.sweep(slots=3, running=0)
        await lane.backend.close()
    assert [one.job_id.split(":")[1] for one in taken] == ["t3", "t2", "t1"]


async def now(redis: Redis, record: bytes) -> bytes:
    """Return a record as if it had been written now."""
    seconds, microseconds = await redis.time()
    written = msgspec.msgpack.encode(seconds * 1000 + microseconds / 1000)
    return record[:1] + written + record[10:]


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


async def test_job_that_is_joined_stays_with_its_worker(place: Place) -> None:
    """It runs: back among those that wait, other workers would stumble over it."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, hand_off(catalog) as other, stranger(place):
        (asked,), _ = await begin(side, 1)
        (joined,), _ = await begin(other, 1)
        assert joined.state is State.JOINED
        assert asked.job is not None
        claimed = await side.link.execute("ZSCORE", Keys(place.prefix).lane("crm"), asked.job.job_id)
    assert float(claimed) > 1e12  # lane.lua: the band of claims


async def test_answer_to_a_job_of_another_user_is_not_remembered_for_this_one(place: Place) -> None:
    """Two users in one session: the job that was joined was begun with the other one's name."""
    catalog = place.catalog()

    def by(user: str) -> Wanted:
        want = wanted(1, trace=user)
        return want._replace(job=msgspec.structs.replace(want.job, user=user, user_record=f"of-{user}"))

    async with hand_off(catalog) as side, hand_off(catalog) as other:
        deadline = asyncio.get_running_loop().time() + FAR
        begun = await side.begin([by("ann")], deadline)
        joined = await other.begin([by("bob")], deadline)
        assert joined[0].state is State.JOINED
        async with workers(catalog, catalog.lanes, grace=1):
            await side.wait(begun, deadline)
            await other.wait(joined, deadline)
    assert joined[0].answer is not None
    assert side._memory.get("of-ann") is not None
    assert other._memory.get("of-bob") is None


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
        lane = open_lane(catalog, "crm", side.link)
        swept = await lane.queue.sweep(slots=1, running=0)
        await lane.backend.close()
        assert await redis.get(claim) == b"1"
    assert (joined.state, handed_over, swept) == (State.JOINED, None, [])


async def begin_and_join(side: HandOff, other: HandOff) -> tuple[list[Asked], float]:
    """Let one side begin a lookup and the other one join it; return that one's lookup, and its deadline."""
    await begin(side, 1)
    joined, deadline = await begin(other, 1, trace="u")
    assert joined[0].state is State.JOINED
    return joined, deadline


async def fail_next(side: HandOff, catalog: Catalog, code: Code) -> None:
    """Take the job that waits, as a worker does, and finish it with a failure."""
    lane = open_lane(catalog, "crm", side.link)
    (taken,) = await lane.queue.sweep(slots=1, running=0)
    failure = Answer(taken.job_id, code, "it failed")
    await lane.queue.finish(taken, failure, asyncio.get_running_loop().time(), 60.0, wants=False)
    await lane.backend.close()


async def test_failed_job_that_was_joined_is_not_waited_for_anew_without_workers(place: Place) -> None:
    """Its worker has gone meanwhile: the callback is answered now, not at its deadline."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, hand_off(catalog) as other:
        joined, deadline = await begin_and_join(side, other)
        await fail_next(side, catalog, Code.TIMEOUT)
        await other.wait(joined, deadline)
    assert (joined[0].state, joined[0].answer) == (State.UNATTENDED, None)


@pytest.mark.parametrize(
    ("failure", "heard"),
    [(Code.TIMEOUT, Code.OK), (Code.BACKEND_REJECTED, Code.BACKEND_REJECTED)],
    ids=["in too little time", "for good"],
)
async def test_failed_job_that_was_joined_is_begun_anew_if_more_time_may_help(
    place: Place, failure: Code, heard: Code
) -> None:
    """It had the time of the callback that began it; the one that joined it may have more."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, hand_off(catalog) as other:
        joined, deadline = await begin_and_join(side, other)
        await fail_next(side, catalog, failure)
        async with workers(catalog, catalog.lanes, grace=1):
            await other.wait(joined, deadline)
    assert joined[0].answer is not None
    assert joined[0].answer.code == heard


async def test_fresh_record_that_cannot_be_read_is_asked_for_anew(place: Place) -> None:
    """Its head is enough for the script to serve it, but there is nothing in it to be served."""
    async with hand_off(place.catalog()) as side, Redis.from_url(place.redis_url) as redis:
        want = wanted(1)._replace(fresh=FAR, revalidate=FAR)
        written = await now(redis, msgspec.msgpack.encode(Record(0.0, {})))
        await redis.set(Keys(place.prefix).record(want.job.record), written[:10] + b"\xc1")
        (asked,) = await side.begin([want], asyncio.get_running_loop().time() + FAR)
    assert (asked.state, asked.known) == (State.UNATTENDED, None)


async def test_answer_to_a_callback_that_could_not_wait_is_late(place: Place) -> None:
    """There was no worker, and the callback has been answered; the log tells that it came after all."""
    catalog = place.catalog()
    async with hand_off(catalog) as side:
        (asked,), _ = await begin(side, 1)
        assert asked.job is not None
        with capture_logs() as lines:
            async with workers(catalog, catalog.lanes, grace=1):
                await asked.job.future
    assert [line["job"] for line in lines if line["event"] == "answer.late"] == [asked.job.job_id]


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
        lane, pace = open_lane(catalog, "crm", side.link), Keys(place.prefix).pace("crm")
        lane.queue.note_run(0.5)
        await lane.queue.sweep(slots=2, running=0)
        assert await side.link.execute("HGET", pace, lane.channel) == b"501 4.0"
        await side.link.execute("DEL", pace)
        await lane.queue.sweep(slots=2, running=0)
        assert not await side.link.execute("EXISTS", pace)
        await lane.backend.close()


async def test_job_that_is_finished_twice_leaves_no_record_of_who_was_forgotten(place: Place) -> None:
    """Its worker tries again when Redis was lost before it had answered."""
    catalog, keys = place.catalog(), Keys(place.prefix)
    async with hand_off(catalog) as side:
        await begin(side, 1)
        lane = open_lane(catalog, "crm", side.link)
        (taken,) = await lane.queue.sweep(slots=1, running=0)
        await side.link.execute("SADD", keys.waiters(taken.job_id), "")  # as forget.lua marks it
        answer, at = Answer(taken.job_id, Code.OK, "", {"order_id": "1"}), asyncio.get_running_loop().time()
        for _ in range(2):
            await lane.queue.finish(taken, answer, at, 60.0, wants=False)
            assert not await side.link.execute("EXISTS", keys.record(wanted(1).job.record))
        await lane.backend.close()


async def test_every_key_of_a_job_that_is_never_finished_lapses(place: Place) -> None:
    """Gateways and workers may all be killed at any moment: Redis must not fill up with their jobs."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, hand_off(catalog) as other:
        deadline = asyncio.get_running_loop().time() + FAR
        for one in (side, other):
            await one.begin([wanted(1)._replace(indexed=FAR)], deadline)
        lane = open_lane(catalog, "crm", side.link)
        lane.queue.note_run(0.5)
        assert await lane.queue.sweep(slots=2, running=0)
        assert await lane.queue.sweep(2, 0, has=[])
        await lane.backend.close()
        keys = await side.link.execute("KEYS", f"*{place.prefix}:*")
        lasting = [key for key in keys if await side.link.execute("PTTL", key) <= 0]
    assert len(keys) == 9  # job, claim, tries, flight, waiters, index of the session, lane, free, pace
    assert lasting == [Keys(place.prefix).lane("crm").encode()]


async def test_record_from_the_future_is_not_fresh_for_ever(place: Place) -> None:
    """After a failover the clock may be behind the one by which it was written: it is as old as now."""
    async with hand_off(place.catalog()) as side:
        record = msgspec.msgpack.encode(Record(9e12, {"order_id": "1"}))
        await side.link.execute("SET", Keys(place.prefix).record(wanted(1).job.record), record)
        (asked,), _ = await begin(side, 1)
    assert asked.state is State.UNATTENDED
    assert asked.known is not None


@pytest.mark.parametrize(("deaths", "code"), [(2, Code.OK), (3, Code.LOOKUP_FAILED)])
async def test_job_over_which_three_workers_died_is_given_up(
    place: Place, crm: Crm, deaths: int, code: Code
) -> None:
    """It may be the job that kills them; its callback is told, and no further worker is put at risk."""
    catalog = place.catalog()
    async with hand_off(catalog) as side:
        asked, deadline = await begin(side, 1)
        assert asked[0].job is not None
        await side.link.execute("SET", f"arq:retry:{asked[0].job.job_id}", deaths)
        with capture_logs() as lines:
            async with workers(catalog, catalog.lanes, grace=1):
                await side.wait(asked, deadline)
    assert asked[0].answer is not None
    assert asked[0].answer.code == code
    given_up = code != Code.OK
    assert crm.stats.report()["total"] == (not given_up)
    assert [line["event"] for line in lines].count("job.dropped") == given_up


async def test_answer_is_as_old_as_its_backend_gave_it(place: Place) -> None:
    """It may have waited for Redis; neither memory nor Redis may take it for younger."""
    catalog = place.catalog()
    clock = asyncio.get_running_loop().time
    async with hand_off(catalog) as side:
        asked, deadline = await begin(side, 1)
        lane = open_lane(catalog, "crm", side.link)
        (taken,) = await lane.queue.sweep(slots=1, running=0)
        answer = Answer(taken.job_id, Code.OK, "", {"order_id": "1"})
        await lane.queue.finish(taken, answer, clock() - 30.0, 60.0, wants=False)
        await side.wait(asked, deadline)
        await lane.backend.close()
        remembered = side._memory.get(wanted(1).job.record)
        (again,), _ = await begin(side, 1)
    for known in (remembered, again.known):
        assert known is not None
        assert 30.0 <= known.age(clock()) < 60.0


async def test_every_job_runs_once_with_several_workers_and_leaves_no_key(place: Place, crm: Crm) -> None:
    """A thousand jobs through two workers: each answered, each asked once, nothing left in Redis."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, Redis.from_url(place.redis_url) as redis:
        async with workers(catalog, catalog.lanes, grace=1), workers(catalog, catalog.lanes, grace=1):
            with capture_logs():
                for batch in range(0, 1000, 100):
                    asked, deadline = await begin(side, *range(batch, batch + 100))
                    await side.wait(asked, deadline)
                    answers = [one.answer for one in asked]
                    assert all(answer is not None and answer.code == Code.OK for answer in answers)
                    assert [a.variables["order_id"] for a in answers if a] == [
                        str(n) for n in range(batch, batch + 100)
                    ]
        left = {key.decode().split(":")[1] async for key in redis.scan_iter(f"{place.prefix}:*")}
        on_lane = [key async for key in redis.scan_iter(f"{place.prefix}:lane:*")]
        arq_keys = [key async for key in redis.scan_iter(f"arq:*{place.prefix}*")]
    assert set(crm.stats.calls.values()) == {1}
    assert left <= {"record", "flight", "pace", "lane"}  # all but the records lapse within seconds
    assert all(key.endswith(b":health-check") for key in on_lane)
    assert arq_keys == []


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
        lane = open_lane(catalog, "crm", side.link)
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
        lane = open_lane(catalog, "crm", side.link)
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
        lane = open_lane(catalog, "crm", side.link)
        assert await lane.queue.sweep(slots=1, running=0) == []
        await lane.backend.close()
        assert await redis.exists(name, f"arq:retry:{job_id}") == 0


async def test_worker_among_too_many_claims_takes_no_more_than_redis_says(place: Place) -> None:
    """Some of the claims that were not looked at may be its own: its slots must not count as free."""
    catalog = place.catalog()
    keys = Keys(place.prefix)
    async with hand_off(catalog) as side, Redis.from_url(place.redis_url) as redis:
        await begin(side, 1, 2)
        lane = open_lane(catalog, "crm", side.link)
        seconds, _ = await redis.time()
        await redis.zadd(keys.lane("crm"), {f"job-{n}": (seconds + FAR) * 1000 for n in range(1000)})
        await redis.zadd(keys.free("crm"), {lane.channel: 1})
        taken = await lane.queue.sweep(slots=3, running=0)
        free = await redis.zscore(keys.free("crm"), lane.channel)
        await lane.backend.close()
    assert (len(taken), free) == (1, 0)


async def test_push_that_overtakes_its_question_is_heard(place: Place) -> None:
    """The push and the reply to the begin come over two connections, in either order."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, workers(catalog, catalog.lanes, grace=1):
        asked, deadline = await begin(side, 1)
        await side.wait(asked, deadline)
        answer = asked[0].answer
        assert answer is not None
        side.replies.resolve(answer)  # as if it had come before anyone expected it
        asked_late = side.replies.expect(answer.job_id, wanted(1).job, FAR, 0.0, ours=True)
        assert asked_late.future.result() == answer


async def test_lost_push_is_made_good_by_a_second_look(place: Place) -> None:
    """A subscription that is down at the wrong moment costs time, not the answer."""
    catalog = place.catalog()
    async with hand_off(catalog) as side:
        await side.replies.close()
        asked, _ = await begin(side, 1)
        deadline = asyncio.get_running_loop().time() + side.link.timeout + 0.5
        async with workers(catalog, catalog.lanes, grace=1):
            await side.wait(asked, deadline)
    assert asked[0].answer is not None
    assert asked[0].answer.variables["order_id"] == "1"
