"""The order of the policies, as code: read :func:`stack` from the backend outwards.

::

    bulkhead ( deadline ( retry ( attempt timeout ( call ) ) ) )

A further policy is a file beside this one, a line in :func:`stack`, and its setting in a backend's table.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.core.errors import NoAnswer
from gateway.declared.backend import Backend
from gateway.process.clock import MONOTONIC, Clock
from gateway.resilience.attempt_timeout import attempt
from gateway.resilience.bulkhead import Bulkhead
from gateway.resilience.deadline import Deadline
from gateway.resilience.policy import Call, Policy
from gateway.resilience.retry import Retry

Step = Callable[[Call], Awaitable[Any]]
"""Carries a call on: it returns the answer, and raises what stands for it."""


def stack(settings: Backend, *, bulkhead: Bulkhead | None = None, clock: Clock = MONOTONIC) -> Step:
    """Return the policies that ``settings`` ask for, around the calls to one backend."""

    async def step(call: Call) -> Any:  # noqa: ANN401 - whatever the backend's answer is
        return await attempt(call, settings.attempt_timeout)

    stacked = repeated(step, Retry(settings.attempts, clock=clock), clock)
    stacked = guarded(stacked, Deadline())
    return stacked if bulkhead is None else guarded(stacked, bulkhead)


def guarded(step: Step, policy: Policy) -> Step:
    """Return ``step`` behind a policy."""

    async def run(call: Call) -> Any:  # noqa: ANN401
        policy.admit(call)
        try:
            answer = await step(call)
        except BaseException as error:
            policy.failed(call, error)
            raise
        policy.succeeded(call)
        return answer

    return run


def repeated(step: Step, retry: Policy, clock: Clock) -> Step:
    """Return ``step`` behind the one policy that repeats it: after each ``call.pause`` that it notes."""

    async def run(call: Call) -> Any:  # noqa: ANN401
        while True:
            retry.admit(call)
            try:
                answer = await step(call)
            except BaseException as error:
                retry.failed(call, error)
                if call.pause is None or not isinstance(error, NoAnswer):
                    raise
                call.retried(call.attempts, error)
            else:
                retry.succeeded(call)
                return answer
            await clock.sleep(call.pause)

    return run
