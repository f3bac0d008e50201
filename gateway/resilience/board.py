"""The board: what all processes of the fleet know alike, such as a pause or a token.

An entry is read locally, at no cost. It is changed by a decision: a pure function of its value and the time.
The decision is taken again if another process was first, so it always sees the value that it changes.

This board is of one process. ``fleet/board.py`` has the one that processes share through Redis.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar
from uuid import uuid4

import msgspec

from gateway.process.clock import MONOTONIC, Clock

T = TypeVar("T", bound=msgspec.Struct)

Decide = Callable[[T, float], T | None]
"""Returns the value that an entry gets at this time, on the board's clock; None: it stays as it is."""


class Entry(Generic[T]):
    """One value of the board. An entry that nobody has changed yet has its ``usual`` value.

    ``version`` grows with each change, in the whole fleet.
    """

    def __init__(self, board: "Board", name: str, usual: T) -> None:
        """Begin with the usual value."""
        self.name = name
        self.usual = self.value = usual
        self.version = 0.0
        self._board = board
        self._watchers: list[Callable[[], None]] = []

    def put(self, value: T, version: float) -> None:
        """Take a value that the board has decided on. Only a board calls this."""
        self.value, self.version = value, version
        for watcher in self._watchers:
            watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` after each change."""
        self._watchers.append(watcher)

    async def change(self, decide: Decide[T]) -> T | None:
        """Change the value as ``decide`` says; return it, or None if it stays or others were first."""
        return await self._board.change(self, decide)

    async def change_for_all(self, decide: Decide[T]) -> T | None:
        """Do the same, but never for this process alone: raise QueueUnavailable instead."""
        return await self._board.change_for_all(self, decide)

    def change_soon(self, decide: Decide[T], done: Callable[[T], None] = lambda _: None) -> None:
        """Begin the same and return at once; ``done`` gets the value if it was changed."""
        self._board.change_soon(self, decide, done)


class Board:
    """A board of one process. Its clock counts seconds."""

    def __init__(self, clock: Clock = MONOTONIC) -> None:
        """Begin empty. ``me`` is the name of this process on the board."""
        self.me = uuid4().hex[:12]
        self._clock = clock
        self._entries: dict[str, Entry[Any]] = {}
        self._workers: dict[str, int] = {}

    def now(self) -> float:
        """Return the time on the board's clock."""
        return self._clock.now()

    def entry(self, name: str, usual: T) -> Entry[T]:
        """Return the entry of this name, the same one each time that it is asked for."""
        return self._entries.setdefault(name, Entry(self, name, usual))

    def workers(self, lane: str) -> int:
        """Return the number of worker processes of a lane, as far as it is known here; at least 1."""
        return self._workers.get(lane, 1)

    def note_workers(self, lane: str, number: int) -> None:
        """Note the number of worker processes of a lane."""
        self._workers[lane] = max(1, number)

    async def change(self, entry: Entry[T], decide: Decide[T]) -> T | None:
        """Change an entry: see :meth:`Entry.change`."""
        return self.change_here(entry, decide)

    async def change_for_all(self, entry: Entry[T], decide: Decide[T]) -> T | None:
        """Change an entry: see :meth:`Entry.change_for_all`."""
        return self.change_here(entry, decide)

    def change_soon(self, entry: Entry[T], decide: Decide[T], done: Callable[[T], None]) -> None:
        """Begin to change an entry: see :meth:`Entry.change_soon`."""
        if (value := self.change_here(entry, decide)) is not None:
            done(value)

    def change_here(self, entry: Entry[T], decide: Decide[T]) -> T | None:
        """Change an entry in this process alone."""
        value = decide(entry.value, self.now())
        if value is not None:
            entry.put(value, entry.version)
        return value
