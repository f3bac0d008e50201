"""The wake-up: tokens are hints, the sorted set is the truth, and nothing runs twice at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.core.catalog import Catalog
from gateway.core.errors import Code
from gateway.core.messages import Job
from gateway.core.records import record_name
from gateway.crm.server import Crm
from gateway.store.hand_off import Asked, HandOff
from gateway.store.keys import Keys
from gateway.store.link import RedisLink
from gateway.store.queue import LANE_LIMIT, State, Wanted
from gateway.store.sessions import Sessions
from tests.desk import Place
from workers.main import workers

FAR = 60.0


def wanted(number: int, trace: str = "t") -> Wanted:
    """Return a lookup of order ``number``, never fresh."""
    inputs = {"orderId": str(number)}
    name = record_name(1400000001, "s1", "order", "v", inputs)
    return Wanted(Job("order", inputs, 1400000001, "s1", name, f"{trace}{number}"), "crm", 0.0, 1.0)


@asynccontextmanager
async def hand_off(catalog: Catalog) -> AsyncIterator[HandOff]:
    """A gateway's side of the queue."""
    settings = catalog.settings.redis
    link = RedisLink(settings.url, 2.0)
    side = HandOff(link, Keys(settings.prefix), Sessions(1000))
    await link.start()
    await side.replies.start(patience=2.0)
    try:
        yield side
    finally:
        await side.replies.close()
        await link.close()


async def begin(side: HandOff, *numbers: int, trace: str = "t") -> tuple[list[Asked], float]:
    """Begin lookups with a far deadline."""
    deadline = asyncio.get_running_loop().time() + FAR
    return await side.begin([wanted(n, trace) for n in numbers], deadline), deadline


async def test_lost_token_costs_no_more_than_a_sweep(place: Place) -> None:
    """A worker that dies between token and claim must not lose the job."""
    catalog = place.catalog()
    keys = Keys(place.prefix)
    async with hand_off(catalog) as side, Redis.from_url(place.redis_url) as redis:
        asked, deadline = await begin(side, 1)
        assert await redis.delete(keys.ready("crm")) == 1
        async with workers(catalog, catalog.lanes, grace=1):
            await side.wait(asked, deadline)
        assert asked[0].answer is not None
        assert asked[0].answer.code == Code.OK


async def test_doubled_and_stale_tokens_run_nothing_twice(place: Place, crm: Crm) -> None:
    """Tokens for jobs that run, have run, or never were do nothing."""
    catalog = place.catalog()
    keys = Keys(place.prefix)
    async with hand_off(catalog) as side, Redis.from_url(place.redis_url) as redis:
        asked, deadline = await begin(side, *range(10))
        tokens = await redis.lrange(keys.ready("crm"), 0, -1)
        await redis.rpush(keys.ready("crm"), *tokens, *tokens, "never-was")
        async with workers(catalog, catalog.lanes, grace=1), workers(catalog, catalog.lanes, grace=1):
            await side.wait(asked, deadline)
            await redis.rpush(keys.ready("crm"), *tokens)
            again, deadline = await begin(side, 99)
            await side.wait(again, deadline)
    calls = crm.stats.calls
    assert set(calls.values()) == {1}
    assert len(calls) == 11


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
        left = Counter(
            [(await redis.type(key)).decode() async for key in redis.scan_iter(f"{place.prefix}:*")]
        )
        arq_keys = [key async for key in redis.scan_iter(f"arq:*{place.prefix}*")]
    assert set(crm.stats.calls.values()) == {1}
    assert left.keys() <= {"string"}  # the records, and arq's heartbeat
    assert arq_keys == []


async def test_full_lane_refuses_one_job_more(place: Place) -> None:
    """Without workers a lane must not grow for ever."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, Redis.from_url(place.redis_url) as redis:
        lane, ready = Keys(place.prefix).lane("crm"), Keys(place.prefix).ready("crm")
        seconds, _ = await redis.time()
        await redis.zadd(lane, {f"job-{n}": seconds for n in range(LANE_LIMIT)})
        await redis.rpush(ready, *(f"job-{n}" for n in range(LANE_LIMIT)))
        (asked,), _ = await begin(side, 1)
        assert (asked.state, asked.job) == (State.REFUSED, None)
        lapsed = {f"job-{n}": seconds - 3600 for n in range(LANE_LIMIT)}
        await redis.zadd(lane, lapsed)
        (asked,), _ = await begin(side, 1)
        assert asked.state is State.BEGUN
        assert (await redis.zcard(lane), await redis.llen(ready)) == (1, LANE_LIMIT)


async def test_push_that_overtakes_its_question_is_heard(place: Place) -> None:
    """The push and the reply to the begin come over two connections, in either order."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, workers(catalog, catalog.lanes, grace=1):
        asked, deadline = await begin(side, 1)
        await side.wait(asked, deadline)
        answer = asked[0].answer
        assert answer is not None
        side.replies.resolve(answer)  # as if it had come before anyone expected it
        asked_late = side.replies.expect(answer.job_id, "order", "record", FAR)
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
