"""Policies driven by hand: calls that are not made; a fleet whose messages come late, twice, or never."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.resilience.board import Board, Decide, Entry
from gateway.resilience.policy import Call, Policy
from tests.clock import ManualClock

FAR = 1e9


def call(deadline: float = FAR) -> Call:
    """Return a call that is not made."""
    return Call(lambda: pytest.fail("it was asked"), deadline)


def admit(policy: Policy, one: Call) -> None:
    """Let a call go on; raise what refuses it. Without Redis nothing waits."""
    waiting = policy.admit(one)
    if waiting is not None:
        with pytest.raises(StopIteration):
            waiting.__await__().send(None)


class Server:
    """The entries as Redis holds them, each with its version, and the boards of all processes."""

    def __init__(self) -> None:
        """Begin empty."""
        self.entries: dict[str, tuple[float, Any]] = {}
        self.boards: list[SimulatedBoard] = []

    def swap(self, name: str, expected: float, value: Any) -> bool:  # noqa: ANN401 - any entry
        """Do what swap.lua does; put a message into the box of each board."""
        version = self.entries.get(name, (0.0, None))[0]
        if version != expected:
            return False
        self.entries[name] = version + 1, value
        for board in self.boards:
            board.box.append((name, version + 1, value))
        return True


class SimulatedBoard(Board):
    """The board of one process. A change is seen by others when its message is delivered."""

    def __init__(self, server: Server, clock: ManualClock) -> None:
        """Join the fleet."""
        super().__init__(clock)
        self.box: list[tuple[str, float, Any]] = []
        self._server = server
        server.boards.append(self)

    def deliver(self, number: int, *, keep: bool = False) -> None:
        """Take a message of the box, which may ``keep`` it to bring it once more."""
        if self.box:
            at = number % len(self.box)
            name, version, value = self.box[at]
            if not keep:
                del self.box[at]
            if (entry := self._entries.get(name)) is not None and version > entry.version:
                entry.put(value, version)

    async def change(self, entry: Entry[Any], decide: Decide[Any]) -> Any:  # noqa: ANN401
        """Change an entry as the board of the fleet does."""
        return self._change(entry, decide)

    def change_soon(self, entry: Entry[Any], decide: Decide[Any], done: Callable[[Any], None]) -> None:
        """Change an entry at once."""
        if (value := self._change(entry, decide)) is not None:
            done(value)

    def _change(self, entry: Entry[Any], decide: Decide[Any]) -> Any:  # noqa: ANN401
        while True:
            value = decide(entry.value, self.now())
            if value is None:
                return None
            done = self._server.swap(entry.name, entry.version, value)
            version, now = self._server.entries[entry.name]
            entry.put(now, version)
            if done:
                return value
