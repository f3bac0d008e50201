"""A second attempt beside a slow one: the first answer counts."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from gateway.core.errors import BackendRejected, BackendUnavailable
from gateway.resilience.hedge import MOST_SAVED, Hedge
from gateway.resilience.policy import Call
from gateway.resilience.stack import stack
from tests.clock import ManualClock
from tests.gates import FAR
from tests.limits import limits

Step = Callable[[], Awaitable[str]]


async def answer() -> str:
    """Answer at once."""
    return "answer"


async def hang() -> str:
    """Never answer."""
    await asyncio.Event().wait()
    return "too late"


async def fail() -> str:
    """Fail in a way that may pass."""
    raise BackendUnavailable


async def reject() -> str:
    """Fail in a way that does not pass."""
    raise BackendRejected


class Backend:
    """Takes one step after the other, and counts them."""

    def __init__(self, *steps: Step) -> None:
        """Take the steps."""
        self.steps = [*steps]
        self.asked = 0

    async def ask(self) -> str:
        """Take the next step."""
        self.asked += 1
        return await self.steps.pop(0)()


async def run(backend: Backend, after: float | None = 0.001) -> str:
    """Ask a backend under all policies."""
    policies = stack(limits(3, 5.0))
    answered: str = await policies(Call(backend.ask, asyncio.get_running_loop().time() + 60, hedge=after))
    return answered


async def test_second_attempt_answers_for_a_slow_first_one() -> None:
    """The first one is cancelled: its answer is not needed any more."""
    backend = Backend(hang, answer)
    assert await run(backend) == "answer"
    assert backend.asked == 2


async def test_prompt_answer_needs_no_second_attempt() -> None:
    """Nor does a failure that stays."""
    backend = Backend(answer)
    assert await run(backend, 60.0) == "answer"
    rejecting = Backend(reject)
    with pytest.raises(BackendRejected):
        await run(rejecting, 60.0)
    assert (backend.asked, rejecting.asked) == (1, 1)


async def test_failure_begins_the_second_attempt_at_once_and_there_is_no_third() -> None:
    """A hedge is in the place of retries."""
    backend = Backend(fail, answer)
    assert await run(backend, 60.0) == "answer"
    failing = Backend(fail, fail, answer)
    with pytest.raises(BackendUnavailable):
        await run(failing, 60.0)
    assert failing.asked == 2


async def test_slow_first_attempt_may_still_be_the_one_that_answers() -> None:
    """If the second one fails."""
    ready = asyncio.Event()

    async def late() -> str:
        await ready.wait()
        return "late"

    async def fail_and_tell() -> str:
        ready.set()
        raise BackendUnavailable

    assert await run(Backend(late, fail_and_tell)) == "late"


async def test_last_failure_is_the_calls_if_both_attempts_fail() -> None:
    """The first one may end after the second."""
    ready = asyncio.Event()

    async def fail_late() -> str:
        await ready.wait()
        for _ in range(5):  # until the other one's end has been seen
            await asyncio.sleep(0)
        raise BackendUnavailable

    async def reject_and_tell() -> str:
        ready.set()
        raise BackendRejected

    with pytest.raises(BackendUnavailable):
        await run(Backend(fail_late, reject_and_tell))


async def test_hedges_are_a_tenth_of_the_calls() -> None:
    """A backend that is slow for all is not helped by twice as many calls."""
    hedge, calls = Hedge(), 100
    made = 0
    for _ in range(calls):
        backend = Backend(fail, answer)
        call = Call(backend.ask, FAR)
        with suppress(BackendUnavailable):
            assert await hedge.run(call, lambda one: one.make(), 60.0) == "answer"
        made += backend.asked
    assert made in {calls + 10, calls + 11}
    assert calls > MOST_SAVED


async def test_hedge_that_could_not_finish_in_time_is_not_begun() -> None:
    """It would cost the backend a call for nothing."""
    clock = ManualClock()
    call = Call(Backend(fail).ask, FAR)
    call.last_start = clock.now()
    with pytest.raises(BackendUnavailable):
        await Hedge(clock).run(call, lambda one: one.make(), 60.0)


async def test_slow_call_without_a_hedge_left_is_awaited() -> None:
    """As if none was declared."""
    ready = asyncio.Event()

    async def late() -> str:
        asyncio.get_running_loop().call_soon(ready.set)
        await ready.wait()
        return "late"

    hedge = Hedge()
    call = Call(Backend(late).ask, FAR)
    call.last_start = 0.0
    assert await hedge.run(call, lambda one: one.make(), 0.0) == "late"


async def test_cancelled_call_leaves_no_attempt_behind() -> None:
    """Both of them end with it."""
    both = asyncio.Event()
    ended: list[str] = []

    async def first() -> str:
        try:
            return await hang()
        finally:
            ended.append("first")

    async def second() -> str:
        both.set()
        try:
            return await hang()
        finally:
            ended.append("second")

    task = asyncio.ensure_future(run(Backend(first, second)))
    await both.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == ["first", "second"]
