"""Attempt timeout: the limit of one attempt, even if the call has more time left."""

from typing import Any

from gateway.core.errors import Code, NoAnswer, TimedOut
from gateway.process.clock import Clock
from gateway.process.patience import Patience
from gateway.resilience.policy import Call

CANCELLED = "CANCELLED"
"""The outcome of an attempt that nobody waits for any more."""


async def attempt(call: Call, limit: float, clock: Clock) -> Any:  # noqa: ANN401 - the type of a backend's answer
    """Make one attempt of at most ``limit`` seconds; raise TimedOut, or the attempt's own exception.

    A TimeoutError of the attempt's own, such as the kernel's ETIMEDOUT, is a TimedOut as well. An answer that
    lies unread because this process was held up comes after the limit.
    """
    begun, outcome = clock.now(), CANCELLED
    making = call.make()
    number = call.attempts
    try:
        async with Patience(limit):
            answer = await making
        outcome = Code.OK.name
    except TimeoutError:
        outcome = Code.TIMEOUT.name
        msg = f"no answer within {limit * 1000:.0f} ms"
        raise TimedOut(msg) from None
    except Exception as error:
        outcome = error.code.name if isinstance(error, NoAnswer) else Code.LOOKUP_FAILED.name
        raise
    else:
        return answer
    finally:
        call.took = clock.now() - begun
        call.observer.ended(number, outcome, call.took)
