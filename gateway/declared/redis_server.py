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

SHARE_OF_BUDGET = 0.9
"""Of a callback's budget calls of Redis may take so much; the rest is for the reply."""


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


def fit_timeout(redis: RedisServer, budget: float, waves: int) -> tuple[RedisServer, list[Fault]]:
    """Return the table with a ``timeout`` that a budget has room for, once for each of so many waves.

    A callback's reply waits for a silent Redis as long as that. A longer one is cut, with a warning.
    """
    longest = Duration(SHARE_OF_BUDGET * budget / max(1, waves))
    if redis.timeout <= longest:
        return redis, []
    message = (
        f"is cut to {longest * 1000:.0f} ms: a callback waits so long for a Redis that is silent, and each "
        "wave of its lookups may, within gateway.budget"
    )
    fitted = msgspec.structs.replace(redis, timeout=longest)
    return fitted, [Fault("redis.timeout", message, ("gateway.budget",), warning=True)]


def check_embedded(redis: RedisServer) -> Iterator[Fault]:
    """Yield a fault if ``deskgate up`` should bring the server: this process runs without it."""
    if redis.url == EMBEDDED:
        message = '"embedded" runs under "deskgate up" alone; name a server, such as redis://127.0.0.1:6379/0'
        yield Fault("redis.url", message)


def find_embedded(redis: RedisServer, environ: Mapping[str, str]) -> RedisServer:
    """Return the table with the address of the server that ``deskgate up`` has brought, if there is one."""
    url = environ.get(REDIS_URL_VARIABLE) if redis.url == EMBEDDED else None
    return msgspec.structs.replace(redis, url=Secret(url)) if url else redis
