"""Readiness: what a gateway has to do without."""

from collections.abc import Awaitable, Callable, Sequence

from gateway.core.errors import QueueUnavailable

Unattended = Callable[[Sequence[str]], Awaitable[list[str]]]


class Readiness:
    """Tells what a gateway has to do without; it answers callbacks in any case."""

    def __init__(self, lanes: Sequence[str], unattended: Unattended) -> None:
        """Take the lanes, and what tells which of them have no worker; it may raise QueueUnavailable."""
        self._lanes, self._unattended = lanes, unattended

    async def missing(self) -> list[str]:
        """Return ``redis``, or ``lane:NAME`` for each lane without a worker."""
        try:
            return [f"lane:{lane}" for lane in await self._unattended(self._lanes)]
        except QueueUnavailable:
            return ["redis"]
