"""Workers that die, or lose their connection: their jobs come to another one, and none is lost."""

import asyncio

import msgspec
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.core.records import Record
from gateway.crm.server import Crm
from gateway.queue.finish import handed
from gateway.queue.jobs import State
from gateway.wire.keys import Keys
from tests.desk import Place
from tests.integration.queueing import FAR, begin, hand_off, now, stranger, wanted
from workers import push
from workers.main import workers


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
    assert left - {"history", "histories", "series"} <= {
        "record",
        "flight",
        "pace",
        "lane",
    }  # all but the records lapse within seconds
    assert all(key.endswith(b":health-check") for key in on_lane)
    assert arq_keys == []
