"""A backend that asks to be left alone is left alone, and is then asked by one call first."""

import pytest

from gateway.core.errors import BackendThrottled, BackendUnavailable
from gateway.resilience.board import Board
from gateway.resilience.pause import FIRST_PAUSE, LONGEST_UNASKED, Pause
from gateway.resilience.policy import Call
from gateway.resilience.stack import stack
from tests.clock import ManualClock
from tests.limits import limits


def call() -> Call:
    """Return a call that is not made."""
    return Call(lambda: pytest.fail("it was asked"), 1e9)


def paused(seconds: float | None = 10.0, share: float = 1.0) -> tuple[Pause, ManualClock]:
    """Return a pause that a backend has just asked for."""
    clock = ManualClock(frozen=True)
    pause = Pause(Board(clock), "crm", longest_attempt=1.0, share=lambda: share)
    first = call()
    admit(pause, first)
    pause.failed(first, BackendThrottled("429", seconds))
    return pause, clock


def admit(pause: Pause, one: Call) -> None:
    """Let a call go on; raise BackendThrottled. On a board of one process nothing waits."""
    waiting = pause.admit(one)
    if waiting is not None:
        with pytest.raises(StopIteration):
            waiting.__await__().send(None)


def refused(pause: Pause) -> bool:
    """True if a call is refused now; one that goes on is not heard of again."""
    try:
        admit(pause, call())
    except BackendThrottled as error:
        return error.pause is None  # else the refusal would be tried again
    return False


def test_calls_are_refused_for_as_long_as_the_backend_asks() -> None:
    """Each request in that time would lengthen it, or get the client banned."""
    pause, clock = paused(10.0)
    assert refused(pause)
    clock.move(9.9)
    assert refused(pause)
    clock.move(0.2)
    assert not refused(pause)


def test_one_call_goes_first_after_the_pause() -> None:
    """All that waited must not arrive together: the backend would say no again."""
    pause, clock = paused()
    clock.move(11)
    probe = call()
    admit(pause, probe)
    assert refused(pause)
    pause.succeeded(probe)
    assert not refused(pause)
    assert not refused(pause)


@pytest.mark.parametrize("error", [BackendUnavailable(), ValueError()])
def test_a_probe_that_is_not_throttled_ends_the_pause(error: BaseException) -> None:
    """A backend that hangs is no longer throttling: its callbacks shall hear so."""
    pause, clock = paused()
    clock.move(11)
    probe = call()
    admit(pause, probe)
    assert refused(pause)
    pause.failed(probe, error)
    assert not refused(pause)
    assert not refused(pause)


def test_a_probe_that_is_cancelled_leaves_its_place_to_another_call() -> None:
    """It has said nothing about the backend."""
    pause, clock = paused()
    clock.move(11)
    probe = call()
    admit(pause, probe)
    pause.failed(probe, KeyboardInterrupt())
    assert not refused(pause)
    assert refused(pause)  # that one is the probe now


def test_a_backend_that_does_not_say_for_how_long_is_left_alone_for_longer_and_longer() -> None:
    """Half of the bound to all of it: processes must not come back together."""
    for share, part in ((0.0, 0.5), (1.0, 1.0)):
        pause, clock = paused(None, share)
        bound = FIRST_PAUSE
        for _ in range(8):
            clock.move(bound * part - 0.01)
            assert refused(pause)
            clock.move(0.02)
            probe = call()
            admit(pause, probe)
            pause.failed(probe, BackendThrottled("429"))
            bound = min(LONGEST_UNASKED, bound * 2)
        clock.move(LONGEST_UNASKED)
        probe = call()
        admit(pause, probe)
        pause.succeeded(probe)
        pause.failed(call(), BackendThrottled("429"))
        clock.move(FIRST_PAUSE + 0.01)
        assert not refused(pause)  # it began anew


def test_many_calls_that_are_throttled_together_are_one_pause() -> None:
    """Twenty slots hear the same no; the pause does not double twenty times."""
    pause, clock = paused(None)
    for _ in range(19):
        pause.failed(call(), BackendThrottled("429"))
    clock.move(FIRST_PAUSE + 0.01)
    assert not refused(pause)


def test_an_answer_from_before_the_pause_does_not_end_it() -> None:
    """It left before the backend said no."""
    pause, _ = paused()
    pause.succeeded(call())
    assert refused(pause)


async def test_the_call_that_was_throttled_waits_for_the_pause_if_it_has_the_time() -> None:
    """The others are refused meanwhile, without an attempt."""
    clock = ManualClock()
    ends: list[object] = [BackendThrottled("429", 0.3), "answer"]

    async def make() -> object:
        end = ends.pop(0)
        if isinstance(end, BaseException):
            raise end
        return end

    policies = stack(limits(3, 60.0), clock=clock)
    waiting = Call(make, clock.now() + 1.0)
    assert await policies(waiting) == "answer"
    assert (waiting.attempts, clock.slept) == (2, [0.3])
    ends[:] = [BackendThrottled("429", 10.0)]
    with pytest.raises(BackendThrottled):
        await policies(Call(make, clock.now() + 1.0))
    refused_call = Call(make, clock.now() + 1.0)
    with pytest.raises(BackendThrottled, match="not asked"):
        await policies(refused_call)
    assert (refused_call.attempts, ends) == (0, [])


def test_word_of_a_call_from_before_keeps_the_pause_also_if_the_probe_is_answered() -> None:
    """It is younger than the pause, and the backend has asked once more."""
    clock = ManualClock(frozen=True)
    pause = Pause(Board(clock), "crm", longest_attempt=1.0)
    first, late = call(), call()
    admit(pause, first)
    admit(pause, late)
    pause.failed(first, BackendThrottled("429", 1.0))
    clock.move(1.1)
    probe = call()
    admit(pause, probe)
    pause.failed(late, BackendThrottled("429", 5.0))
    pause.succeeded(probe)
    assert refused(pause)
    clock.move(5.1)
    assert not refused(pause)
