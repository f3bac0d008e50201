"""A wire: one connection that many callers share, and that pipelines by itself.

The commands that different callers issue in one turn of the loop leave in one write; answers come back in the
order of the commands (RESP has no identifiers). redis-py opens the connection and parses what comes.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import hiredis
from redis.asyncio.connection import Connection
from redis.exceptions import ReadOnlyError

from gateway.process.patience import Alarm
from gateway.wire.connection import Inbox, transport_of

Command = Sequence[bytes | str | int | float]
Take = Callable[[Any], None]
"""Takes the answer to a command, or an exception in its place; must not raise."""


class Wire:
    """An open connection and the callers that wait on it, oldest first."""

    def __init__(self, connection: Connection, timeout: float) -> None:
        """Take a connection that is open, and the seconds that any one command may take."""
        self._connection = connection
        self._timeout = timeout
        self._transport = transport_of(connection)
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=0)  # uvloop then sends at once
        self._loop = asyncio.get_running_loop()
        self._unsent: list[bytes] = []
        self._waiting: deque[tuple[Take, float]] = deque()
        self._watch: Alarm | None = None
        self._broken: BaseException | None = None

    @property
    def broken(self) -> bool:
        """Whether no answer can come any more."""
        return self._broken is not None

    def send(self, command: Command, take: Take) -> None:
        """Send a command at the end of the turn; ``take`` gets its answer, or what went wrong."""
        if self._broken is not None:
            take(_copied(self._broken))
            return
        if not self._unsent:
            self._loop.call_soon(self.flush)
        self._unsent.append(hiredis.pack_command(tuple(command)))  # type: ignore[arg-type] # stubs: a 1-tuple
        deadline = self._loop.time() + self._timeout
        self._waiting.append((take, deadline))
        if self._watch is None:
            self._watch_until(deadline)

    def flush(self) -> None:
        """Send what has been held back until now."""
        if not self._unsent or self._transport is None:
            return
        if self._transport.is_closing():  # the reader hears of it in a moment; uvloop raises on a write
            self.fail(ConnectionError("the connection was closed"))
            return
        data = b"".join(self._unsent)
        self._unsent.clear()
        self._transport.write(data)

    async def read(self) -> None:
        """Hand answers to their callers until the connection breaks; raise why."""
        try:
            await Inbox(self._connection, self._take).read()
        except asyncio.CancelledError as error:
            self.fail(error)
            raise
        except Exception as error:  # noqa: BLE001 - every end of the reading ends the wire
            self.fail(self._broken or error)
            raise self._broken or error from None

    def fail(self, error: BaseException) -> None:
        """Break the wire: every caller gets ``error``.

        Nothing is sent again. Only a caller knows whether its command is safe to repeat.
        """
        self._broken = error
        if self._watch is not None:
            self._watch.cancel()
        self._unsent.clear()
        while self._waiting:
            take, _ = self._waiting.popleft()
            take(_copied(error))
        if self._transport is not None:
            self._transport.abort()

    def _take(self, answer: object) -> None:
        if isinstance(answer, ReadOnlyError):  # the master no longer: find out who is
            raise answer
        take, _ = self._waiting.popleft()
        take(answer)

    def _watch_until(self, deadline: float) -> None:
        self._watch = Alarm(deadline, self._timeout, partial(self._check, deadline))

    def _check(self, watched: float) -> None:
        """Break the wire when its oldest command has waited too long; one alarm watches them all."""
        self._watch = None
        if not self._waiting:
            return
        deadline = self._waiting[0][1]
        if deadline > watched:
            self._watch_until(deadline)
        else:
            self.fail(TimeoutError(f"no answer within {self._timeout * 1000:.0f} ms"))


def _copied(error: BaseException) -> Exception:
    """Return an error like ``error``: each caller's traceback is its own."""
    if not isinstance(error, Exception):
        return ConnectionError("the connection was closed")
    try:
        return type(error)(*error.args)
    except TypeError:
        return ConnectionError(str(error))
