"""More attempts for what may pass, none for what will not, and none when there is no time left.

The pauses are those of a clock that the tests move: nobody waits here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from tenacity.wait import wait_base, wait_fixed, wait_incrementing, wait_none

from gateway.core.errors import (
    BackendRejected,
    BackendUnavailable,
    BadBackendReply,
    DeskgateError,
    LookupFailed,
    NoAnswer,
    Overloaded,
    QueueUnavailable,
    TimedOut,
    is_transient,
)
from gateway.resilience.deadline import WORTH_ANOTHER, Deadline
from gateway.resilience.hedge import Hedge
from gateway.resilience.policy import Call
from gateway.resilience.retry import FIRST_PAUSE, FIRST_RETRIES, FULL_JITTER, LONGEST_PAUSE, MOST_SAVED, Retry
from gateway.resilience.stack import guard, repeat, stack
from tests.clock import ManualClock
from tests.hearing import Hearing
from tests.limits import limits

PLENTY = 60.0


class Backend:
    """Ends one attempt after another as it is told: an error is raised, text is the answer."""

    def __init__(self, ends: Iterable[BaseException | str]) -> None:
        """Take the end of each attempt in turn."""
        self._ends = iter(ends)
        self.attempts = 0

    async def ask(self) -> str:
        """End as the next of the ends says."""
        self.attempts += 1
        end = next(self._ends)
        if isinstance(end, BaseException):
            raise end
        return end


def unheard(number: int, error: NoAnswer) -> None:
    """Fail: no attempt of this test may be followed by another."""
    pytest.fail(f"attempt {number} was followed by another after {error!r}")


def ignored(_number: int, _error: NoAnswer) -> None:
    """Hear of a retry, and do nothing."""


class Asking:
    """The policies of one backend, without an attempt timeout: deadline ( retry ( call ) )."""

    def __init__(self, attempts: int, wait: wait_base = FULL_JITTER, budget: float | None = None) -> None:
        """Take how often to ask, how long to pause, and the share of a retry that each success pays for.

        Without a share there are retries in plenty.
        """
        self.clock = ManualClock()
        self.attempts = attempts

        async def step(call: Call) -> Any:  # noqa: ANN401 - the stack's own type
            return await call.make()

        retry = Retry(attempts, budget or 1.0, wait=wait, clock=self.clock)
        self.budget = retry.budget
        if budget is None:
            self.budget.left = PLENTY
        self._policies = guard(repeat(step, retry, Hedge(), self.clock), Deadline())

    async def run(
        self,
        make: Callable[[], Awaitable[str]],
        left: float = PLENTY,
        retried: Callable[[int, NoAnswer], None] = ignored,
        *,
        awaited: bool = True,
    ) -> str:
        """Ask with so many seconds left."""
        call = Call(make, self.clock.now() + left, awaited=awaited, observer=Hearing(retried))
        answer: str = await self._policies(call)
        return answer


async def test_a_first_success_needs_no_second_attempt() -> None:
    """The CRM hears each question once when it answers."""
    backend = Backend(["answer"])
    assert await Asking(3).run(backend.ask, PLENTY, unheard) == "answer"
    assert backend.attempts == 1


async def test_a_transient_failure_is_followed_by_another_attempt() -> None:
    """``retried`` hears the number of the attempt that failed, and why."""
    first, second = BackendUnavailable("503"), TimedOut("800 ms")
    backend = Backend([first, second, "answer"])
    heard: list[tuple[int, NoAnswer]] = []
    assert await Asking(3).run(backend.ask, PLENTY, lambda *retry: heard.append(retry)) == "answer"
    assert heard == [(1, first), (2, second)]


@pytest.mark.parametrize("attempts", [1, 2, 3])
async def test_attempts_are_counted_and_the_last_failure_is_raised(attempts: int) -> None:
    """``attempts = 3`` means three calls, the first one included; the reply tells the latest reason."""
    failures = [BackendUnavailable(str(number)) for number in range(10)]
    backend = Backend(failures)
    heard: list[int] = []
    with pytest.raises(BackendUnavailable) as caught:
        await Asking(attempts).run(backend.ask, PLENTY, lambda number, _: heard.append(number))
    assert backend.attempts == attempts
    assert caught.value is failures[attempts - 1]
    assert heard == list(range(1, attempts))


NOT_TRANSIENT = [
    *(BackendRejected(), BadBackendReply(), Overloaded(), QueueUnavailable(), LookupFailed()),
    *(
        ValueError(),
        KeyError("x"),
        DeskgateError(),
        OSError(),
        RuntimeError(),
        SystemExit(),
        KeyboardInterrupt(),
    ),
]


@pytest.mark.parametrize("error", NOT_TRANSIENT, ids=repr)
async def test_what_another_attempt_would_not_change_is_raised_at_once(error: BaseException) -> None:
    """A 400 stays a 400, and a bug stays a bug: asking again only loads the backend."""
    backend = Backend([error])
    with pytest.raises(type(error)) as caught:
        await Asking(3).run(backend.ask, PLENTY, unheard)
    assert caught.value is error
    assert not is_transient(error)


async def test_pauses_are_uniform_below_a_bound_that_doubles_to_its_limit() -> None:
    """Full jitter: callers that failed together do not come back together."""
    asking = Asking(8)
    backend = Backend(BackendUnavailable() for _ in range(8))
    with pytest.raises(BackendUnavailable):
        await asking.run(backend.ask)
    bounds = [min(LONGEST_PAUSE, FIRST_PAUSE * 2**number) for number in range(7)]
    assert all(0 <= pause <= bound for pause, bound in zip(asking.clock.slept, bounds, strict=True))
    assert len(set(asking.clock.slept)) == len(bounds)


async def test_pause_depends_on_the_number_of_the_attempt() -> None:
    """The bound doubles with each attempt: a backend that stays down is left alone for longer."""
    asking = Asking(4, wait_incrementing(start=1.0, increment=1.0))
    with pytest.raises(BackendUnavailable):
        await asking.run(Backend(BackendUnavailable() for _ in range(4)).ask)
    assert asking.clock.slept == [1.0, 2.0, 3.0]


async def test_retry_needs_no_deadline() -> None:
    """Each policy stands for itself: without one that sets an end, the attempts alone are counted."""
    clock, backend = ManualClock(), Backend([BackendUnavailable(), "answer"])
    retrying = repeat(lambda call: call.make(), Retry(2, clock=clock), Hedge(), clock)
    assert await retrying(Call(backend.ask, clock.now())) == "answer"


@pytest.mark.parametrize("left", [0.0, 1e-9, WORTH_ANOTHER])
async def test_no_attempt_begins_that_could_not_finish(left: float) -> None:
    """Its answer is late for certain, and the backend has paid for it."""
    backend = Backend([BackendUnavailable(), "answer"])
    with pytest.raises(BackendUnavailable):
        await Asking(5, wait_none()).run(backend.ask, left, unheard)
    assert backend.attempts == 1


async def test_attempt_begins_while_it_can_finish() -> None:
    """A millisecond more than it needs is enough."""
    backend = Backend([BackendUnavailable(), "answer"])
    assert await Asking(5, wait_none()).run(backend.ask, WORTH_ANOTHER + 0.001) == "answer"


async def test_pause_that_would_end_too_late_is_not_begun() -> None:
    """A worker's slot is worth more than a wait whose end is known."""
    asking = Asking(5, wait_fixed(1.0))
    backend = Backend([BackendUnavailable(), BackendUnavailable(), "answer"])
    with pytest.raises(BackendUnavailable):
        await asking.run(backend.ask, 2.0)
    assert asking.clock.slept == [1.0]


async def test_attempts_end_with_the_time_however_many_are_left() -> None:
    """Retries that are saved up, and attempts that are allowed, are no reason to go on."""
    backend = Backend(BackendUnavailable() for _ in range(1000))
    with pytest.raises(BackendUnavailable):
        await Asking(1000, wait_fixed(0.1)).run(backend.ask, 1.0 + WORTH_ANOTHER - 0.001)
    assert backend.attempts == 10


async def test_call_that_nobody_waits_for_gets_one_attempt() -> None:
    """A refresh is not worth a second call to a backend that fails."""
    backend = Backend([BackendUnavailable(), "answer"])
    with pytest.raises(BackendUnavailable):
        await Asking(3).run(backend.ask, PLENTY, unheard, awaited=False)
    assert backend.attempts == 1


async def test_an_attempt_ends_at_its_timeout() -> None:
    """A backend that hangs is one failed attempt, and a transient one."""
    heard: list[NoAnswer] = []
    call = Call(
        asyncio.Event().wait,
        asyncio.get_running_loop().time() + PLENTY,
        observer=Hearing(lambda _, e: heard.append(e)),
    )
    with pytest.raises(TimedOut, match="within 10 ms"):
        await stack(limits(2, 0.01))(call)
    assert [type(error) for error in heard] == [TimedOut]


async def test_a_timeout_of_the_systems_own_is_a_timeout() -> None:
    """The kernel gives up on a connection with the same error."""
    with pytest.raises(TimedOut):
        await stack(limits(1, 1.0))(Call(Backend([TimeoutError("ETIMEDOUT")]).ask, PLENTY))


async def test_an_attempt_that_ran_past_the_deadline_is_the_last() -> None:
    """It was let run, because its answer would have been kept; nothing follows it."""
    call = Call(asyncio.Event().wait, asyncio.get_running_loop().time() + 0.02, observer=Hearing(unheard))
    with pytest.raises(TimedOut):
        await stack(limits(5, 0.03))(call)


async def test_cancelling_a_call_in_an_attempt_ends_it() -> None:
    """A worker that drains must not be held up by a policy that takes it for a failure."""
    started = asyncio.Event()

    async def hang() -> None:
        started.set()
        await asyncio.Event().wait()

    await cancelled(hang, started)


async def test_cancelling_a_call_between_attempts_ends_it() -> None:
    """The pause is as much a part of the call as the attempts."""
    failed = asyncio.Event()

    async def fail() -> None:
        asyncio.get_running_loop().call_soon(failed.set)
        raise BackendUnavailable

    await cancelled(fail, failed)


async def cancelled(make: Callable[[], Awaitable[None]], ready: asyncio.Event) -> None:
    """Run a call, cancel it when ``ready`` is set, and see that it ended by that."""
    clock = ManualClock(frozen=True)
    policies = stack(limits(1000, 60.0), clock=clock)
    task = asyncio.ensure_future(policies(Call(make, clock.now() + PLENTY)))
    await ready.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_calls_of_one_policy_know_nothing_of_one_another() -> None:
    """One policy serves every job of a lane at once."""
    asking = Asking(2)
    backends = [Backend([BackendUnavailable(str(number)), f"answer {number}"]) for number in range(20)]
    answers = await asyncio.gather(*(asking.run(one.ask) for one in backends))
    assert answers == [f"answer {number}" for number in range(20)]
    assert {backend.attempts for backend in backends} == {2}


async def drown(asking: Asking, questions: int) -> int:
    """Ask a backend that is down so often; return the attempts that it hears."""
    backend = Backend(BackendUnavailable("503") for _ in range(questions * asking.attempts))
    ends = await asyncio.gather(*(asking.run(backend.ask) for _ in range(questions)), return_exceptions=True)
    assert {type(end) for end in ends} == {BackendUnavailable}
    return backend.attempts


async def test_backend_that_is_down_hears_few_retries() -> None:
    """Three times as many calls are no help to it."""
    assert await drown(Asking(3, budget=1.0), 100) == 100 + FIRST_RETRIES


async def test_backend_that_is_well_again_gets_its_retries_back() -> None:
    """Successes earn anew what an outage has spent, and no more than the reserve."""
    asking = Asking(3, budget=0.5)
    await drown(asking, 100)
    for earned in range(1, 60):
        await asking.run(Backend(["answer"]).ask, PLENTY, unheard)
        assert asking.budget.left == min(MOST_SAVED, earned / 2)
    for _ in range(4):
        limping = Backend([BackendUnavailable("503"), BackendUnavailable("503"), "answer"])
        assert await asking.run(limping.ask) == "answer"


async def test_retry_that_is_not_made_costs_no_budget() -> None:
    """Callbacks without time left must not spend what those with time could use."""
    asking = Asking(3)
    for _ in range(60):
        with pytest.raises(BackendUnavailable):
            await asking.run(Backend([BackendUnavailable("503")]).ask, 0.0, unheard)
    assert asking.budget.left == PLENTY


async def test_backend_that_fails_half_its_calls_is_asked_again() -> None:
    """Its answers pay for its failures: flaky is not down."""
    asking = Asking(3, budget=1.0)
    for _ in range(60):
        limping = Backend([BackendUnavailable("503"), "answer"])
        assert await asking.run(limping.ask) == "answer"


async def test_one_backends_outage_costs_another_no_retry() -> None:
    """A policy is a backend's own, and so is its budget."""
    spent, other = Asking(3), Asking(3)
    await drown(spent, 100)
    limping = Backend([BackendUnavailable("503"), "answer"])
    assert await other.run(limping.ask) == "answer"
