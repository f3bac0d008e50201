"""The seam of a policy, and the order of the policies."""

import asyncio
from typing import Any

import pytest

from gateway.core.errors import BackendRejected, BackendUnavailable, NoAnswer, Overloaded, TimedOut
from gateway.resilience.bulkhead import Bulkhead
from gateway.resilience.policy import Call
from gateway.resilience.stack import guard, stack
from tests.clock import ManualClock
from tests.hearing import Hearing
from tests.limits import limits


class Witness:
    """A policy that notes its verbs; ``refuses`` says that it admits nobody."""

    def __init__(self, *, refuses: bool = False) -> None:
        """Begin with no notes."""
        self.heard: list[str] = []
        self._refuses = refuses

    def admit(self, _: Call) -> None:
        """Note it; refuse when that is wanted."""
        self.heard.append("admit")
        if self._refuses:
            raise Overloaded

    def succeeded(self, _: Call) -> None:
        """Note it."""
        self.heard.append("succeeded")

    def failed(self, _: Call, error: BaseException) -> None:
        """Note it with what went wrong."""
        self.heard.append(f"failed {type(error).__name__}")


def ending(end: object) -> Call:
    """Return a call whose attempts end so: an exception is raised, anything else is the answer."""

    async def make() -> object:
        if isinstance(end, BaseException):
            raise end
        return end

    return Call(make, 0.0)


async def step(call: Call) -> Any:  # noqa: ANN401 - the stack's own type
    """Make the call, without any policy."""
    return await call.make()


async def test_policy_hears_of_each_call_that_it_has_admitted_exactly_once() -> None:
    """A policy can give back all that it took when it admitted a call."""
    witness = Witness()
    asked = guard(step, witness)
    assert await asked(ending("answer")) == "answer"
    assert witness.heard == ["admit", "succeeded"]
    for error in (BackendUnavailable(), ValueError(), asyncio.CancelledError(), KeyboardInterrupt()):
        witness.heard.clear()
        with pytest.raises(type(error)):
            await asked(ending(error))
        assert witness.heard == ["admit", f"failed {type(error).__name__}"]


async def test_call_that_is_refused_is_not_made_and_not_heard_of_again() -> None:
    """The backend is spared, and the policy counts no failure for a call that it has refused itself."""
    witness = Witness(refuses=True)
    with pytest.raises(Overloaded):
        await guard(step, witness)(ending(AssertionError("it was asked")))
    assert witness.heard == ["admit"]


async def test_place_in_the_bulkhead_is_held_through_all_attempts() -> None:
    """The bulkhead is outermost: a call that pauses between attempts is still one of its calls."""
    clock = ManualClock(frozen=True)
    policies = stack(limits(2, 60.0), bulkhead=Bulkhead(1), clock=clock)
    ends = iter([BackendUnavailable(), None])
    failed = asyncio.Event()

    async def make() -> str:
        if (error := next(ends)) is not None:
            asyncio.get_running_loop().call_soon(failed.set)
            raise error
        return "answer"

    first = asyncio.ensure_future(policies(Call(make, clock.now() + 60.0)))
    await failed.wait()
    with pytest.raises(Overloaded):
        await policies(ending("another"))
    clock.move(1.0)
    assert await first == "answer"
    assert await policies(ending("another")) == "another"


async def test_timeout_is_that_of_one_attempt() -> None:
    """It is innermost: each attempt has all of it, and the pauses between do not count."""
    clock = ManualClock()
    attempts = 0

    async def make() -> str:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return "answer"

    heard: list[NoAnswer] = []
    call = Call(make, clock.now() + 60.0, observer=(hearing := Hearing(lambda _, error: heard.append(error))))
    assert await stack(limits(3, 0.05), clock=clock)(call) == "answer"
    assert [type(error) for error in heard] == [TimedOut]
    assert hearing.outcomes == [(1, "TIMEOUT"), (2, "OK")]
    assert call.attempts == 2


async def test_failure_that_stays_is_raised_without_a_pause() -> None:
    """Nobody waits for what cannot come."""
    clock = ManualClock()
    call = ending(BackendRejected())
    call.deadline = clock.now() + 60.0
    with pytest.raises(BackendRejected):
        await stack(limits(3, 1.0), clock=clock)(call)
    assert (clock.slept, call.attempts) == ([], 1)
