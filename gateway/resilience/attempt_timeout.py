"""Attempt timeout: the limit of one attempt, even if the call has more time left."""

import asyncio
from typing import Any

from gateway.core.errors import TimedOut
from gateway.process.clock import Clock
from gateway.resilience.policy import Call


async def attempt(call: Call, limit: float, clock: Clock) -> Any:  # noqa: ANN401 - the type of a backend's answer
    """Make one attempt of at most ``limit`` seconds; raise TimedOut, or the attempt's own exception.

    A TimeoutError of the attempt's own, such as the kernel's ETIMEDOUT, is a TimedOut as well.
    """
    begun = clock.now()
    try:
        async with asyncio.timeout(limit):
            return await call.make()
    except TimeoutError:
        msg = f"no answer within {limit * 1000:.0f} ms"
        raise TimedOut(msg) from None
    finally:
        call.took = clock.now() - begun
