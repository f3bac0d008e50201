"""Calls put off to the end of the loop's turn."""

import asyncio

import pytest

from gateway.process.deferred_calls import DeferredCalls


async def test_calls_of_one_turn_are_made_in_a_row_and_in_order() -> None:
    """Everything else in the turn runs before them."""
    made: list[str] = []
    deferred = DeferredCalls(made.append)

    async def call(name: str) -> None:
        deferred(name)
        made.append(f"{name} has called")

    await asyncio.gather(call("one"), call("two"))
    await asyncio.sleep(0)
    assert made == ["one has called", "two has called", "one", "two"]


async def test_call_that_calls_again_waits_for_the_next_turn() -> None:
    """Nobody can keep the loop for itself."""
    made: list[int] = []

    def count(number: int) -> None:
        made.append(number)
        deferred(number + 1)

    deferred = DeferredCalls(count)
    deferred(0)
    await asyncio.sleep(0)
    assert made == [0]
    await asyncio.sleep(0)
    assert made == [0, 1]


async def test_call_that_fails_is_logged_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """One bad connection must not keep the answers of the others."""
    made: list[int] = []

    def divide(number: int) -> None:
        made.append(6 // number)

    deferred = DeferredCalls(divide)
    for number in (1, 0, 2):
        deferred(number)
    await asyncio.sleep(0)
    assert made == [6, 3]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]
