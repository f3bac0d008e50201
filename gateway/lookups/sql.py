"""SQL lookups: one read-only transaction an attempt, over a pool of connections.

The statement has bound parameters alone. Its time limit is set in the database for the transaction, so it
ends there, too. Nothing of a session is relied on: PgBouncer may give each transaction another one.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gateway.core.errors import BackendUnavailable, BadBackendReply, LookupFailed, Overloaded, TimedOut
from gateway.core.messages import Ask
from gateway.declared.backend import Backend
from gateway.declared.lookup import Lookup
from gateway.lookups.other_answers import interpret_rows
from gateway.lookups.reply import Finding
from gateway.lookups.sql_errors import failure_of
from gateway.lookups.sql_values import as_value, read_document, size_of
from gateway.process.background import Background, end

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry

_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+asyncmy", "sqlite": "sqlite+aiosqlite"}
MOST_ROWS = 1000
"""Most rows of an answer."""

ENDING = 0.5
"""Most seconds in which a database ends a statement that nobody waits for any more."""

_RECYCLE = 1800.0
_WHOLE_ATTEMPT = 0.9
"""Part of an attempt's time after which a connection that has said nothing counts as silent."""

_STEPS = 1000
"""Steps of SQLite's machine after which it looks whether anybody still waits: some microseconds."""

_Running = asyncio.Task[list[dict[str, Any]]]


@dataclass(eq=False, slots=True)
class _Attempt:
    """What is known of an attempt that runs."""

    given_up: threading.Event = field(default_factory=threading.Event)
    ending: bool = False
    sent: float | None = None
    """When its first words went out, None if it has no connection yet."""


class SqlBackend:
    """A database. It makes one attempt a call."""

    def __init__(self, declared: Backend, name: str = "") -> None:
        """Take its declaration; connections are opened as they are needed.

        Raise ImportError if the packages of the extra ``sql`` are not there.
        """
        try:
            from sqlalchemy import event, text  # noqa: PLC0415 - an extra: most deployments do without
            from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415
        except ImportError:
            msg = f"backends.{name}: needs SQLAlchemy and a driver: install deskgate[sql]"
            raise ImportError(msg) from None
        self._text, self._name = text, name
        self._scheme, _, rest = str.__add__("", declared.url).partition(":")
        self._limit = float(declared.attempt_timeout)
        self._limit_ms = int(self._limit * 1000)
        self._max_reply = declared.max_reply
        self._running: dict[_Running, _Attempt] = {}
        self._ends = Background()
        self._heard = 0.0  # when the database has last said a word, on whichever connection
        self._distrusted = 0.0  # connections that were made before are not used any more
        arguments: dict[str, Any] = {}
        settings: dict[str, Any] = {}
        if self._scheme == "sqlite":
            # SQLAlchemy reads the escapes of the address once, SQLite those of the path once more.
            path = quote(quote(rest.removeprefix("///")))
            rest = f"///file:{path}?mode=ro&uri=true"
            # One that waits for a lock cannot be interrupted.
            arguments = {"timeout": declared.attempt_timeout / 2}
        elif self._scheme == "postgresql":
            arguments = {"prepare_threshold": None}  # a prepared statement belongs to a session
            settings = {"json_deserializer": read_document}
        try:
            self._engine = create_async_engine(
                f"{_DRIVERS[self._scheme]}:{rest}",
                pool_size=declared.concurrency,
                max_overflow=0,
                pool_timeout=self._limit,
                pool_recycle=_RECYCLE,
                hide_parameters=True,
                connect_args=arguments,
                **settings,
            )
        except ImportError as error:
            msg = f"backends.{name}: the driver cannot be imported ({error.name}): install deskgate[sql]"
            raise ImportError(msg) from None
        event.listen(self._engine.sync_engine, "connect", _note_when_made)
        event.listen(self._engine.sync_engine, "checkout", self._check_when_made)
        for logger in ("psycopg", "asyncmy", "sqlalchemy.pool"):  # they write beside the log, in other words
            logging.getLogger(logger).setLevel(logging.CRITICAL + 1)

    async def start(self) -> None:
        """Do nothing: connections are opened as they are needed."""

    async def close(self) -> None:
        """End what runs and close the connections."""
        for task in tuple(self._running):
            self._give_up(task)
        if self._running:
            await asyncio.wait(self._running, timeout=4 * ENDING)
        await self._ends.close()
        await self._engine.dispose()

    async def ask(self, lookup: Lookup, ask: Ask) -> Finding:
        """Return the answer of one attempt; raise NoAnswer. That there is no such row may be an answer."""
        return interpret_rows(lookup, await self.select(lookup, ask.inputs))

    async def select(self, lookup: Lookup, inputs: Mapping[str, str]) -> object:
        """Return the rows of a lookup: a list, or the first one with None for none; raise NoAnswer."""
        if lookup.statement is None:
            msg = f"{lookup.name} is not an SQL lookup"
            raise LookupFailed(msg)
        values = {name: inputs.get(name) or None for name in lookup.statement.parameters}
        most = 1 if lookup.rows == "first" else MOST_ROWS
        # One more than fits says that there are more. A statement may give more than a process can hold.
        rows = await self._run(self._limited(lookup.statement.text, most + 1), values)
        if lookup.rows == "first":
            return rows[0] if rows else None
        if len(rows) > MOST_ROWS:
            msg = f"there are over {MOST_ROWS} rows"
            raise BadBackendReply(msg)
        return rows

    async def explain(self, lookup: Lookup) -> None:
        """Have the database look at a lookup's statement without running it; raise NoAnswer."""
        if lookup.statement is not None:
            statement = f"EXPLAIN {self._limited(lookup.statement.text, 1)}"
            try:
                async with asyncio.timeout(self._limit):
                    await self._run(statement, dict.fromkeys(lookup.statement.parameters))
            except TimeoutError:
                msg = f"no answer within {self._limit_ms} ms"
                raise TimedOut(msg) from None

    def _limited(self, statement: str, most: int) -> str:
        """Return a statement that gives so many rows at most. MySQL has a setting for that: see _begin."""
        if self._scheme == "mysql":
            return statement
        return f"select * from (\n{statement}\n) as deskgate_rows limit {most}"  # noqa: S608 - the author's

    async def _run(self, statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of a statement. One that meets a dead connection is sent once more on a new one."""
        from sqlalchemy.exc import DBAPIError, SQLAlchemyError  # noqa: PLC0415
        from sqlalchemy.exc import TimeoutError as PoolTimeout  # noqa: PLC0415

        try:
            try:
                return await self._run_once(statement, values)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                return await self._run_once(statement, values)
        except PoolTimeout:
            msg = "every connection of the pool is in use"
            raise Overloaded(msg) from None
        except DBAPIError as error:
            raise failure_of(error.orig, self._scheme) from None
        except SQLAlchemyError as error:
            msg = f"the statement cannot be run: {type(error).__name__}"
            raise LookupFailed(msg) from None
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            msg = f"no connection: {type(error).__name__}"
            raise BackendUnavailable(msg) from None

    async def _run_once(self, statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of a statement. Who is cancelled leaves at once: drivers may take seconds."""
        attempt = _Attempt()
        task = asyncio.create_task(self._transact(statement, values, attempt))
        self._running[task] = attempt
        task.add_done_callback(self._ended)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._give_up(task)
            raise

    def _give_up(self, task: _Running) -> None:
        attempt = self._running.get(task)
        if attempt is None or attempt.ending:
            return
        attempt.ending = True
        if self._scheme == "sqlite":
            attempt.given_up.set()  # its thread ends the statement, and the connection stays
        else:
            self._ends.start(self._end(task, attempt))

    async def _end(self, task: _Running, attempt: _Attempt) -> None:
        """End an attempt: the driver asks the database to end the statement, and waits for that.

        A database that is silent gets no such time, and no other connection is trusted that was made before:
        after a failover, or behind a firewall that forgets connections, all of them are dead.
        """
        given_up = time.monotonic()
        task.cancel()
        sent = given_up if attempt.sent is None else attempt.sent
        silent = given_up - sent >= _WHOLE_ATTEMPT * self._limit and self._heard < sent
        if not silent:
            await asyncio.wait([task], timeout=min(ENDING, self._limit / 2))
            silent = not task.done() and attempt.sent is not None and self._heard < given_up
        if silent:
            self._distrusted = given_up
        await end(task)

    def _check_when_made(self, _: object, record: "ConnectionPoolEntry", __: object) -> None:
        """Have the pool make a new connection in the place of one that is not trusted any more."""
        from sqlalchemy.exc import DisconnectionError  # noqa: PLC0415

        if record.info["made"] < self._distrusted:
            raise DisconnectionError

    def _ended(self, task: _Running) -> None:
        self._running.pop(task, None)
        if not task.cancelled():
            task.exception()  # one that nobody waits for any more is no loss

    async def _transact(
        self, statement: str, values: dict[str, Any], attempt: _Attempt
    ) -> list[dict[str, Any]]:
        async with self._engine.connect() as connection:
            attempt.sent = time.monotonic()
            await self._begin(connection, attempt.given_up)
            self._heard = time.monotonic()
            result = await connection.execute(self._text(statement), values)
            self._heard = time.monotonic()
            rows: list[dict[str, Any]] = []
            size = 0
            for row in result.mappings():
                rows.append({str(name): as_value(value) for name, value in row.items()})
                size += size_of(rows[-1])
                if size > self._max_reply:
                    msg = f"the rows are over max_reply ({self._max_reply} bytes)"
                    raise BadBackendReply(msg)
            return rows

    async def _begin(self, connection: Any, given_up: threading.Event) -> None:  # noqa: ANN401 - an AsyncConnection
        """Begin a transaction that reads, with a time limit of its own."""
        if self._scheme == "postgresql":  # in one round trip
            limit = f"SET LOCAL statement_timeout = {self._limit_ms}"
            await connection.exec_driver_sql(f"SET TRANSACTION READ ONLY; {limit}")
        elif self._scheme == "mysql":
            # MariaDB has other names for two of the three, and counts in seconds.
            reads, limit = "transaction_read_only", f"max_execution_time = {self._limit_ms}"
            if connection.dialect.is_mariadb:
                reads, limit = "tx_read_only", f"max_statement_time = {self._limit_ms / 1000}"
            rows = f"sql_select_limit = {MOST_ROWS + 1}"
            await connection.exec_driver_sql(f"SET SESSION {reads} = 1, {limit}, {rows}")
        else:  # SQLite has no limit of its own, and runs in a thread that hears nothing of a cancellation
            raw = await connection.get_raw_connection()
            await raw.driver_connection.set_progress_handler(given_up.is_set, _STEPS)


def _note_when_made(_: object, record: "ConnectionPoolEntry") -> None:
    record.info["made"] = time.monotonic()
