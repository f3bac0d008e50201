"""The table ``[redis]``, its contradictions, and the server that ``deskgate up`` brings."""

from collections.abc import Iterator, Mapping

import msgspec

from gateway.declared.reading import Fault, Secret
from gateway.declared.redis_address import read_address
from gateway.declared.values import Duration, Table, check_positive

EMBEDDED = "embedded"
"""The ``redis.url`` that asks ``deskgate up`` for a server."""

REDIS_URL_VARIABLE = "DESKGATE_REDIS_URL"
"""The environment variable in which ``deskgate up`` tells its children the address of that server."""


class RedisServer(Table, frozen=True, kw_only=True):
    """The server that holds jobs and records."""

    url: Secret = Secret("redis://127.0.0.1:6379/0")
    prefix: str = "deskgate"
    timeout: Duration = Duration(0.1)
    connect_timeout: Duration = Duration(2)


def check_redis(redis: RedisServer) -> Iterator[Fault]:
    """Yield the contradictions of the table."""
    yield from check_positive("redis", redis, ("timeout", "connect_timeout"))
    if redis.url != EMBEDDED:
        try:
            read_address(redis.url)
        except ValueError as error:
            yield Fault("redis.url", str(error))
    if not redis.prefix:
        yield Fault("redis.prefix", "must not be empty")


def check_embedded(redis: RedisServer) -> Iterator[Fault]:
    """Yield a fault if ``deskgate up`` should bring the server: this process runs without it."""
    if redis.url == EMBEDDED:
        message = '"embedded" runs under "deskgate up" alone; name a server, such as redis://127.0.0.1:6379/0'
        yield Fault("redis.url", message)


def find_embedded(redis: RedisServer, environ: Mapping[str, str]) -> RedisServer:
    """Return the table with the address of the server that ``deskgate up`` has brought, if there is one."""
    url = environ.get(REDIS_URL_VARIABLE) if redis.url == EMBEDDED else None
    return msgspec.structs.replace(redis, url=Secret(url)) if url else redis
