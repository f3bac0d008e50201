"""Replies: what a gateway expects, and for how long."""

import math
from collections.abc import Callable

import pytest

from gateway.core.errors import Code
from gateway.core.messages import Answer
from gateway.store.keys import Keys
from gateway.store.link import RedisLink
from gateway.store.replies import Pending, Replies

Expect = Callable[[str, float], Pending]


@pytest.fixture
async def replies() -> Replies:
    return Replies(RedisLink("redis://127.0.0.1:1", 1.0), Keys("test"), lambda *_: None)


@pytest.fixture
async def expect(replies: Replies) -> Expect:
    return lambda job_id, until: replies.expect(job_id, "crm", "record", until)


async def test_a_job_is_one_for_all_who_expect_it(expect: Expect) -> None:
    assert expect("job", math.inf) is expect("job", math.inf)


async def test_a_job_that_is_never_answered_is_forgotten_in_time(expect: Expect) -> None:
    lost = expect("lost", -math.inf)
    kept = expect("kept", math.inf)
    assert expect("lost", math.inf) is not lost
    assert expect("kept", math.inf) is kept


async def test_an_answer_that_comes_before_it_is_expected_waits_for_that(
    replies: Replies, expect: Expect
) -> None:
    answer = Answer("job", Code.OK, "", {"level": "gold"})
    replies.resolve(answer)
    assert expect("job", math.inf).future.result() == answer
