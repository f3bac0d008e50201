"""Retry: more attempts for transient failures, spaced by full jitter, begun before the deadline only.

A backend that fails every call is not helped by three times as many: retries are paid for by successes (a
retry budget, as in Finagle, Linkerd and the AWS SDKs; "Addressing Cascading Failures", Google's SRE book).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)
from tenacity.stop import stop_base

from gateway.core.errors import NoAnswer, TimedOut, is_transient

T = TypeVar("T")

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0

WORTH_ANOTHER = 0.05
"""Least seconds left for which another attempt is begun: with less it could not finish in time."""

RETRY_RESERVE = 30
"""Most retries that can be saved up, and what a process begins with."""


class RetryBudget(stop_base):
    """The retries that a process may still make to one backend, as a stop condition of tenacity's."""

    def __init__(self) -> None:
        """Begin with the reserve."""
        self._left = RETRY_RESERVE

    def earn(self) -> None:
        """Count a success: it pays for one retry."""
        self._left = min(RETRY_RESERVE, self._left + 1)

    def __call__(self, _: RetryCallState) -> bool:
        """Take one retry; tell whether there was none left. It must be asked after all other conditions."""
        if not self._left:
            return True
        self._left -= 1
        return False


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a backend is asked: ``attempts`` in all, each at most ``attempt_timeout`` seconds long.

    The ``budget`` is that of all questions which share this policy.
    """

    attempts: int
    attempt_timeout: float
    budget: RetryBudget = field(default_factory=RetryBudget)

    async def run(
        self, ask: Callable[[], Awaitable[T]], left: float, on_retry: Callable[[int, NoAnswer], None]
    ) -> T:
        """Return the first success; raise the last attempt's NoAnswer.

        No further attempt begins with less than 50 ms of the ``left`` seconds to go, nor when the budget is
        spent. Pauses are full jitter: uniform in 0 … 50 ms, 100 ms, …, at most 1 s (Brooker, "Exponential
        Backoff And Jitter"). ``on_retry`` is told the number of the attempt that failed, and why.
        """
        begun = time.monotonic()
        try:
            return await self._attempt(ask)
        except NoAnswer as error:
            if not is_transient(error) or self.attempts == 1:
                raise
            first = error
        # Most lookups succeed at once and need no machinery; it takes over with the failure that it missed.
        return await self._again(ask, first, left - (time.monotonic() - begun), on_retry)

    async def _again(
        self,
        ask: Callable[[], Awaitable[T]],
        first: NoAnswer,
        left: float,
        on_retry: Callable[[int, NoAnswer], None],
    ) -> T:
        failed = iter((first,))

        async def attempt() -> T:
            for error in failed:
                raise error
            return await self._attempt(ask)

        retrying = AsyncRetrying(
            retry=retry_if_exception(is_transient),
            stop=stop_after_attempt(self.attempts) | stop_before_delay(left - WORTH_ANOTHER) | self.budget,
            wait=wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
            before_sleep=lambda state: on_retry(state.attempt_number, _failure(state)),
            reraise=True,
        )
        return await retrying(attempt)

    async def _attempt(self, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self.attempt_timeout):
                answer = await ask()
        except TimeoutError:
            msg = f"no answer within {self.attempt_timeout * 1000:.0f} ms"
            raise TimedOut(msg) from None
        self.budget.earn()
        return answer


def _failure(state: RetryCallState) -> NoAnswer:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, NoAnswer)  # noqa: S101 - only a NoAnswer is transient
    return error
