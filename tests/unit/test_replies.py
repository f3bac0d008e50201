"""Replies: what a gateway expects, and for how long."""

import math
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from gateway.core.errors import Code
from gateway.core.messages import Answer, Job
from gateway.queue.replies import Pending, Replies
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink

JOB = Job("crm", {}, 1, "s1", "record", "t1")
Expect = Callable[[str, float], Pending]


@pytest.fixture
async def replies() -> Replies:
    """Return replies over a link that is never opened."""
    return Replies(RedisLink("redis://127.0.0.1:1", 1.0), Keys("test"), lambda *_: None)


@pytest.fixture
async def expect(replies: Replies) -> Expect:
    """Return what expects a job, by its id, until a time."""
    return lambda job_id, until: replies.expect(job_id, JOB, until, 0.0, ours=True)


async def test_job_is_one_for_all_who_expect_it(expect: Expect) -> None:
    """One answer resolves them all."""
    assert expect("job", math.inf) is expect("job", math.inf)


@pytest.mark.parametrize("apart_ms", [300_000.0, -300_000.0])
async def test_answer_by_the_clock_of_another_server_is_no_younger_than_its_worker_says(
    apart_ms: float, expect: Expect
) -> None:
    """The question went to the server after a failover, and the job came from the one before."""
    pending = expect("job", math.inf)
    answer = Answer("job", Code.OK, "", {"level": "gold"}, age_ms=20_000.0, given_ms=apart_ms - 20_000.0)
    assert pending.known(answer, pending.asked + 1.0).born <= pending.asked - 19.0


@pytest.mark.parametrize("time", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("field", ["given_ms", "age_ms"])
async def test_answer_with_a_time_that_is_none_is_from_now(field: str, time: float, expect: Expect) -> None:
    """Whoever has sent it; a record of no age would break what counts with it."""
    answer = replace(Answer("job", Code.OK, "", {"level": "gold"}), **{field: time})
    assert expect("job", math.inf).known(answer, 5.0).born == 5.0


async def test_job_that_is_never_answered_is_forgotten_in_time(expect: Expect) -> None:
    """A gateway that lives for weeks must not gather them; the others stay."""
    lost = expect("lost", -math.inf)
    kept = expect("kept", math.inf)
    assert expect("lost", math.inf) is not lost
    assert expect("kept", math.inf) is kept


async def test_answer_that_comes_early_waits_until_it_is_expected(replies: Replies, expect: Expect) -> None:
    """A quick worker's push is read before the reply to the command that began its job."""
    answer = Answer("job", Code.OK, "", {"level": "gold"})
    replies.resolve(answer)
    assert expect("job", math.inf).future.result() == answer


async def test_answers_that_nobody_ever_expects_are_dropped_in_time(replies: Replies, expect: Expect) -> None:
    """They come to a gateway that has given up; the oldest go, and the latest may yet be expected."""
    for number in range(2000):
        replies.resolve(Answer(str(number), Code.OK))
    assert not expect("0", math.inf).done()
    assert expect("1999", math.inf).done()


async def test_answer_is_kept_once_however_often_it_comes() -> None:
    """It may be looked up in Redis while its push is on the way, and neither is an error."""
    kept: list[Answer] = []
    link = RedisLink("redis://127.0.0.1:1", 1.0)
    replies = Replies(link, Keys("test"), lambda _, answer, __: kept.append(answer))
    pending = replies.expect("job", JOB, math.inf, 0.0, ours=True)
    pending.resolve(Answer("", Code.OK), 1.0)
    replies.resolve(Answer("job", Code.OK, "pushed"))
    assert (kept, pending.future.result().info) == ([], "")
    again = replies.expect("other", JOB, math.inf, 0.0, ours=True)
    for _ in range(2):
        replies.resolve(Answer("other", Code.OK))
    assert kept == [again.future.result()]
    assert replies.expect("other", JOB, math.inf, 0.0, ours=True) is not again


async def test_early_answer_reaches_all_who_joined_the_job(replies: Replies, expect: Expect) -> None:
    """Two callbacks begin and join a job in one round trip; its push is read before the reply to both."""
    answer = Answer("job", Code.OK, "", {"level": "gold"})
    replies.resolve(answer)
    assert [expect("job", math.inf).future.result() for _ in range(2)] == [answer] * 2


async def test_job_that_was_answered_another_way_is_expected_anew(replies: Replies, expect: Expect) -> None:
    """It still runs, so its own answer is to come; the first callback's stand-in is not for the next one."""
    first = expect("job", math.inf)
    first.resolve(Answer("job", Code.BACKEND_REJECTED), 0.0)
    second = expect("job", math.inf)
    assert not second.done()
    answer = Answer("job", Code.OK, "", {"level": "gold"})
    replies.resolve(answer)
    assert second.future.result() == answer


async def test_push_of_a_job_that_was_answered_another_way_waits_until_it_is_expected(
    replies: Replies, expect: Expect
) -> None:
    """The next callback has joined the job, and has not heard so yet."""
    expect("job", math.inf).resolve(Answer("job", Code.BACKEND_REJECTED), 0.0)
    answer = Answer("job", Code.OK, "", {"level": "gold"})
    replies.resolve(answer)
    assert expect("job", math.inf).future.result() == answer


async def test_answer_reaches_who_joined_the_job_and_hears_so_only_now(
    replies: Replies, expect: Expect
) -> None:
    """In a burst of equal callbacks, the push is often read between the replies to two calls of begin.lua."""
    first = expect("job", math.inf)
    answer = Answer("job", Code.OK, "", {"level": "gold"})
    replies.resolve(answer)
    assert first.future.result() == answer
    assert expect("job", math.inf).future.result() == answer


async def test_answers_are_remembered_no_longer_than_a_call_of_redis_may_take() -> None:
    """They may be large, and a later callback cannot join their jobs."""
    replies = Replies(RedisLink("redis://127.0.0.1:1", 0.0), Keys("test"), lambda *_: None)
    replies.resolve(Answer("first", Code.OK))
    replies.resolve(Answer("second", Code.OK))
    assert not replies.expect("first", JOB, math.inf, 0.0, ours=True).done()
