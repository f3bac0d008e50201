"""The link to Redis: every call capped in time, its loss noticed once, its return noticed by itself."""

import asyncio
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import resources
from typing import Any

from redis.exceptions import NoScriptError

from gateway.core.errors import QueueUnavailable
from gateway.process.backoff import Backoff
from gateway.telemetry import events
from gateway.wire.connection import (
    OUTAGE,
    close_redis,
    connect,
    dedicated_connection,
    hang_up,
    open_redis,
)
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


class RedisLink:
    """One pipelined connection, made again whenever it breaks; all functions in ``losses`` are called then.

    ``restored`` is when it was made again, on the monotonic clock.
    While Redis is lost no call waits for it at all. A call that was under way when the connection broke is
    never sent again: it may have run.
    """

    def __init__(self, url: str, timeout: float) -> None:
        """Take the cap on any single call, in seconds; nothing is opened yet."""
        self.timeout = timeout
        self.redis = open_redis(url, timeout)
        self.present = asyncio.Event()
        self.losses: list[Callable[[], None]] = []
        self.restored = -math.inf
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
        await self._tried.wait()

    def execute(self, *command: bytes | str | float) -> "asyncio.Future[Any]":
        """Send a command at the end of the turn; the future gets the answer, or raises QueueUnavailable."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._send(command, partial(_resolve, future))
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
                self._send(("EVAL", script.text, *tail), partial(_resolve, future))
            else:
                _resolve(future, answer)

        self._send(("EVALSHA", script.digest, *tail), take)
        if self._wire is not None:
            self._wire.flush()
        return future

    async def close(self) -> None:
        """Close the connections."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
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
            try:
                await connect(connection, self.timeout)
                self._wire = Wire(connection, self.timeout)
                self._note_present()
                backoff.reset()
                await self._wire.read()
            except OUTAGE as error:
                self._note_lost(error)
            finally:
                self._wire = None
                self.present.clear()
                await hang_up(connection)
            await backoff.pause()

    def _note_present(self) -> None:
        self.present.set()
        self._tried.set()
        if self._lost:
            self._lost = False
            self.restored = time.monotonic()
            events.redis_restored()

    def _note_lost(self, error: BaseException) -> None:
        self._tried.set()
        if not self._lost:
            self._lost = True
            events.redis_lost(error=error)
            for notice in self.losses:
                notice()


def _resolve(future: "asyncio.Future[Any]", answer: object) -> None:
    """Give a caller the answer to its command; an error is raised there as QueueUnavailable."""
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
