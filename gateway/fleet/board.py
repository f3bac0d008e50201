"""The board that all processes share through Redis: see ``resilience/board.py``.

An entry is a key. A change is a compare-and-set by swap.lua, which publishes the new value to all processes.
So a read costs nothing, and a change one round trip. Changes are rare: a breaker opens, a token is renewed.

A message may be late, lost, or come twice. An older version is ignored; when a subscription begins anew, all
entries are read. A late message tells a time that has passed: then only a question tells the server's time.
If Redis has lost an entry, a process that knows it writes it again: the entry of a token has the one refresh
token that is good. A value has its own times in it, so an old one changes nothing wrong.

While Redis is lost or refuses to write, each process decides for itself.
"""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

from gateway.core.errors import QueueUnavailable
from gateway.core.packing import UNREADABLE, finite, pack
from gateway.process.background import Background
from gateway.resilience.board import Board, Decide, Entry
from gateway.telemetry import events
from gateway.wire.keys import Keys
from gateway.wire.link import MSGPACK, RedisLink, Script
from gateway.wire.subscription import Subscription

T = TypeVar("T", bound=msgspec.Struct)

ENTRY_KEPT = 86_400.0
"""Seconds for which an entry that nobody changes is kept."""

_TRIES = 5
_LATE = 0.5
SWAP = Script("gateway.fleet", "swap", MSGPACK)
_messages = msgspec.msgpack.Decoder(tuple[float, str, msgspec.Raw])
_versions = msgspec.msgpack.Decoder(tuple[float, msgspec.Raw])


class SwapKeys(NamedTuple):
    """KEYS of swap.lua."""

    entry: str


class SwapArguments(NamedTuple):
    """ARGV of swap.lua."""

    channel: str
    name: str
    expected: float
    value: bytes
    kept: int


class FleetBoard(Board):
    """The board of one process of the fleet. Its clock is that of the Redis server."""

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        """Take the way to Redis; nothing is opened yet."""
        super().__init__()
        self._link, self._keys = link, keys
        self._ahead = time.time() - time.monotonic()  # until the server's clock is known
        self._subscription = Subscription(link, keys.fleet(), self._receive, self._listening)
        self._work = Background()

    async def start(self, patience: float) -> None:
        """Begin to listen; wait at most ``patience`` seconds until messages can come."""
        await self._subscription.start(patience)

    async def close(self) -> None:
        """Listen no longer."""
        await self._subscription.close()
        await self._work.close()

    async def read(self) -> None:
        """Read every entry that is in use here, for a process that does not listen."""
        await self._read([*self._entries.values()])

    def now(self) -> float:
        """Return the seconds on the server's clock."""
        return time.monotonic() + self._ahead

    def entry(self, name: str, usual: T) -> Entry[T]:
        """Return the entry of this name; it is read soon, if it is new here."""
        if (known := self._entries.get(name)) is not None:
            return known
        entry = super().entry(name, usual)
        if self._subscription.present.is_set():
            self._work.start(self._read([entry]))
        return entry

    async def change(self, entry: Entry[T], decide: Decide[T]) -> T | None:
        """Change an entry: see :meth:`Entry.change`."""
        try:
            return await self.change_for_all(entry, decide)
        except QueueUnavailable:
            return self.change_here(entry, decide)

    async def change_for_all(self, entry: Entry[T], decide: Decide[T]) -> T | None:
        """Change an entry: see :meth:`Entry.change_for_all`."""
        for _ in range(_TRIES):
            value = decide(entry.value, self.now())
            if value is None:
                return None
            arguments = SwapArguments(
                channel=self._keys.fleet(),
                name=entry.name,
                expected=entry.version,
                value=pack(value),
                kept=int(ENTRY_KEPT * 1000),
            )
            sent = time.monotonic()
            reply = await self._link.run(SWAP, SwapKeys(self._keys.board(entry.name)), arguments)
            self._note_time(int(reply[0]) + int(reply[1]) / 1e6, sent)
            if reply[3]:
                self._take(entry, reply[3], anew=True)
            else:
                entry.put(entry.value, 0.0)  # Redis has lost it, or it has lapsed: what is known here counts
            if reply[2]:
                return value
        return None

    def change_soon(self, entry: Entry[T], decide: Decide[T], done: Callable[[T], None]) -> None:
        """Begin to change an entry: see :meth:`Entry.change_soon`."""
        if decide(entry.value, self.now()) is not None:
            self._work.start(self._change(entry, decide, done))

    async def _change(self, entry: Entry[T], decide: Decide[T], done: Callable[[T], None]) -> None:
        if (value := await self.change(entry, decide)) is not None:
            done(value)

    def _receive(self, message: bytes) -> None:
        try:
            now_ms, name, data = _messages.decode(message)
            now = finite(now_ms) / 1000
        except UNREADABLE as error:
            events.fleet_unreadable(entry="", error=error)
            return
        if now < self.now() - _LATE:  # or the server's clock was set back
            self._listening()
        else:
            self._note_time(now)
        if (entry := self._entries.get(name)) is not None:
            self._take(entry, bytes(data))

    def _listening(self) -> None:
        self._work.start(self._read([*self._entries.values()]))

    async def _read(self, entries: list[Entry[Any]]) -> None:
        """Read entries whose messages may have been missed. Write those that Redis has lost."""
        if not entries:
            return
        sent = time.monotonic()
        asked = self._link.execute("TIME"), self._link.execute("MGET", *map(self._key, entries))
        try:
            now, found = await asked[0], await asked[1]
        except QueueUnavailable:  # a new subscription will read them
            return
        self._note_time(int(now[0]) + int(now[1]) / 1e6, sent)
        for entry, data in zip(entries, found, strict=True):
            if data is not None:
                self._take(entry, data)
            elif entry.version:
                self._work.start(self._restore(entry))

    async def _restore(self, entry: Entry[Any]) -> None:
        """Write an entry as it is known here, unless another process is first."""
        known = entry.value
        await self.change(entry, lambda value, _: value if value is known else None)

    def _key(self, entry: Entry[Any]) -> str:
        return self._keys.board(entry.name)

    def _take(self, entry: Entry[Any], data: bytes, *, anew: bool = False) -> None:
        """Take an entry as Redis has it, unless a younger one is known here; ``anew``: in any case."""
        version, value = 0.0, entry.usual
        try:
            at, encoded = _versions.decode(data)
            version = finite(at)
            if version <= entry.version and not (anew and version != entry.version):
                return
            value = msgspec.msgpack.decode(encoded, type=type(entry.usual))
        except UNREADABLE as error:  # the next change writes it anew
            events.fleet_unreadable(entry=entry.name, error=error)
        entry.put(value, version)

    def _note_time(self, server: float, sent: float = -math.inf) -> None:
        """Take the server's time, which it told at some moment since ``sent``; maybe that was long ago."""
        self._ahead = max(server - time.monotonic(), min(server - sent, self._ahead))
