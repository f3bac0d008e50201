"""Batches: many callers share a call, and nobody waits longer than one round trip."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.wire.batch import Batch

Double = Callable[[int], "asyncio.Task[int]"]


class Server:
    """Doubles numbers. A call waits until it is let go."""

    def __init__(self) -> None:
        """Begin without a call."""
        self.calls: list[list[int]] = []
        self._held: list[asyncio.Future[None]] = []

    async def ask(self, questions: list[int]) -> list[int]:
        """Note a call, and answer it when it is let go; a zero makes it fail."""
        self.calls.append(questions)
        self._held.append(asyncio.get_running_loop().create_future())
        await self._held[-1]
        if 0 in questions:
            raise ZeroDivisionError
        return [2 * question for question in questions]

    def let_go(self) -> None:
        """Answer the calls that wait."""
        for held in self._held:
            if not held.done():
                held.set_result(None)


@pytest.fixture
def server() -> Server:
    """Return a server of the test's own."""
    return Server()


@pytest.fixture
async def double(server: Server) -> Double:
    """Return a caller of the server, in batches of three."""
    batch = Batch(server.ask, 3)
    return lambda number: asyncio.create_task(batch.add(number))


async def turns(number: int = 5) -> None:
    """Let the loop turn."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_lone_question_leaves_at_once(server: Server, double: Double) -> None:
    """A gateway with one callback at a time pays nothing for those that have many."""
    asked = double(1)
    await asyncio.sleep(0)
    assert server.calls == [[1]]
    server.let_go()
    assert await asked == 2


async def test_questions_that_come_meanwhile_leave_together(server: Server, double: Double) -> None:
    """They have waited one round trip, and share the next one."""
    asked = [double(1), double(2), double(3)]
    await turns()
    assert server.calls == [[1]]
    server.let_go()
    await turns()
    assert server.calls == [[1], [2, 3]]
    server.let_go()
    assert await asyncio.gather(*asked) == [2, 4, 6]


async def test_full_batch_does_not_wait(server: Server, double: Double) -> None:
    """A slow call must not hold back more than fits in one."""
    asked = [double(number) for number in range(1, 6)]
    await turns()
    assert server.calls == [[1], [2, 3, 4]]
    server.let_go()
    await turns()
    server.let_go()
    assert await asyncio.gather(*asked) == [2, 4, 6, 8, 10]


async def test_crowd_that_comes_again_stays_together(server: Server, double: Double) -> None:
    """After a crowd the first question waits for the rest of the loop's turn."""
    asked = [double(1), double(2), double(3)]
    await turns()
    server.let_go()
    await turns()
    server.let_go()
    await asyncio.gather(*asked)
    asked = [double(4), double(5)]
    await turns()
    assert server.calls[2:] == [[4, 5]]
    server.let_go()
    assert await asyncio.gather(*asked) == [8, 10]


@pytest.mark.parametrize("first", [0, 1])
async def test_error_is_raised_at_each_caller_of_the_call(server: Server, double: Double, first: int) -> None:
    """The callers of the calls before and behind it have nothing to do with it."""
    asked = [double(first), double(1 - first), double(3)]
    await turns()
    server.let_go()
    await turns()
    server.let_go()
    heard = await asyncio.gather(*asked, return_exceptions=True)
    failed = [isinstance(one, ZeroDivisionError) for one in heard]
    assert failed == ([True, False, False] if first == 0 else [False, True, True])


async def test_caller_that_has_gone_holds_nobody_up(server: Server, double: Double) -> None:
    """A callback may be cancelled while its call is on its way, or waits to leave."""
    alone, waiting, other = double(1), double(2), double(3)
    await turns()
    alone.cancel()
    waiting.cancel()
    await turns()
    assert server.calls == [[1], [2, 3]]
    server.let_go()
    assert await other == 6
