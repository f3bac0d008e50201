"""Jobs that several callbacks wait for, and answers that come late, twice, or by another way."""

import asyncio

import msgspec
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.core.messages import Answer
from gateway.core.records import Record
from gateway.declared.catalog import Catalog
from gateway.queue.asked import Asked
from gateway.queue.hand_off import HandOff
from gateway.queue.jobs import State, Wanted
from gateway.resilience.board import Board
from gateway.wire.keys import Keys
from tests.desk import Place
from tests.integration.queueing import FAR, begin, hand_off, now, stranger, wanted
from workers.main import open_lane, workers


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
        async with stranger(place, slots=0):
            begun = await side.begin([by("ann")], deadline)
            joined = await other.begin([by("bob")], deadline)
        assert joined[0].state is State.JOINED
        async with workers(catalog, catalog.lanes, grace=1):
            await side.wait(begun, deadline)
            await other.wait(joined, deadline)
    assert joined[0].answer is not None
    assert side._memory.get("of-ann") is not None
    assert other._memory.get("of-bob") is None


async def begin_and_join(place: Place, side: HandOff, other: HandOff) -> tuple[list[Asked], float]:
    """Let one side begin a lookup and the other one join it; return that one's lookup, and its deadline.

    There is a worker meanwhile, with no slot free.
    """
    async with stranger(place, slots=0):
        await begin(side, 1)
        joined, deadline = await begin(other, 1, trace="u")
    assert joined[0].state is State.JOINED
    return joined, deadline


async def fail_next(side: HandOff, catalog: Catalog, code: Code) -> None:
    """Take the job that waits, as a worker does, and finish it with a failure."""
    lane = open_lane(catalog, "crm", side.link, Board())
    (taken,) = await lane.queue.sweep(slots=1, running=0)
    failure = Answer(taken.job_id, code, "it failed")
    await lane.queue.finish(taken, failure, asyncio.get_running_loop().time(), 60.0, wants=False)
    await lane.backend.close()


async def test_failed_job_that_was_joined_is_not_waited_for_anew_without_workers(place: Place) -> None:
    """Its worker has gone meanwhile: the callback is answered now, not at its deadline."""
    catalog = place.catalog()
    async with hand_off(catalog) as side, hand_off(catalog) as other:
        joined, deadline = await begin_and_join(place, side, other)
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
        joined, deadline = await begin_and_join(place, side, other)
        await fail_next(side, catalog, failure)
        async with workers(catalog, catalog.lanes, grace=1):
            await other.wait(joined, deadline)
    assert joined[0].answer is not None
    assert joined[0].answer.code == heard


async def test_job_without_workers_is_not_waited_for_by_those_that_join_it(place: Place) -> None:
    """The first callback is told at once that there is nobody. So is each one that asks the same."""
    async with hand_off(place.catalog()) as side, hand_off(place.catalog()) as other:
        (first,), _ = await begin(side, 1)
        (second,), _ = await begin(other, 1, trace="u")
    assert (first.state, second.state) == (State.UNATTENDED, State.UNATTENDED)
    assert first.job is not None
    assert second.job is not None
    assert second.job.job_id == first.job.job_id


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


async def test_job_that_is_finished_twice_leaves_no_record_of_who_was_forgotten(place: Place) -> None:
    """Its worker tries again when Redis was lost before it had answered."""
    catalog, keys = place.catalog(), Keys(place.prefix)
    async with hand_off(catalog) as side:
        await begin(side, 1)
        lane = open_lane(catalog, "crm", side.link, Board())
        (taken,) = await lane.queue.sweep(slots=1, running=0)
        await side.link.execute("SADD", keys.waiters(taken.job_id), "")  # as forget.lua marks it
        answer, at = Answer(taken.job_id, Code.OK, "", {"order_id": "1"}), asyncio.get_running_loop().time()
        for _ in range(2):
            await lane.queue.finish(taken, answer, at, 60.0, wants=False)
            assert not await side.link.execute("EXISTS", keys.record(wanted(1).job.record))
        await lane.backend.close()


async def test_answer_is_as_old_as_its_backend_gave_it(place: Place) -> None:
    """It may have waited for Redis; neither memory nor Redis may take it for younger."""
    catalog = place.catalog()
    clock = asyncio.get_running_loop().time
    async with hand_off(catalog) as side:
        asked, deadline = await begin(side, 1)
        lane = open_lane(catalog, "crm", side.link, Board())
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
