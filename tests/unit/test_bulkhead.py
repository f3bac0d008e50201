"""So many calls at one time, and one more is refused at once."""

import asyncio

import pytest

from gateway.core.errors import BackendUnavailable, Overloaded
from gateway.resilience.bulkhead import Bulkhead
from gateway.resilience.policy import Call
from gateway.resilience.stack import stack
from tests.limits import limits


class Room:
    """A bulkhead's calls, as a backend has them in hand: each stays until the door is opened."""

    def __init__(self, size: int) -> None:
        """Begin empty."""
        self.door = asyncio.Event()
        self.inside = 0
        self._policies = stack(limits(1, 60.0), bulkhead=Bulkhead(size))

    def enter(self) -> "asyncio.Task[str]":
        """Make one more call."""
        return asyncio.ensure_future(self._policies(Call(self._stay, 0.0)))

    async def fail(self) -> None:
        """Make a call that fails at once."""

        async def fail() -> None:
            raise BackendUnavailable

        with pytest.raises(BackendUnavailable):
            await self._policies(Call(fail, 0.0))

    async def _stay(self) -> str:
        self.inside += 1
        await self.door.wait()
        self.inside -= 1
        return "answer"


async def let_calls_go_on() -> None:
    """Return when every call has gone as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("size", [1, 2, 20])
async def test_as_many_calls_as_there_is_room_for_and_no_more(size: int) -> None:
    """A backend that is slow is not helped by a crowd."""
    room = Room(size)
    calls = [room.enter() for _ in range(size)]
    await let_calls_go_on()
    for _ in range(3):  # a refused call takes no place, and leaves none
        with pytest.raises(Overloaded, match=f"{size} calls"):
            await room.enter()
    assert room.inside == size
    room.door.set()
    assert await asyncio.gather(*calls) == ["answer"] * size


async def test_call_gives_its_place_back_however_it_ends() -> None:
    """Else a backend's bad hour would end with no room at all."""
    room = Room(1)
    await room.fail()
    cancelled = room.enter()
    await let_calls_go_on()
    cancelled.cancel()
    await asyncio.wait([cancelled])
    room.door.set()
    assert await room.enter() == "answer"
    assert await room.enter() == "answer"
