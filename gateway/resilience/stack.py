"""The order of the policies, as code. In :func:`stack`, each line wraps the lines above it.

::

    bulkhead ( deadline ( retry or hedge ( hold ( pause ( breaker ( rate ( attempt timeout ( call ))))))))

A further policy is a file beside this one, a line in :func:`stack`, and its setting in a backend's table.
The rate is behind the breaker: a call that is refused takes no turn, and does not wait for one.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from gateway.core.errors import BackendDenied, NoAnswer
from gateway.declared.backend import Backend
from gateway.process.clock import MONOTONIC, Clock
from gateway.resilience.attempt_timeout import attempt
from gateway.resilience.board import Board
from gateway.resilience.breaker import Breaker
from gateway.resilience.bulkhead import Bulkhead
from gateway.resilience.deadline import Deadline
from gateway.resilience.hedge import Hedge
from gateway.resilience.hold import Hold
from gateway.resilience.pause import Pause
from gateway.resilience.policy import Call, Policy
from gateway.resilience.rate import Rate
from gateway.resilience.retry import Retry

Runner = Callable[[Call], Awaitable[Any]]
"""Runs a call: returns its answer, or raises the failure in its place."""


def stack(
    settings: Backend,
    board: Board | None = None,
    name: str = "",
    *,
    bulkhead: Bulkhead | None = None,
    clock: Clock = MONOTONIC,
) -> Runner:
    """Return a runner for the calls to the backend ``name``, with the policies of its ``settings`` around it.

    ``board`` has what the policies share with those of other processes; by default they share nothing.
    """
    board = board or Board(clock)
    limit = settings.attempt_timeout

    workers = partial(board.workers, name)

    def run(call: Call) -> Awaitable[Any]:
        return attempt(call, limit, clock)

    stacked: Runner = run
    if settings.rate is not None:
        stacked = guard(stacked, Rate(settings.rate, settings.burst, workers, clock=clock))
    if settings.breaker != "off":
        breaker = Breaker(board, name, settings.breaker, longest_attempt=limit, workers=workers, clock=clock)
        stacked = guard(stacked, breaker)
    pause = Pause(board, name, longest_attempt=limit, longest=float(settings.retry_after_max))
    stacked = guard(stacked, pause)
    stacked = guard(stacked, Hold(board, name))
    stacked = renew(stacked, clock)
    retry = Retry(settings.attempts, settings.retry_budget, clock=clock)
    stacked = repeat(stacked, retry, Hedge(clock), clock)
    stacked = guard(stacked, Deadline())
    return stacked if bulkhead is None else guard(stacked, bulkhead)


def guard(runner: Runner, policy: Policy) -> Runner:
    """Return ``runner`` behind a policy."""

    async def run(call: Call) -> Any:  # noqa: ANN401
        if (waiting := policy.admit(call)) is not None:
            await waiting
        try:
            answer = await runner(call)
        except BaseException as error:
            policy.failed(call, error)
            raise
        policy.succeeded(call)
        return answer

    return run


def renew(runner: Runner, clock: Clock) -> Runner:
    """Return ``runner``, which makes an attempt that was denied once more, if there are other credentials.

    That is no retry and no hedge: it is not paid for, and it does not count among ``attempts``.
    """

    async def run(call: Call) -> Any:  # noqa: ANN401
        try:
            return await runner(call)
        except BackendDenied as error:
            if call.renewed or not error.renewable or clock.now() >= call.last_start:
                raise
            call.renewed = True
            call.observer.retried(call.attempts, error)
        return await runner(call)

    return run


def repeat(runner: Runner, retry: Policy, hedge: Hedge, clock: Clock) -> Runner:
    """Return ``runner`` behind the two policies that repeat it.

    One of them repeats it after each ``call.pause`` that it sets. The other one repeats it beside the first
    attempt, for the calls that want that.
    """

    async def run(call: Call) -> Any:  # noqa: ANN401
        if call.hedge is not None:
            return await hedge.run(call, runner, call.hedge)
        while True:
            retry.admit(call)
            try:
                answer = await runner(call)
            except BaseException as error:
                retry.failed(call, error)
                if call.pause is None or not isinstance(error, NoAnswer):
                    raise
                call.observer.retried(call.attempts, error)
            else:
                retry.succeeded(call)
                return answer
            await clock.sleep(call.pause)

    return run
