"""What Redis refuses: its error replies, named and told."""

import time

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from gateway.process.lasting import Lasting
from gateway.telemetry import events

_KINDS: dict[type[Exception], str] = {  # redis-py takes the first word of these away
    AuthenticationError: "WRONGPASS",
    BusyLoadingError: "LOADING",
    NoPermissionError: "NOPERM",
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
}
_LONGEST = 200


class Refusals:
    """Tells an operator of error replies: each kind at once, and each minute while it comes."""

    def __init__(self) -> None:
        """Begin without one."""
        self._told = Lasting()

    def note(self, error: BaseException) -> None:
        """Note an error of a call; what is no error reply is passed over: the link tells of losses."""
        if isinstance(error, (ResponseError, AuthenticationError, BusyLoadingError)):
            self.tell(_kind(error), str(error))

    def tell(self, kind: str, words: str) -> None:
        """Note an error reply, with Redis' own words."""
        if self._told.due(kind, time.monotonic()) is not None:
            events.redis_refused(kind=kind, detail=words[:_LONGEST])


def _kind(error: RedisError) -> str:
    """Return the word by which Redis names a kind of errors."""
    first = str(error).partition(" ")[0].strip("-:")
    if first.isupper() and first.isalpha():
        return first
    return next((kind for type_, kind in _KINDS.items() if isinstance(error, type_)), "ERR")
