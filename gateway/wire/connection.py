"""Connections to Redis, opened by redis-py: plain, TLS, unix sockets and Sentinel alike.

:func:`transport_of` and :class:`Inbox` read two private attributes of redis-py: ``_writer`` and
``_parser.parse_error``. Its own reading of an answer costs twenty times the parsing. pyproject.toml pins its
minor version, and tests/unit/test_redis_internals.py fails when a method that was read there has changed.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from gateway.declared.redis_address import read_address
from gateway.process.backoff import FIRST, LONGEST
from gateway.process.patience import Patience

OUTAGE = (RedisError, OSError, TimeoutError, RuntimeError)
"""A Redis that is gone, hanging, loading or read-only raises these.

``RuntimeError`` is uvloop's word for writing to a connection that has broken, before its reader knows.
"""


def open_redis(url: str, timeout: float, *, connect_timeout: float, retries: int = 0) -> Redis:
    """Return a client for an address whose calls take at most ``timeout`` seconds each.

    ``connect_timeout`` is for a new connection, its greeting included. Each sentinel has a share of it, so
    that one which hangs leaves time for the others. The client itself sends no call twice unless ``retries``
    says so: what is safe to repeat is known only to its caller. Raise ValueError for a wrong address.
    """
    address = read_address(url)
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": connect_timeout,
        "retry": Retry(ExponentialBackoff(cap=LONGEST, base=FIRST), retries),
        "db": address.db,
        "username": address.username,
        "password": address.password,
        **(address.tls or {}),
    }
    if address.service:
        share = connect_timeout / (len(address.hosts) + 1)  # and one for the master
        sentinel = Sentinel(  # type: ignore[no-untyped-call] # redis-py 5 has no types here
            address.hosts,
            sentinel_kwargs={
                "socket_timeout": share,
                "socket_connect_timeout": share,
                "username": address.sentinel_username,
                "password": address.sentinel_password,
                "ssl": address.tls is not None,
                **(address.tls or {}),
            },
        )
        master: Redis = sentinel.master_for(address.service, ssl=address.tls is not None, **options)
        return master
    if address.path:
        kind: type[AbstractConnection] = UnixDomainSocketConnection
        options |= {"path": address.path}
    else:
        kind = Connection if address.tls is None else SSLConnection
        options |= {"host": address.hosts[0][0], "port": address.hosts[0][1]}
    return Redis(connection_pool=ConnectionPool(connection_class=kind, **options))


async def close_redis(redis: Redis) -> None:
    """Close a client, and those by which it asks sentinels: redis-py leaves them open."""
    pool = redis.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        for asking in pool.sentinel_manager.sentinels:
            await asking.aclose(close_connection_pool=True)
    await redis.aclose(close_connection_pool=True)


def dedicated_connection(redis: Redis) -> Connection:
    """Return a connection of its own beside the pool's, not yet connected, whose operations wait for ever.

    Its user, who pipelines, blocks or subscribes, sets limits that fit.
    """
    connection: Connection = redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    connection.socket_timeout = None
    return connection


def transport_of(connection: Connection) -> asyncio.WriteTransport | None:
    """Return the transport of a connection, None when it is not open."""
    writer = connection._writer  # noqa: SLF001 - see above
    return None if writer is None else writer.transport


async def connect(connection: Connection, patience: float) -> None:
    """Open a connection, its greeting included; raise what :data:`OUTAGE` names."""
    async with Patience(patience):
        await connection.connect()  # type: ignore[no-untyped-call] # redis-py 5 has no types here


class Inbox(asyncio.Protocol):
    """The reader of a connection. The connection's own ``read_response`` must not be used any more.

    It takes all that has arrived, straight from the transport: redis-py's own reading costs some 20 µs an
    answer, parsing 1.
    """

    def __init__(self, connection: Connection, take: Callable[[Any], None]) -> None:
        """Read a connection that is open, and over which nothing is on its way.

        ``take`` gets each answer, the server's errors among them as exceptions; what it raises ends it all.
        """
        self._take = take
        parse_error = connection._parser.parse_error  # noqa: SLF001 - see above
        self._parser = hiredis.Reader(replyError=parse_error)
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        transport = transport_of(connection)
        assert transport is not None  # noqa: S101 - for the type checker; it is open
        transport.set_protocol(self)

    async def read(self) -> NoReturn:
        """Read until the connection is good for nothing any more; raise why, as :data:`OUTAGE` names it.

        A reader that leaves early lets the answers be taken until the connection is closed.
        """
        await asyncio.wait([self._end])
        self._end.result()
        raise AssertionError

    def data_received(self, data: bytes) -> None:
        """Hand on the answers that are whole."""
        if self._end.done():
            return
        try:
            self._parser.feed(data)
            while (answer := self._parser.gets()) is not False:
                if isinstance(answer, RedisConnectionError):
                    self._fail(answer)
                    return
                self._take(answer)
        except OUTAGE as error:  # an answer that ends it all
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a parser that has lost its way, an answer to no question
            self._fail(RedisConnectionError(f"unreadable: {type(error).__name__}: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """End the reading."""
        self._fail(exc or RedisConnectionError("Redis closed the connection"))

    def _fail(self, error: Exception) -> None:
        if not self._end.done():
            self._end.set_exception(error)
            self._end.exception()  # its reader may be gone


async def hang_up(connection: Connection) -> None:
    """Close a connection at once; what the other end has not taken yet is dropped. Never raises."""
    if (transport := transport_of(connection)) is not None:  # redis-py alone waits for a server that may hang
        transport.abort()
    await connection.disconnect(nowait=True)
    await asyncio.sleep(0)  # the transport closes its socket in the loop's next turn
