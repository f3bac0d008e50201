"""Pauses between attempts to reach a server: short at first, then longer."""

import asyncio
import random
from collections.abc import Awaitable, Callable

SHORTEST = 0.01
"""Seconds, the lower end of every pause."""

FIRST = 0.05
"""Seconds, the upper end of the first pause; it doubles with each one that follows."""

LONGEST = 1.0
"""Seconds, the upper end of any pause."""


class Backoff:
    """The pauses of one loop that tries again and again, with full jitter.

    Many processes lose Redis at the same moment. Jitter keeps them from returning at the same moment.
    """

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Begin with the first pause."""
        self._sleep = sleep
        self._longest = FIRST

    async def pause(self) -> None:
        """Wait; the next pause may be twice as long."""
        longest, self._longest = self._longest, min(LONGEST, 2 * self._longest)
        await self._sleep(random.uniform(SHORTEST, longest))  # noqa: S311 - jitter, not a secret

    def reset(self) -> None:
        """Begin with the first pause again: an attempt has succeeded."""
        self._longest = FIRST
