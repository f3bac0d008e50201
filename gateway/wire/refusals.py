"""What Redis refuses: its error replies, named and told."""

import time

from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from gateway.process.lasting import Lasting
from gateway.telemetry import events

_WORDS: dict[type[Exception], str] = {  # redis-py takes the first word of these away
    AuthenticationError: "WRONGPASS",
    BusyLoadingError: "LOADING",
    NoPermissionError: "NOPERM",
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
}
_LONGEST = 200

REFUSES = "Redis refuses: "
"""What comes before an error reply, for people."""


def told(error: BaseException) -> str:
    """Return an error reply in Redis' own words, the first of which names its kind."""
    word = next((word for kind, word in _WORDS.items() if isinstance(error, kind)), "")
    return f"{word} {error}".strip()


def words_of(error: BaseException) -> str:
    """Return why a server cannot be reached, in words: those of redis-py for a silence help nobody."""
    if isinstance(error, RedisTimeoutError) or (isinstance(error, TimeoutError) and not str(error)):
        return "no answer in time; does it speak TLS, if the url says so?"
    return str(error) or type(error).__name__


async def why_refused(redis: Redis, key: str) -> str:
    """Return why a server takes no writes, nothing if it takes one to this key."""
    try:
        await redis.set(key, "1", px=1000)
    except ResponseError as error:
        return f"{REFUSES}{told(error)}"
    return ""


class Refusals:
    """Tells an operator of error replies: each kind at once, and each minute while it comes."""

    def __init__(self) -> None:
        """Begin without one."""
        self._told = Lasting()

    def note(self, error: BaseException) -> None:
        """Note an error of a call; what is no error reply is passed over: the link tells of losses."""
        if type(error) is RedisConnectionError and error.__cause__ is not None:  # redis-py's wrapping
            error = error.__cause__
        if isinstance(error, (ResponseError, AuthenticationError, BusyLoadingError)):
            self.tell(told(error))

    def tell(self, words: str) -> None:
        """Note an error reply in Redis' own words; the first one names its kind."""
        kind = words.partition(" ")[0]
        if self._told.due(kind, time.monotonic()) is not None:
            events.redis_refused(kind=kind, detail=words[:_LONGEST])
