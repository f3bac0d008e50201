"""Connections to Redis, opened by redis-py: plain, TLS, unix sockets and Sentinel alike.

:func:`transport_of` and :class:`Inbox` read two private attributes of redis-py: ``_writer`` and
``_parser.parse_error``. Its own reading of an answer costs twenty times the parsing. pyproject.toml pins its
minor version, and tests/unit/test_redis_internals.py fails when a method that was read there has changed.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from gateway.process.backoff import FIRST, LONGEST

OUTAGE = (RedisError, OSError, TimeoutError, RuntimeError)
"""A Redis that is gone, hanging, loading or read-only raises these.

``RuntimeError`` is uvloop's word for writing to a connection that has broken, before its reader knows.
"""


def open_redis(url: str, timeout: float, retries: int = 0) -> Redis:
    """Return a client for ``url`` whose socket operations take at most ``timeout`` seconds.

    Beside redis-py's own ``redis://``, ``rediss://`` and ``unix://``, ``redis+sentinel://`` names sentinels
    and a service: ``redis+sentinel://[user:password@]host:port,host:port/service/db``. The client itself
    sends no call twice unless ``retries`` says so: what is safe to repeat is known only to its caller.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(ExponentialBackoff(cap=LONGEST, base=FIRST), retries),
    }
    if not url.startswith("redis+sentinel://"):
        return Redis(connection_pool=ConnectionPool.from_url(url, **options))
    hosts, service, db = sentinel_hosts(url)
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        options["username"] = unquote(parts.username or "") or None
        options["password"] = unquote(parts.password or "")
    sentinel = Sentinel(  # type: ignore[no-untyped-call] # redis-py 5 has no types here
        hosts, sentinel_kwargs={"socket_timeout": timeout, "socket_connect_timeout": timeout}, **options
    )
    master: Redis = sentinel.master_for(service, db=db)
    return master


async def close_redis(redis: Redis) -> None:
    """Close a client, and those by which it asks sentinels: redis-py leaves them open."""
    pool = redis.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        for asking in pool.sentinel_manager.sentinels:
            await asking.aclose(close_connection_pool=True)
    await redis.aclose(close_connection_pool=True)


def sentinel_hosts(url: str) -> tuple[list[tuple[str, int]], str, int]:
    """Return the sentinels, the service and the database that a ``redis+sentinel://`` address names."""
    parts = urlsplit(url)
    hosts = []
    for text in parts.netloc.rpartition("@")[2].split(","):
        host, _, port = text.partition(":")
        hosts.append((host, int(port or 26379)))
    service, _, db = parts.path.strip("/").partition("/")
    return hosts, service or "mymaster", int(db or 0)


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
    async with asyncio.timeout(patience):
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
        """Read until the connection is good for nothing any more; raise why, as :data:`OUTAGE` names it."""
        await self._end
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
