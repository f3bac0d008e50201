"""A failover to a server whose clock is minutes off: no answer passes for younger than it is."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from redis.asyncio import Redis

from gateway.core.errors import Code
from gateway.core.messages import Answer
from gateway.core.records import Record
from gateway.forgetting.forget import Forgetter, forgotten_since
from gateway.queue.asked import Asked
from gateway.queue.finish import WorkerSide, handed
from gateway.queue.jobs import State, Taken, server_ms
from gateway.records.memory import RecordMemory, decode_record
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink
from tests.desk import Place
from tests.integration.queueing import begin, hand_off, stranger, wanted

pytestmark = pytest.mark.timeout(60)

APART_MS = 300_000.0
"""Ms between the clocks of the server before the failover and of the one after it."""

SLACK_MS = 5_000.0
"""Ms that a busy machine may be late with anything."""

NAME = wanted(1).job.record


@asynccontextmanager
async def worker(place: Place) -> AsyncIterator[WorkerSide]:
    """Give a worker's side of the lane."""
    link = RedisLink(place.redis_url, 5.0)
    await link.start()
    try:
        yield WorkerSide(link, Keys(place.prefix), "crm", Keys(place.prefix).jobs("x"), 2.0)
    finally:
        await link.close()


async def taken_before(place: Place, apart_ms: float) -> Taken:
    """Return job 1 as a worker has it that was handed it by a server whose clock was ``apart_ms`` ahead."""
    async with hand_off(place.catalog()) as side, stranger(place, slots=1) as pubsub:
        await begin(side, 1)
        message = await pubsub.get_message(timeout=5.0)
        assert message is not None
        (taken,) = handed(message["data"])
    return taken._replace(ahead_ms=taken.ahead_ms + apart_ms)


def answer_to(taken: Taken) -> Answer:
    """Return a good answer to a job."""
    return Answer(taken.job_id, Code.OK, "", {"order_id": "1"})


async def put_from_the_future(redis: Redis, place: Place) -> float:
    """Write a record that a clock has dated which was ahead; return the server's time."""
    now_ms = server_ms(await redis.time())
    await redis.set(
        Keys(place.prefix).record(NAME), msgspec.msgpack.encode(Record(now_ms + APART_MS, {"order_id": "?"}))
    )
    return now_ms


async def ask(place: Place) -> Asked:
    """Return how a lookup stands whose record may be a minute old, and half an hour more behind a refresh."""
    async with hand_off(place.catalog()) as side:
        want = wanted(1)._replace(fresh=60.0, revalidate=1800.0)
        (asked,) = await side.begin([want], time.monotonic() + 1.0)
    return asked


async def test_record_from_the_future_is_neither_fresh_nor_the_last_known_answer(place: Place) -> None:
    """It may be any age: it was dated by the clock of the server before."""
    async with Redis.from_url(place.redis_url) as redis:
        await put_from_the_future(redis, place)
    asked = await ask(place)
    assert (asked.state, asked.known) == (State.UNATTENDED, None)


async def test_record_from_the_future_is_not_the_answer_to_a_later_question(place: Place) -> None:
    """The last look at the records is for answers whose push was lost, not for older ones."""
    async with Redis.from_url(place.redis_url) as redis, hand_off(place.catalog()) as side, stranger(place):
        asked, deadline = await begin(side, 1, left=0.5)
        await put_from_the_future(redis, place)
        await side._look_again(asked, deadline)
    assert asked[0].answer is None


@pytest.mark.parametrize("apart_ms", [APART_MS, -APART_MS])
async def test_answer_to_a_job_from_before_is_no_younger_than_it_is(place: Place, apart_ms: float) -> None:
    """The worker reckons by the clock of the server before; the record stays with the one after."""
    taken = await taken_before(place, apart_ms)
    async with worker(place) as side, Redis.from_url(place.redis_url) as redis:
        await side.finish(taken, answer_to(taken), time.monotonic() - 20.0, 60.0, wants=False)
        record = decode_record(await redis.get(Keys(place.prefix).record(NAME)))
        now_ms = server_ms(await redis.time())
    assert record is not None
    assert record.written_ms <= now_ms - 20_000


async def test_record_from_the_future_is_replaced_by_an_answer_that_waited(place: Place) -> None:
    """It must not pass for the younger of the two."""
    taken = await taken_before(place, 0.0)
    async with worker(place) as side, Redis.from_url(place.redis_url) as redis:
        await put_from_the_future(redis, place)
        await side.finish(taken, answer_to(taken), time.monotonic() - 20.0, 60.0, wants=False)
        record = decode_record(await redis.get(Keys(place.prefix).record(NAME)))
    assert record is not None
    assert record.variables == {"order_id": "1"}


async def test_worker_without_an_idle_moment_learns_the_new_clock(place: Place) -> None:
    """Each slot gets its next job with the end of the one before, for hours."""
    taken = await taken_before(place, APART_MS)
    async with hand_off(place.catalog()) as side, worker(place) as busy:
        await begin(side, 2)
        following = await busy.finish(taken, answer_to(taken), time.monotonic(), 60.0, wants=True)
        now_ms = server_ms(await side.link.execute("TIME"))
    assert following is not None
    assert abs(following.ahead_ms + time.monotonic() * 1000 - now_ms) < SLACK_MS


async def test_message_to_forget_is_younger_than_those_before(place: Place) -> None:
    """A gateway that did not listen reads those that are younger than the last one that it knows."""
    keys = Keys(place.prefix)
    async with hand_off(place.catalog()) as side:
        before_ms = server_ms(await side.link.execute("TIME")) + APART_MS
        await side.link.execute("SET", keys.last_forgotten(), before_ms)
        await Forgetter(side.link, keys, RecordMemory(10)).forget("1:s1")
        assert await forgotten_since(side.link, keys, before_ms) == {"1:s1"}
