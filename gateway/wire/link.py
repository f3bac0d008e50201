"""The link to Redis: every call capped in time, its loss noticed once, its return noticed by itself."""

import asyncio
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import resources
from typing import Any

from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError

from gateway.core.errors import QueueUnavailable
from gateway.process.background import end
from gateway.process.backoff import Backoff
from gateway.process.vital import guard
from gateway.telemetry import events
from gateway.wire.connection import (
    OUTAGE,
    close_redis,
    connect,
    dedicated_connection,
    hang_up,
    open_redis,
)
from gateway.wire.keys import Keys
from gateway.wire.refusals import REFUSES, Refusals, told, words_of
from gateway.wire.wire import Wire


def read_lua(package: str, name: str) -> str:
    """Return the text of ``lua/NAME.lua`` of a package."""
    return resources.files(package).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


MSGPACK = read_lua("gateway.wire", "msgpack")
"""The prelude of every script that writes or reads msgpack."""


class Script:
    """One Lua script, sent by its digest, and whole when the server does not know it.

    Each script says in its head what its KEYS, ARGV and reply are, and names them all. Its wrapper in Python
    names them in the same order, in NamedTuples; tests/unit/test_scripts.py compares the two.
    """

    def __init__(self, package: str, name: str, *preludes: str) -> None:
        """Load ``lua/NAME.lua`` of a package behind the texts of its preludes."""
        self.text = "".join((*preludes, read_lua(package, name)))
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


PROBE = Script("gateway.wire", "probe")


class RedisLink:
    """One pipelined connection, made again whenever it breaks; all functions in ``losses`` are called then.

    When it has been made again all functions in ``returns`` are called, and ``restored`` is the time of that,
    on the monotonic clock.
    While Redis is lost no call waits for it at all. A call that was under way when the connection broke is
    never sent again: it may have run.
    """

    def __init__(
        self,
        url: str,
        timeout: float,
        connect_timeout: float = 2.0,
        keys: Keys | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        """Take the caps on a single call and on a new connection, in seconds; nothing is opened yet.

        ``keys`` has the key to try a server with, before it counts as present. A ``quiet`` link does not tell
        of losses: it is a second one of its process.
        """
        self._quiet = quiet
        self.timeout, self.connect_timeout = timeout, connect_timeout
        self._keys = keys
        self.refusals = Refusals()
        self.redis = open_redis(url, timeout, connect_timeout=connect_timeout)
        self.present = asyncio.Event()
        self.losses: list[Callable[[], None]] = []
        self.returns: list[Callable[[], None]] = []
        self.restored = -math.inf
        self.failure: BaseException | None = None
        """Why Redis could not be reached, or was lost; None while it is there."""
        self._wire: Wire | None = None
        self._lost = False
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def lost(self) -> bool:
        """Whether Redis cannot be reached at the moment."""
        return self._wire is None or self._wire.broken

    async def start(self) -> None:
        """Connect, and stay connected; return after the first try, even if it failed."""
        self._task = asyncio.create_task(self._stay_connected())
        guard(self._task, "the connection to Redis")
        await self._tried.wait()

    def execute(self, *command: bytes | str | float) -> "asyncio.Future[Any]":
        """Send a command at the end of the turn; the future gets the answer, or raises QueueUnavailable."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._send(command, partial(self._resolve, future))
        return future

    def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | float]
    ) -> "asyncio.Future[Any]":
        """Send a script at once; the future gets its reply, or raises QueueUnavailable.

        A server that answers ``NOSCRIPT``, as after a restart, ran nothing: sending the whole is safe.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        tail = (len(keys), *keys, *arguments)

        def take(answer: object) -> None:
            if isinstance(answer, NoScriptError):
                self._send(("EVAL", script.text, *tail), partial(self._resolve, future))
            else:
                self._resolve(future, answer)

        self._send(("EVALSHA", script.digest, *tail), take)
        if self._wire is not None:
            self._wire.flush()
        return future

    async def probe(self, keys: Keys | None = None) -> None:
        """Try what every script does; raise QueueUnavailable if the server refuses it.

        ``keys`` has the key to try it with, for a link that was made without.
        """
        await self.run(PROBE, *self._probe_arguments(keys))

    def why(self, error: QueueUnavailable) -> str:
        """Return why a call failed, for people: Redis is away, has refused it, or was too slow."""
        if self.lost:
            failure = "the connection broke" if self.failure is None else words_of(self.failure)
            return f"Redis cannot be reached: {failure}"
        if isinstance(cause := error.__cause__, ResponseError):
            return f"{REFUSES}{told(cause)}"
        return str(error)

    async def close(self) -> None:
        """Close the connections."""
        if self._task is not None:
            await end(self._task)
        await close_redis(self.redis)

    def _send(self, command: Sequence[bytes | str | float], take: Callable[[Any], None]) -> None:
        if self._wire is None or self._wire.broken:
            take(QueueUnavailable("Redis is lost"))
        else:
            self._wire.send(command, take)

    async def _stay_connected(self) -> None:
        backoff = Backoff()
        while True:
            connection = dedicated_connection(self.redis)
            reading: asyncio.Task[None] | None = None
            try:
                await connect(connection, self.connect_timeout)
                wire = Wire(connection, self.timeout)
                reading = asyncio.create_task(wire.read())
                await asyncio.sleep(0)  # the reader takes over the transport before there is an answer
                await self._try_out(wire)
                self._wire = wire
                self._note_present()
                backoff.reset()
                await reading
            except OUTAGE as error:
                self.failure = error
                self.refusals.note(error)
                self._note_lost(error)
            finally:
                self._wire = None
                self.present.clear()
                await hang_up(connection)  # first: it closes before it waits
                if reading is not None:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
            await backoff.pause()

    async def _try_out(self, wire: Wire) -> None:
        """Raise what :data:`OUTAGE` names if the server cannot be of use.

        A server that refuses only to write, for want of memory or rights, can still be read: it is present.
        One that loads its data, or is no master, is not.
        """
        if self._keys is None:
            return
        asked: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        keys, arguments = self._probe_arguments()
        wire.send(("EVAL", PROBE.text, len(keys), *keys, *arguments), asked.set_result)
        wire.flush()
        answer = await asked
        if isinstance(answer, ResponseError) and not isinstance(answer, ReadOnlyError):
            self.refusals.note(answer)
        elif isinstance(answer, Exception):
            raise answer

    def _probe_arguments(self, keys: Keys | None = None) -> tuple[list[str], list[str]]:
        known = keys or self._keys
        probe = known.probe() if known is not None else "probe"
        return [probe, "arq:job:probe"], [probe]

    def _note_present(self) -> None:
        self.failure = None
        self.present.set()
        self._tried.set()
        if self._lost:
            self._lost = False
            self.restored = time.monotonic()
            if not self._quiet:
                events.redis_restored()
            for notice in self.returns:
                notice()

    def _note_lost(self, error: BaseException) -> None:
        self._tried.set()
        if not self._lost:
            self._lost = True
            if not self._quiet:
                events.redis_lost(error=error)
            for notice in self.losses:
                notice()

    def _resolve(self, future: "asyncio.Future[Any]", answer: object) -> None:
        """Give a caller the answer to its command; an error is raised there as QueueUnavailable."""
        if isinstance(answer, RedisError):
            self.refusals.note(answer)
        if future.done():  # its caller has gone
            return
        if not isinstance(answer, Exception):
            future.set_result(answer)
            return
        error = answer
        if not isinstance(answer, QueueUnavailable):
            error = QueueUnavailable(f"Redis did not answer: {type(answer).__name__}")
            error.__cause__ = answer
        future.set_exception(error)
        future.exception()  # a caller that has gone must not be reported as one that forgot
