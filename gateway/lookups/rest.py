"""Rest: a connection stays out of the pool for a while after each answer.

An answer too many mostly comes right behind the answer before. If the connection carries another request by
then, it looks like the answer to that request: HTTP/1.1 has no names for answers. While the connection rests,
it is heard to be unasked.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

MOST_RESTING = 100
"""Most connections of a backend that rest in a process. One more ends the longest rest."""


class Reader(Protocol):
    """What reads a connection."""

    @property
    def should_close(self) -> bool:
        """True if it cannot carry another request: a body has not come to its end, for example."""
        ...


class Pooled(Protocol):
    """What is used here of a connection of aiohttp's. Its ``protocol`` is None when it was given back."""

    @property
    def protocol(self) -> Reader | None:
        """What reads it."""
        ...

    def release(self) -> None:
        """Give it back to its pool."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Rest:
    """The connections of one backend that rest."""

    def __init__(self, seconds: float) -> None:
        """Take for how long each rests; 0: not at all."""
        self._seconds = seconds
        self._resting: deque[Pooled] = deque()

    def begin(self, connection: Pooled) -> None:
        """Give a connection back to its pool in a while."""
        if not self._seconds:
            connection.release()
            return
        self._resting.append(connection)
        asyncio.get_running_loop().call_later(self._seconds, self._end, connection)
        if len(self._resting) > MOST_RESTING:
            self._resting.popleft().release()

    def end_all(self) -> None:
        """Give all of them back now."""
        while self._resting:
            self._resting.popleft().release()

    def _end(self, connection: Pooled) -> None:
        """Give back a connection, and those that rest for longer, unless that is done."""
        if connection.protocol is None:  # it was given back early
            return
        while (first := self._resting.popleft()) is not connection:
            first.release()
        connection.release()


class Resting:
    """A connection that rests when aiohttp gives it back. In all else it is the connection itself."""

    def __init__(self, connection: Pooled, answered: Callable[[], None], rest: Rest) -> None:
        """Take the connection, and what is called when its answer is complete."""
        self.connection, self.answered, self.rest = connection, answered, rest

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the connection's own
        """Return what the connection has."""
        return getattr(self.connection, name)

    def release(self) -> None:
        """Let the connection rest, and then go back to its pool.

        If somebody has left before the end of the answer, it is closed: what is still to come is not unasked.
        """
        self.answered()
        if self.connection.protocol is None or self.connection.protocol.should_close:
            self.connection.close()
        else:
            self.rest.begin(self.connection)

    def close(self) -> None:
        """Close the connection."""
        self.answered()
        self.connection.close()
