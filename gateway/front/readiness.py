"""Readiness: the parts that a gateway lacks."""

from collections.abc import Awaitable, Callable, Sequence

from gateway.core.errors import QueueUnavailable

Unattended = Callable[[Sequence[str]], Awaitable[list[str]]]
"""Returns the lanes without a worker, of these; may raise QueueUnavailable."""

Probe = Callable[[], Awaitable[None]]
"""Tries what Redis must be able to do; raises QueueUnavailable."""


class Readiness:
    """Finds the parts that a gateway lacks. The gateway answers callbacks in any case."""

    def __init__(self, lanes: Sequence[str], unattended: Unattended, probe: Probe) -> None:
        """Take the lanes, the function that finds those without a worker, and that which tries Redis."""
        self._lanes, self._unattended, self._probe = lanes, unattended, probe

    async def missing(self) -> list[str]:
        """Return ``redis``, or ``lane:NAME`` for each lane without a worker."""
        try:
            await self._probe()
            return [f"lane:{lane}" for lane in await self._unattended(self._lanes)]
        except QueueUnavailable:
            return ["redis"]
