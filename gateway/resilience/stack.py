"""The order of the policies, as code. In :func:`stack`, each line wraps the lines above it.

::

    bulkhead ( deadline ( retry ( pause ( attempt timeout ( call ) ) ) ) )

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
from gateway.resilience.pause import Pause
from gateway.resilience.policy import Call, Policy
from gateway.resilience.retry import Retry

Runner = Callable[[Call], Awaitable[Any]]
"""Runs a call: returns its answer, or raises the failure in its place."""


def stack(settings: Backend, *, bulkhead: Bulkhead | None = None, clock: Clock = MONOTONIC) -> Runner:
    """Return a runner for the calls to one backend, with the policies of its ``settings`` around it."""

    def run(call: Call) -> Awaitable[Any]:
        return attempt(call, settings.attempt_timeout)

    stacked = guard(run, Pause(clock=clock))
    stacked = repeat(stacked, Retry(settings.attempts, clock=clock), clock)
    stacked = guard(stacked, Deadline())
    return stacked if bulkhead is None else guard(stacked, bulkhead)


def guard(runner: Runner, policy: Policy) -> Runner:
    """Return ``runner`` behind a policy."""

    async def run(call: Call) -> Any:  # noqa: ANN401
        policy.admit(call)
        try:
            answer = await runner(call)
        except BaseException as error:
            policy.failed(call, error)
            raise
        policy.succeeded(call)
        return answer

    return run


def repeat(runner: Runner, retry: Policy, clock: Clock) -> Runner:
    """Return ``runner`` behind the one policy that repeats it, after each ``call.pause`` that it sets."""

    async def run(call: Call) -> Any:  # noqa: ANN401
        while True:
            retry.admit(call)
            try:
                answer = await runner(call)
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
