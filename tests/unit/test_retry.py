"""More attempts for what may pass, none for what will not, and none when there is no time left."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import pytest

from gateway.core.errors import (
    BackendRejected,
    BackendUnavailable,
    BadBackendReply,
    DeskgateError,
    LookupFailed,
    MissingInput,
    NoAnswer,
    Overloaded,
    QueueUnavailable,
    TimedOut,
    is_transient,
)
from gateway.resilience.retry import RETRY_RESERVE, WORTH_ANOTHER, RetryPolicy

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


async def test_a_first_success_needs_no_second_attempt() -> None:
    """The CRM hears each question once when it answers."""
    backend = Backend(["answer"])
    assert await RetryPolicy(3, 1.0).run(backend.ask, PLENTY, unheard) == "answer"
    assert backend.attempts == 1


async def test_a_transient_failure_is_followed_by_another_attempt() -> None:
    """``on_retry`` hears the number of the attempt that failed, and why."""
    first, second = BackendUnavailable("503"), TimedOut("800 ms")
    backend = Backend([first, second, "answer"])
    heard: list[tuple[int, NoAnswer]] = []
    answer = await RetryPolicy(3, 1.0).run(backend.ask, PLENTY, lambda *retry: heard.append(retry))
    assert answer == "answer"
    assert heard == [(1, first), (2, second)]


@pytest.mark.parametrize("attempts", [1, 2, 3])
async def test_attempts_are_counted_and_the_last_failure_is_raised(attempts: int) -> None:
    """``attempts = 3`` means three calls, the first one included; the reply tells the latest reason."""
    failures = [BackendUnavailable(str(number)) for number in range(10)]
    backend = Backend(failures)
    heard: list[int] = []
    with pytest.raises(BackendUnavailable) as caught:
        await RetryPolicy(attempts, 1.0).run(backend.ask, PLENTY, lambda number, _: heard.append(number))
    assert backend.attempts == attempts
    assert caught.value is failures[attempts - 1]
    assert heard == list(range(1, attempts))


NOT_TRANSIENT = [
    *(BackendRejected(), BadBackendReply(), Overloaded(), QueueUnavailable(), MissingInput(), LookupFailed()),
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
        await RetryPolicy(3, 1.0).run(backend.ask, PLENTY, unheard)
    assert caught.value is error
    assert not is_transient(error)


async def test_an_attempt_ends_at_its_timeout() -> None:
    """A backend that hangs is one failed attempt, and a transient one."""
    policy = RetryPolicy(2, 0.01)
    heard: list[NoAnswer] = []
    with pytest.raises(TimedOut, match="within 10 ms"):
        await policy.run(asyncio.Event().wait, PLENTY, lambda _, error: heard.append(error))
    assert [type(error) for error in heard] == [TimedOut]


async def test_a_timeout_of_the_systems_own_is_a_timeout() -> None:
    """The kernel gives up on a connection with the same error."""
    with pytest.raises(TimedOut):
        await RetryPolicy(1, 1.0).run(Backend([TimeoutError("ETIMEDOUT")]).ask, PLENTY, unheard)


@pytest.mark.parametrize("left", [0.0, 1e-9])
async def test_no_attempt_begins_after_the_deadline(left: float) -> None:
    """What comes back then is late for certain, and the backend has paid for it."""
    backend = Backend([BackendUnavailable()] * 5)
    with pytest.raises(BackendUnavailable):
        await RetryPolicy(5, 1.0).run(backend.ask, left, unheard)
    assert backend.attempts == 1


async def test_an_attempt_that_ran_past_the_deadline_is_the_last() -> None:
    """It was let run, because its answer would have been kept; nothing follows it."""
    with pytest.raises(TimedOut):
        await RetryPolicy(5, 0.03).run(asyncio.Event().wait, 0.02, unheard)


async def test_attempts_end_with_the_time_however_many_are_left() -> None:
    """Retries that are saved up, and attempts that are allowed, are no reason to go on."""
    backend = Backend([BackendUnavailable()] * 1000)
    heard: list[int] = []
    with pytest.raises(BackendUnavailable):
        await RetryPolicy(1000, 1.0).run(backend.ask, 0.3, lambda number, _: heard.append(number))
    assert heard == list(range(1, backend.attempts))
    assert 1 < backend.attempts <= RETRY_RESERVE / 2


async def test_no_pause_ends_after_the_time() -> None:
    """A worker's slot is worth more than a wait whose end is certain to be too late."""
    backends = [Backend([BackendUnavailable(), "answer"]) for _ in range(100)]
    left = WORTH_ANOTHER + 0.01  # most first pauses are longer than 10 ms
    asking = (RetryPolicy(2, 1.0).run(one.ask, left, lambda *_: None) for one in backends)
    await asyncio.gather(*asking, return_exceptions=True)
    assert sum(one.attempts for one in backends) < 150


async def test_cancelling_a_call_in_an_attempt_ends_it() -> None:
    """A worker that drains must not be held up by a policy that takes it for a failure."""
    started = asyncio.Event()

    async def hang() -> None:
        started.set()
        await asyncio.Event().wait()

    await cancelled(hang, started)


async def test_cancelling_a_call_between_attempts_ends_it() -> None:
    """The pause is as much a part of the call as the attempts."""
    paused = asyncio.Event()

    async def fail() -> None:
        asyncio.get_running_loop().call_soon(paused.set)
        raise BackendUnavailable

    await cancelled(fail, paused)


async def cancelled(ask: Callable[[], Awaitable[None]], ready: asyncio.Event) -> None:
    """Run a call, cancel it when ``ready`` is set, and see that it ended by that."""
    task = asyncio.ensure_future(RetryPolicy(1000, 60.0).run(ask, PLENTY, lambda *_: None))
    await ready.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_calls_of_one_policy_know_nothing_of_one_another() -> None:
    """One policy serves every job of a lane at once."""
    policy = RetryPolicy(2, 1.0)
    backends = [Backend([BackendUnavailable(str(number)), f"answer {number}"]) for number in range(20)]
    answers = await asyncio.gather(*(policy.run(one.ask, PLENTY, lambda *_: None) for one in backends))
    assert answers == [f"answer {number}" for number in range(20)]
    assert {backend.attempts for backend in backends} == {2}


async def test_no_attempt_begins_that_could_not_finish() -> None:
    """An answer of an attempt begun in the last moment comes too late for whoever waits."""
    backend = Backend([BackendUnavailable("503"), "answer"])
    with pytest.raises(BackendUnavailable):
        await RetryPolicy(3, 1.0).run(backend.ask, WORTH_ANOTHER, unheard)
    assert backend.attempts == 1


async def drown(policy: RetryPolicy, questions: int) -> int:
    """Ask a backend that is down so often; return the attempts that it hears."""
    backend = Backend(BackendUnavailable("503") for _ in range(questions * policy.attempts))
    asking = (policy.run(backend.ask, PLENTY, lambda *_: None) for _ in range(questions))
    assert {type(end) for end in await asyncio.gather(*asking, return_exceptions=True)} == {
        BackendUnavailable
    }
    return backend.attempts


async def test_backend_that_is_down_hears_few_retries() -> None:
    """Three times as many calls are no help to it."""
    assert await drown(RetryPolicy(3, 1.0), 100) == 100 + RETRY_RESERVE


async def test_backend_that_is_well_again_gets_its_retries_back() -> None:
    """What an outage has spent, successes earn anew."""
    policy = RetryPolicy(3, 1.0)
    await drown(policy, 100)
    for _ in range(50):
        await policy.run(Backend(["answer"]).ask, PLENTY, unheard)
    for _ in range(12):
        limping = Backend([BackendUnavailable("503"), BackendUnavailable("503"), "answer"])
        assert await policy.run(limping.ask, PLENTY, lambda *_: None) == "answer"


async def test_backend_that_fails_half_its_calls_is_asked_again() -> None:
    """What it answers pays for what it does not: flaky is not down."""
    policy = RetryPolicy(3, 1.0)
    for _ in range(RETRY_RESERVE * 2):
        limping = Backend([BackendUnavailable("503"), "answer"])
        assert await policy.run(limping.ask, PLENTY, lambda *_: None) == "answer"


async def test_one_backends_outage_costs_another_no_retry() -> None:
    """A policy is a backend's own, and so is its budget."""
    spent, other = RetryPolicy(3, 1.0), RetryPolicy(3, 1.0)
    await drown(spent, 100)
    limping = Backend([BackendUnavailable("503"), "answer"])
    assert await other.run(limping.ask, PLENTY, lambda *_: None) == "answer"
