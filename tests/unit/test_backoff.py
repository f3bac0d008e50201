"""Pauses between attempts: they grow to a limit, and begin anew after a success."""

import pytest

from gateway.process.backoff import FIRST, LONGEST, SHORTEST, Backoff


async def test_pauses_double_up_to_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that stays away is asked about once a second at most, and found soon after a blink."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("random.uniform", lambda _, longest: longest)
    backoff = Backoff(sleep)
    for _ in range(7):
        await backoff.pause()
    assert slept == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST, 16 * FIRST, LONGEST, LONGEST]
    backoff.reset()
    await backoff.pause()
    assert slept[-1] == FIRST


async def test_pauses_differ() -> None:
    """Processes that have lost Redis together must not come back together."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    for _ in range(20):
        await Backoff(sleep).pause()
    assert len(set(slept)) > 1
    assert all(SHORTEST <= seconds <= FIRST for seconds in slept)
