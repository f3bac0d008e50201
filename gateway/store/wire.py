"""A wire: one connection that many callers share, and that pipelines by itself.

The commands that different callers issue in one turn of the loop leave in one write; answers come back in the
order of the commands (RESP has no identifiers). redis-py opens the connection and parses what comes.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import hiredis
from redis.asyncio.connection import Connection
from redis.exceptions import ReadOnlyError, ResponseError

Command = Sequence[bytes | str | int | float]


class Wire:
    """An open connection and the callers that wait on it, oldest first."""

    def __init__(self, connection: Connection, timeout: float) -> None:
        """Take a connection that is open, and the seconds that any one command may take."""
        self._connection = connection
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._unsent: list[bytes] = []
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._broken: BaseException | None = None

    @property
    def broken(self) -> bool:
        """Whether no answer can come any more."""
        return self._broken is not None

    def execute(self, command: Command) -> "asyncio.Future[Any]":
        """Send a command; the future gets its answer, or the error of the server or of the wire."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._broken is not None:
            future.set_exception(self._broken)
            return future
        if not self._unsent:
            self._loop.call_soon(self._flush)
        packed = hiredis.pack_command(tuple(command))  # type: ignore[arg-type] # stubs: a 1-tuple
        self._unsent.append(packed)
        deadline = self._loop.time() + self._timeout
        self._waiting.append((future, deadline))
        if self._watch is None:
            self._watch = self._loop.call_at(deadline, self._check)
        return future

    async def read(self) -> None:
        """Hand answers to their callers until the connection breaks; raise why."""
        read_response = self._connection.read_response
        try:
            while True:
                try:
                    answer = await read_response(disconnect_on_error=False)
                except ReadOnlyError:  # this server is the master no longer: find out who is
                    raise
                except ResponseError as error:
                    self._take(error)
                else:
                    self._take(answer)
        except asyncio.CancelledError as error:
            self.fail(error)
            raise
        except Exception as error:  # noqa: BLE001 - whatever ends the reading ends the wire
            self.fail(self._broken or error)
            raise self._broken or error from None

    def fail(self, error: BaseException) -> None:
        """Break the wire: every caller gets ``error``. Nothing is sent again; who may repeat, knows it."""
        self._broken = error
        if self._watch is not None:
            self._watch.cancel()
        self._unsent.clear()
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(_copied(error))
        if self._connection._writer is not None:  # noqa: SLF001 - redis-py has no word for it
            self._connection._writer.transport.abort()  # noqa: SLF001

    def _take(self, answer: object) -> None:
        future, _ = self._waiting.popleft()
        if future.done():
            return
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _flush(self) -> None:
        writer = self._connection._writer  # noqa: SLF001 - redis-py writes one command at a time
        if self._unsent and writer is not None:
            data = b"".join(self._unsent)
            self._unsent.clear()
            writer.write(data)

    def _check(self) -> None:
        """Break the wire when its oldest command has waited too long; one timer watches them all."""
        self._watch = None
        if not self._waiting:
            return
        deadline = self._waiting[0][1]
        if self._loop.time() < deadline:
            self._watch = self._loop.call_at(deadline, self._check)
        else:
            self.fail(TimeoutError(f"no answer within {self._timeout * 1000:.0f} ms"))


def _copied(error: BaseException) -> BaseException:
    """Return an error like ``error``: each caller's traceback is its own."""
    if isinstance(error, asyncio.CancelledError):
        return ConnectionError("the connection was closed")
    try:
        return type(error)(*error.args)
    except TypeError:
        return ConnectionError(str(error))
