"""Answers that reach Redis long after the backend gave them: nobody takes them for what they are not."""

import asyncio
import time
from urllib.parse import urlsplit

import msgspec
import pytest
from aiohttp import web
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.core.messages import Answer
from gateway.core.records import Record, session_name
from gateway.forgetting.forget import Forgetter
from gateway.front.app import gateway
from gateway.queue.finish import WorkerSide, handed
from gateway.queue.jobs import Taken, arq_keys
from gateway.records.memory import RecordMemory, decode_record
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink
from tests.asking import serving
from tests.between import Between
from tests.desk import APP, Desk, Place, when
from tests.integration.queueing import begin, hand_off, stranger, wanted
from tests.integration.test_forgetting import records, removed
from workers.main import workers


async def test_answer_from_before_the_question_is_not_told_as_a_live_one(place: Place, desk: Desk) -> None:
    """A worker refreshes a record, and cannot reach Redis for seconds. Redis does not know that yet.

    Meanwhile the order moves. A callback joins that job, for the record is too old by then.
    """
    asked: list[int] = []

    async def crm(_: web.BaseRequest) -> web.Response:
        asked.append(number := len(asked) + 1)
        if number == 2:
            between.carrying.clear()  # the way back from the worker
        return web.json_response({"id": f"answer {number}", "total": {"amount": 1}})

    between = Between(urlsplit(place.redis_url).path)
    async with between.serve(), serving(crm) as url:
        near = Place(place.redis_url, place.prefix, url)
        far = Place(f"redis://127.0.0.1:{between.port}", place.prefix, url)
        changes = {"lookups.order.stale_while_revalidate": "1500ms"}
        catalogs = [one.catalog(changes, fresh="500ms") for one in (near, far)]
        async with gateway(catalogs[0]) as running, workers(catalogs[1], ["crm"], grace=0):
            here = desk.at(running.callbacks)
            assert (await here.call(node="order", orderId="1")).variables["order_id"] == "answer 1"
            await asyncio.sleep(0.6)
            served = asyncio.create_task(here.call(node="order", orderId="1"))
            await when(lambda: len(asked) == 2)
            assert (await served).variables["order_id"] == "answer 1"
            await asyncio.sleep(3.0)
            with capture_logs() as lines:
                joined = asyncio.create_task(here.call(node="order", orderId="1"))
                await asyncio.sleep(0.3)
                between.carrying.set()
                heard = await joined
    (outcome,) = [line["lookups"]["order"] for line in lines if line["event"] == "callback.answered"]
    assert (outcome["source"], heard.variables["order_id"]) == ("live", "answer 3")


async def _taken(place: Place, *numbers: int, trace: str = "t") -> list[Taken]:
    """Return jobs, as a worker gets them that has not answered yet."""
    async with hand_off(place.catalog()) as side, stranger(place, slots=10) as pubsub:
        await begin(side, *numbers, trace=trace)
        message = await pubsub.get_message(timeout=5.0)
        assert message is not None
        return handed(message["data"])


def _worker(link: RedisLink, place: Place) -> WorkerSide:
    return WorkerSide(link, Keys(place.prefix), "crm", Keys(place.prefix).jobs("x"), 2.0)


async def test_younger_record_is_not_replaced_by_an_answer_that_waited(place: Place) -> None:
    """Redis was away for one worker, and another one has asked meanwhile."""
    link = RedisLink(place.redis_url, 5.0)
    await link.start()
    try:
        (first,) = await _taken(place, 1)
        async with Redis.from_url(place.redis_url) as redis:
            await redis.delete(Keys(place.prefix).flight(wanted(1).job.record))
            (second,) = await _taken(place, 1, trace="u")
            for taken, text, ago in ((second, "younger", 2.0), (first, "older", 5.0)):
                answer = Answer(taken.job_id, Code.OK, "", {"order_id": text})
                at = time.monotonic() - ago
                await _worker(link, place).finish(taken, answer, at, 60.0, wants=False)
            record = decode_record(await redis.get(Keys(place.prefix).record(wanted(1).job.record)))
    finally:
        await link.close()
    assert record is not None
    assert record.variables == {"order_id": "younger"}


@pytest.mark.parametrize("delayed", ["its reply is lost", "it is long on its way"])
async def test_answer_that_comes_after_its_session_was_forgotten_is_not_kept(
    delayed: str, place: Place
) -> None:
    """A worker gives it back, does not hear that this is done, and does so again when Redis is back."""
    link = RedisLink(place.redis_url, 5.0)
    await link.start()
    try:
        (taken,) = await _taken(place, 1)
        at, answer = time.monotonic(), Answer(taken.job_id, Code.OK, "", {"order_id": "1"})
        await _worker(link, place).finish(taken, answer, at, 60.0, wants=False)
        assert len(await records(place)) == 1
        assert await removed(place, session="s1") == 1
        late = delayed == "it is long on its way"
        if late:
            await asyncio.sleep(1.1)
        await _worker(link, place).finish(taken, answer, at, 60.0, wants=False, again=not late)
        assert await records(place) == []
    finally:
        await link.close()


async def test_answer_to_a_job_that_redis_did_not_know_when_its_session_was_forgotten_is_not_kept(
    place: Place,
) -> None:
    """A failover has lost the job with the session's index, and its worker answers at last."""
    link = RedisLink(place.redis_url, 5.0)
    await link.start()
    try:
        (taken,) = await _taken(place, 1)
        async with Redis.from_url(place.redis_url) as redis:
            keys = Keys(place.prefix)
            await redis.delete(*arq_keys(taken.job_id), keys.flight(wanted(1).job.record))
        assert await removed(place, session="s1") == 0
        answer = Answer(taken.job_id, Code.OK, "", {"order_id": "1"})
        await _worker(link, place).finish(taken, answer, time.monotonic(), 60.0, wants=False)
        assert await records(place) == []
    finally:
        await link.close()


async def test_answer_to_a_question_from_before_a_session_was_forgotten_is_not_remembered(
    place: Place,
) -> None:
    """Whatever the clocks say: that of the server which was told to forget was set back."""
    async with hand_off(place.catalog()) as side:
        want = wanted(1)._replace(mark=side._memory.erasures)
        (asked,) = await side.begin([want], time.monotonic() + 60.0)
        assert asked.job is not None
        side._memory.erase([session_name(APP, "s1")], asked.server_ms - 300_000.0)
        side.replies.resolve(Answer(asked.job.job_id, Code.OK, "", {"order_id": "1"}))
        assert asked.given is not None
        assert len(side._memory) == 0


async def test_answer_that_was_found_in_place_of_a_push_is_as_old_as_it_is(place: Place) -> None:
    """The process would hold it for fresh too long."""
    async with hand_off(place.catalog()) as side, Redis.from_url(place.redis_url) as redis:
        async with stranger(place, slots=10):
            side.link.timeout = 0.5
            asked, deadline = await begin(side, 1, left=2.5)
            waiting = asyncio.create_task(side.wait(asked, deadline))
            await asyncio.sleep(1.7)  # it has asked again at half time
            name, given = asked[0].want.job.record, asked[0].server_ms + 100.0
            data = msgspec.msgpack.encode(Record(given, {"order_id": "1"}))
            await redis.set(Keys(place.prefix).record(name), data)
            await waiting
        known = side._memory.get(name)
    assert asked[0].answer is not None
    assert known is not None
    assert known.age(time.monotonic()) > 1.5


async def test_no_job_of_a_session_writes_its_record_after_that_was_forgotten(place: Place) -> None:
    """The workers are away, and a second callback begins a second job; both are run when they are back."""
    keys = Keys(place.prefix)
    async with hand_off(place.catalog()) as side:
        loop = asyncio.get_running_loop()
        for trace in "tuv":
            want = wanted(1, trace)._replace(indexed=60.0, overrun=0.1)
            (asked,) = await side.begin([want], loop.time() + 0.1)
            assert asked.job is not None
            assert asked.job.ours, "the one before is joined no more"
            await asyncio.sleep(0.3)
        await Forgetter(side.link, keys, RecordMemory(10)).forget(session_name(APP, "s1"))
        worker = _worker(side.link, place)
        taken = await worker.sweep(10, 0)
        assert len(taken) == 3
        for one in taken:
            answer = Answer(one.job_id, Code.OK, "", {"order_id": "1"})
            await worker.finish(one, answer, time.monotonic(), 60.0, wants=False)
    assert await records(place) == []
