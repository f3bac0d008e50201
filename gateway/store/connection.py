"""The connection to Redis: every call capped in time, its loss noticed once, its return noticed by itself."""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialBackoff
from redis.exceptions import NoScriptError, RedisError

from gateway.core.errors import QueueUnavailable

T = TypeVar("T")
log = structlog.get_logger("deskgate.store")

OUTAGE = (RedisError, OSError, TimeoutError)
"""What a Redis that is gone, hanging, loading or read-only raises."""

_LONGEST_PAUSE = 1.0


def backoff(attempt: int) -> float:
    """Return the seconds to wait before reconnection ``attempt``, from 0: full jitter, at most 1 s."""
    return random.uniform(0.01, min(_LONGEST_PAUSE, 0.05 * 2**attempt))  # noqa: S311 - jitter, not a secret


def open_redis(url: str, timeout: float, retries: int = 0) -> Redis:
    """Return a client for ``url`` whose socket operations take at most ``timeout`` seconds.

    Beside redis-py's own ``redis://``, ``rediss://`` and ``unix://``, ``redis+sentinel://`` names sentinels
    and a service: ``redis+sentinel://[user:password@]host:port,host:port/service/db``. The client itself
    sends no call twice unless ``retries`` says so: what is safe to repeat is known only to its caller.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(ExponentialBackoff(cap=_LONGEST_PAUSE, base=0.05), retries),
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


def sentinel_hosts(url: str) -> tuple[list[tuple[str, int]], str, int]:
    """Return the sentinels, the service and the database that a ``redis+sentinel://`` address names."""
    parts = urlsplit(url)
    hosts = []
    for text in parts.netloc.rpartition("@")[2].split(","):
        host, _, port = text.partition(":")
        hosts.append((host, int(port or 26379)))
    service, _, db = parts.path.strip("/").partition("/")
    return hosts, service or "mymaster", int(db or 0)


class Script:
    """One Lua script of ``store/lua``, sent by its digest, and whole when the server does not know it."""

    def __init__(self, name: str) -> None:
        """Load ``lua/NAME.lua``, which says what its KEYS and ARGV are."""
        self.text = resources.files("gateway.store").joinpath(f"lua/{name}.lua").read_text()
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, redis: Redis, keys: Sequence[str], arguments: Sequence[bytes | str | float]) -> Any:  # noqa: ANN401 - what a script returns, its first lines say
        """Run the script; raise what redis-py raises.

        A script that answers ``NOSCRIPT`` did nothing, so sending it again is safe.
        """
        send: Callable[..., Awaitable[Any]] = redis.execute_command
        try:
            return await send("EVALSHA", self.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await send("EVAL", self.text, len(keys), *keys, *arguments)


class RedisLink:
    """A client that fails fast: each call is capped, and while Redis is lost no call waits for it at all."""

    def __init__(self, url: str, timeout: float) -> None:
        """Take the cap on any single call, in seconds; nothing is opened yet."""
        self.timeout = timeout
        self.redis = open_redis(url, timeout)
        self.lost = False
        self._probe: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Find out whether Redis is there; it need not be."""
        try:
            await self.call(self.redis.ping)
        except QueueUnavailable:
            return

    async def call(self, command: Callable[[], Awaitable[T]]) -> T:
        """Return what ``command`` returns; raise QueueUnavailable when it cannot within the cap."""
        if self.lost:
            msg = "Redis is lost"
            raise QueueUnavailable(msg)
        try:
            async with asyncio.timeout(self.timeout):
                return await command()
        except OUTAGE as error:
            self._lose(error)
            msg = f"Redis did not answer: {type(error).__name__}"
            raise QueueUnavailable(msg) from error

    def _lose(self, error: BaseException) -> None:
        if not self.lost:
            self.lost = True
            log.warning("redis.lost", error=type(error).__name__, detail=str(error))
            self._probe = asyncio.create_task(self._restore())

    async def _restore(self) -> None:
        """Ask until Redis answers, with growing pauses."""
        attempt = 0
        while self.lost:
            try:
                async with asyncio.timeout(self.timeout):
                    await self.redis.ping()
            except OUTAGE:
                await asyncio.sleep(backoff(attempt))
                attempt += 1
            else:
                self.lost = False
                log.info("redis.restored")

    async def close(self) -> None:
        """Stop asking and close the connections."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        await self.redis.aclose(close_connection_pool=True)


def dedicated_connection(redis: Redis) -> Connection:
    """Return a connection of its own beside the pool's, for what blocks or subscribes; not yet connected."""
    make: Callable[[], Connection] = redis.connection_pool.make_connection
    return make()
