"""Forgetting: the records of a session erased, in Redis and in the memory of every gateway at once."""

import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from gateway.core.errors import QueueUnavailable
from gateway.core.packing import UNREADABLE, finite
from gateway.core.records import session_of
from gateway.process.background import Background
from gateway.process.backoff import Backoff
from gateway.queue.jobs import LANE, server_ms
from gateway.records.memory import RecordMemory
from gateway.telemetry import events
from gateway.wire.keys import Keys, pattern_of
from gateway.wire.link import MSGPACK, RedisLink, Script
from gateway.wire.subscription import Subscription

VOID_KEPT = 300.0
"""Seconds for which nothing is written that began before a session was forgotten: no record, no history."""

MESSAGES_KEPT = 600.0
"""Seconds for which a message is kept for a gateway that does not listen when it is sent."""

FORGET = Script("gateway.forgetting", "forget", MSGPACK, LANE)
_PAGE = 1000
_NAMES_AT_ONCE = 100
_MOST_DONE = 10_000
_MARGIN = 10.0  # for a server that was silent before that was noticed
_messages = msgspec.msgpack.Decoder(tuple[float, list[str]])


class ForgetArguments(NamedTuple):
    """ARGV of forget.lua, once; the names of the sessions follow."""

    channel: str
    forgotten: str
    messages_kept: int
    record: str
    flight: str
    waiters: str
    void_kept: int
    history: str
    histories: str
    void: str
    last: str


def forget_arguments(keys: Keys, names: Sequence[str]) -> tuple[list[str], list[str | int]]:
    """Return the KEYS and ARGV of forget.lua for sessions, as ``session_of`` names them."""
    arguments = ForgetArguments(
        channel=keys.forget(),
        forgotten=keys.forgotten(),
        messages_kept=int(MESSAGES_KEPT * 1000),
        record=keys.record(""),
        flight=keys.flight(""),
        waiters=keys.waiters(""),
        void_kept=int(VOID_KEPT * 1000),
        history=keys.history(""),
        histories=keys.histories(),
        void=keys.void(""),
        last=keys.last_forgotten(),
    )
    return [keys.session(name) for name in names], [*arguments, *names]


async def forgotten_since(link: RedisLink, keys: Keys, ms: float) -> set[str]:
    """Return the names of the sessions and users that were forgotten after ``ms``; raise QueueUnavailable."""
    found: list[bytes] = await link.execute("ZRANGEBYSCORE", keys.forgotten(), f"({ms}", "+inf")
    names: set[str] = set()
    for message in found:
        with suppress(*UNREADABLE):
            names.update(_messages.decode(message)[1])
    return names


async def forget_again(link: RedisLink, keys: Keys, names: Collection[str]) -> None:
    """Forget sessions and users that Redis knows again, after a failover to one that had not heard of it.

    No index may name their records, so all keys are looked at. Raise QueueUnavailable.
    """
    first, cursor = keys.record(""), b"0"
    while True:
        cursor, page = await link.execute("SCAN", cursor, "MATCH", f"{pattern_of(first)}*", "COUNT", _PAGE)
        theirs = [
            key for key in page if session_of(key.decode(errors="replace").removeprefix(first)) in names
        ]
        if theirs:
            await link.execute("UNLINK", *theirs)
        if cursor == b"0":
            break
    listed = sorted(names)
    for start in range(0, len(listed), _NAMES_AT_ONCE):
        await link.run(FORGET, *forget_arguments(keys, listed[start : start + _NAMES_AT_ONCE]))


class Forgetter:
    """A gateway process's part in forgetting: it sends messages to all gateways, and acts on theirs.

    It remembers the messages for as long as Redis keeps them. If a failover loses one, it forgets them again.
    Times are ms on the Redis server's clock.
    """

    def __init__(self, link: RedisLink, keys: Keys, memory: RecordMemory) -> None:
        """Take the records in memory; nothing is opened yet."""
        self._link = link
        self._keys = keys
        self._memory = memory
        self.subscription = Subscription(link, keys.forget(), self._receive, self._listening)
        self._since = 0.0  # all messages until then have been acted on
        self._done: OrderedDict[bytes, float] = OrderedDict()  # messages acted on, and when
        self._unbroken = False  # True if every message after that is heard
        # No message until then is missing, whatever became of the others.
        self._read_at = memory.be_told_by(lambda: self._complete_until)
        self._catching_up = Background()

    async def forget(self, name: str) -> int:
        """Forget a session everywhere; return how many of its records Redis held. Raise QueueUnavailable.

        This process's memory is cleared at once, even without Redis.
        """
        self._memory.erase([name])
        removed, message = await self._link.run(FORGET, *forget_arguments(self._keys, [name]))
        self._act(message)
        return int(removed)

    async def catch_up(self) -> float:
        """Act on all messages until now; return the time of the last one. Raise QueueUnavailable."""
        await self._read()
        return self._since

    async def start(self, patience: float) -> None:
        """Begin to listen; wait at most ``patience`` seconds until messages can come."""
        await self.subscription.start(patience)

    async def close(self) -> None:
        """Listen no longer."""
        await self.subscription.close()
        await self._catching_up.close()

    def _receive(self, message: bytes) -> None:
        at_ms = self._act(message)
        if self._unbroken:
            self._since = max(self._since, at_ms)

    def _act(self, message: bytes) -> float:
        """Forget the sessions and users that a message names; return when it was sent."""
        try:
            at_ms, names = _messages.decode(message)
            finite(at_ms)
        except UNREADABLE as error:
            events.forget_unreadable(error=error)
            return 0.0
        if message not in self._done:
            self._memory.erase(names, at_ms)
            self._done[message] = time.monotonic()
            if len(self._done) > _MOST_DONE:
                self._done.popitem(last=False)
        return at_ms

    @property
    def _complete_until(self) -> float:
        """When no message was missing, on the monotonic clock."""
        return max(self._read_at, self.subscription.heard) if self._unbroken else self._read_at

    def _listening(self) -> None:
        self._read_at = self._complete_until
        self._unbroken = False
        self._catching_up.cancel()
        self._catching_up.start(self._catch_up())

    async def _catch_up(self) -> None:
        """Act on the messages that came while this process did not listen."""
        backoff = Backoff()
        while True:
            await self._link.present.wait()
            try:
                if self._done or self._since or len(self._memory):
                    await self._read()
                else:  # the first time: there is nothing in memory to forget
                    self._since = float(await self._link.execute("GET", self._keys.last_forgotten()) or 0.0)
            except QueueUnavailable:
                await backoff.pause()
            else:
                self._unbroken = True
                return

    async def _read(self) -> None:
        """Act on the messages after those that were acted on, and pass over those that cannot be read.

        After a break all that Redis has are read: it may be another server. Redis keeps messages for a while
        alone. If one may be gone by now, all records in memory are forgotten.
        """
        complete, reading = self._complete_until, time.monotonic()
        now, last = self._link.execute("TIME"), self._link.execute("GET", self._keys.last_forgotten())
        now_ms, last_ms = server_ms(await now), float(await last or 0.0)
        deaf_for = reading - complete
        if deaf_for > MESSAGES_KEPT - _MARGIN and last_ms > now_ms - deaf_for * 1000:
            self._memory.clear(now_ms)
        whole = not self._unbroken
        since = 0.0 if whole else self._since
        newest, there = max(since, last_ms) if whole else since, set[bytes]()
        while True:
            page: list[Any] = await self._link.execute(
                "ZRANGEBYSCORE", self._keys.forgotten(), f"({since}", "+inf", "WITHSCORES", "LIMIT", 0, _PAGE
            )
            for message, sent_ms in zip(page[::2], page[1::2], strict=True):
                self._act(message)
                since = float(sent_ms)
            newest = max(newest, since)
            there.update(page[::2])
            if len(page) < 2 * _PAGE:
                break
        if whole:
            await self._make_good(there, reading)
        self._since, self._read_at = newest, reading

    async def _make_good(self, there: Collection[bytes], until: float) -> None:
        """Forget again whom Redis does not know to be forgotten: a failover has lost the messages."""
        since = time.monotonic() - MESSAGES_KEPT + _MARGIN
        lost = [one for one, at in self._done.items() if since < at < until and one not in there]
        if lost:
            names = {name for one in lost for name in _messages.decode(one)[1]}
            await forget_again(self._link, self._keys, names)
        for message in lost:
            self._done.pop(message, None)
