"""Calls per second: each process keeps to its share."""

import pytest

from gateway.core.errors import Overloaded
from gateway.resilience.policy import Call
from gateway.resilience.rate import Rate
from tests.clock import ManualClock
from tests.gates import FAR


async def no_call() -> None:
    """Be no call."""


async def turns(rate: Rate, clock: ManualClock, number: int) -> list[float]:
    """Return when each of these calls goes out; they all come at once."""
    begun = clock.now()
    at = []
    for _ in range(number):
        waiting = rate.admit(Call(no_call, FAR))
        if waiting is not None:
            await waiting
        at.append(round(clock.now() - begun, 6))
    return at


@pytest.mark.parametrize(
    ("burst", "workers", "expected"),
    [(1, 1, [0.0, 0.1, 0.2, 0.3]), (3, 1, [0.0, 0.0, 0.0, 0.1]), (1, 4, [0.0, 0.4, 0.8, 1.2])],
)
async def test_calls_take_turns(burst: int, workers: int, expected: list[float]) -> None:
    """A worker among four has a fourth of the rate."""
    clock = ManualClock()
    assert await turns(Rate(10.0, burst, lambda: workers, clock=clock), clock, 4) == expected


async def test_burst_is_there_again_after_a_quiet_time() -> None:
    """And no more than that."""
    clock = ManualClock()
    rate = Rate(10.0, 3, clock=clock)
    await turns(rate, clock, 10)
    clock.move(60)
    assert await turns(rate, clock, 4) == [0.0, 0.0, 0.0, 0.1]


def test_call_whose_turn_comes_too_late_is_refused_at_once() -> None:
    """It takes no turn from those that have the time."""
    clock = ManualClock(frozen=True)
    rate = Rate(1.0, 1, clock=clock)
    assert rate.admit(Call(no_call, FAR)) is None
    for _ in range(3):
        with pytest.raises(Overloaded, match=r"1/s"):
            rate.admit(Call(no_call, clock.now() + 0.5))
    clock.move(1.0)
    last = Call(no_call, clock.now())
    assert rate.admit(last) is None
    rate.succeeded(last)
    rate.failed(last, ValueError())
