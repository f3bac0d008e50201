"""Forgetting: a session's records erased in Redis, and in the memory of every gateway at once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.core.errors import QueueUnavailable
from gateway.core.packing import UNREADABLE
from gateway.process.background import Background
from gateway.process.backoff import Backoff
from gateway.queue.jobs import LANE, server_ms
from gateway.records.memory import Sessions
from gateway.telemetry import events
from gateway.wire.keys import Keys
from gateway.wire.link import MSGPACK, RedisLink, Script
from gateway.wire.subscription import Subscription

VOID_KEPT = 300.0
"""Seconds for which the jobs under way for a session that is forgotten cannot write a record any more."""

TOLD_KEPT = 600.0
"""Seconds for which a gateway that was not listening is still told whom to forget."""

FORGET = Script("gateway.forgetting", "forget", MSGPACK, LANE)
_PAGE = 1000
_told = msgspec.msgpack.Decoder(tuple[float, list[str]])


class ForgetArguments(NamedTuple):
    """ARGV of forget.lua, once; the names of the sessions follow."""

    channel: str
    forgotten: str
    told_kept: int
    record: str
    flight: str
    waiters: str
    void_kept: int


def forget_arguments(keys: Keys, names: Sequence[str]) -> tuple[list[str], list[str | int]]:
    """Return the KEYS and ARGV of forget.lua for sessions, as ``session_of`` names them."""
    arguments = ForgetArguments(
        channel=keys.forget(),
        forgotten=keys.forgotten(),
        told_kept=int(TOLD_KEPT * 1000),
        record=keys.record(""),
        flight=keys.flight(""),
        waiters=keys.waiters(""),
        void_kept=int(VOID_KEPT * 1000),
    )
    return [keys.session(name) for name in names], [*arguments, *names]


class Forget:
    """A gateway process's part: it tells all the others, and does what it is told."""

    def __init__(self, link: RedisLink, keys: Keys, sessions: Sessions) -> None:
        """Take the records in memory; nothing is opened yet."""
        self._link = link
        self._keys = keys
        self._sessions = sessions
        self.subscription = Subscription(link, keys.forget(), self._receive, self._listening)
        self._since = 0.0  # all that was told until then is done; ms on the Redis server's clock
        self._unbroken = False  # whether whatever is told after that is heard
        self._catching_up = Background()

    async def __call__(self, name: str) -> int:
        """Forget a session everywhere; return how many of its records Redis held. Raise QueueUnavailable.

        This process's memory is cleared at once, even without Redis.
        """
        self._sessions.erase([name])
        removed = await self._link.run(FORGET, *forget_arguments(self._keys, [name]))
        return int(removed)

    async def catch_up(self) -> float:
        """Do all that was told until now; return the time of the last of it. Raise QueueUnavailable."""
        await self._read(self._since)
        return self._since

    async def start(self, patience: float) -> None:
        """Begin to listen; wait at most ``patience`` seconds until messages can come."""
        await self.subscription.start(patience)

    async def close(self) -> None:
        """Listen no longer."""
        await self.subscription.close()
        await self._catching_up.close()

    def _receive(self, message: bytes) -> None:
        at_ms = self._do(message)
        if self._unbroken:
            self._since = max(self._since, at_ms)

    def _do(self, message: bytes) -> float:
        """Forget whom a message names; return when it was told."""
        try:
            at_ms, names = _told.decode(message)
        except UNREADABLE as error:
            events.forget_unreadable(error=error)
            return 0.0
        self._sessions.erase(names, at_ms)
        return at_ms

    def _listening(self) -> None:
        self._unbroken = False
        self._catching_up.cancel()
        self._catching_up.start(self._catch_up())

    async def _catch_up(self) -> None:
        """Do what was told while nobody listened here."""
        backoff = Backoff()
        while True:
            await self._link.present.wait()
            try:
                if self._since or len(self._sessions):
                    await self._read(self._since)
                else:  # the first time: there is nothing in memory to forget
                    self._since = server_ms(await self._link.execute("TIME"))
            except QueueUnavailable:
                await backoff.pause()
            else:
                self._unbroken = True
                return

    async def _read(self, since: float) -> None:
        offset = 0
        while True:
            page: list[Any] = await self._link.execute(
                "ZRANGEBYSCORE", self._keys.forgotten(), f"({since}", "+inf", "LIMIT", offset, _PAGE
            )
            for message in page:
                self._since = max(self._since, self._do(message))
            if len(page) < _PAGE:
                return
            offset += _PAGE
