"""Retry: more attempts for transient failures, spaced by full jitter, within a budget.

Pauses are uniform in 0 … 50 ms, 100 ms, …, at most 1 s (Brooker, "Exponential Backoff And Jitter"). Three
times as many calls do not help a backend that fails every call. So each success pays for a share of a retry,
as in gRPC and the AWS SDKs ("Addressing Cascading Failures", Google's SRE book). A backend that answers half
of its calls pays for its retries; one that answers none gets none.
"""

from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential
from tenacity.wait import wait_base

from gateway.core.errors import BackendThrottled, NoAnswer, is_transient
from gateway.process.clock import MONOTONIC, Clock
from gateway.resilience.policy import Call

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0

MOST_SAVED = 10.0
"""Most retries that can be saved up."""

FIRST_RETRIES = 5.0
"""Retries that a process begins with."""

FULL_JITTER = wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE)
_UNUSED = AsyncRetrying()  # tenacity's state wants a retrying object; we loop ourselves


class RetryBudget:
    """The retries that a process may still make to one backend."""

    def __init__(self, share: float) -> None:
        """Take the share of a retry that each success pays for."""
        self._share = share
        self.left = FIRST_RETRIES

    def earn(self) -> None:
        """Count a success."""
        self.left = min(MOST_SAVED, self.left + self._share)

    def spend(self) -> bool:
        """Take one retry; return False if no retry is left."""
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


class Retry:
    """At most ``attempts`` attempts a call, the first one included. All calls to one backend share it."""

    def __init__(
        self,
        attempts: int,
        budget: float = 1.0,
        *,
        wait: wait_base = FULL_JITTER,
        clock: Clock = MONOTONIC,
    ) -> None:
        """Take the number of attempts, the budget, and the pauses: a wait strategy of tenacity.

        Each success pays for ``budget`` of a retry.
        """
        self._attempts, self._wait, self._clock = attempts, wait, clock
        self.budget = RetryBudget(budget)

    def admit(self, _: Call) -> None:
        """Do nothing: the first attempt is no retry."""

    def succeeded(self, _: Call) -> None:
        """Note a success: it pays for a share of a retry, of this call or of another one."""
        self.budget.earn()

    def failed(self, call: Call, error: BaseException) -> None:
        """Set the pause before the next attempt, or None for no next attempt.

        No attempt follows a failure that is not worth it, or the last attempt. No attempt begins too late, or
        without budget. The budget is asked last: a retry that is not made costs nothing. A backend that has
        asked for a pause gets it.
        """
        call.pause = None
        made = call.attempts - call.renewed
        asked_for = error.pause if isinstance(error, BackendThrottled) else None
        if not (is_transient(error) or asked_for) or made >= self._most_attempts(error):
            return
        pause = max(asked_for or 0.0, self._pause(made))
        if self._clock.now() + pause < call.last_start and self.budget.spend():
            call.pause = pause

    def _most_attempts(self, error: BaseException) -> float:
        return min(self._attempts, error.most_attempts) if isinstance(error, NoAnswer) else self._attempts

    def _pause(self, attempt: int) -> float:
        state = RetryCallState(_UNUSED, None, (), {})
        state.attempt_number = attempt
        return self._wait(state)
