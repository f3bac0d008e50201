"""Calls that wait for the end of the loop's turn, and are then made together."""

import asyncio
from collections.abc import Callable
from typing import Generic, ParamSpec

P = ParamSpec("P")


class DeferredCalls(Generic[P]):
    """The calls of one function. Those of one turn of the loop are made at its end, in a row.

    The function's code is then in the CPU's caches for all of them but the first. If it were called in
    between, it and its callers would push one another out of the caches. That costs half as much again
    (J. Larus, M. Parkes: Using Cohort Scheduling to Enhance Server Performance, USENIX 2002).
    """

    def __init__(self, function: Callable[P, None]) -> None:
        """Take the function. Its exceptions go to the loop's exception handler, and stop no other call."""
        self._function = function
        self._calls: list[tuple[tuple[object, ...], dict[str, object]]] = []

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Put a call off to the end of the turn."""
        self._calls.append((args, kwargs))
        if len(self._calls) == 1:
            asyncio.get_running_loop().call_soon(self._make)

    def _make(self) -> None:
        calls, self._calls = self._calls, []
        for args, kwargs in calls:
            try:
                self._function(*args, **kwargs)  # type: ignore[arg-type] # they are P's
            except Exception as error:  # noqa: BLE001 - the handler logs it
                context = {"message": "a call that was put off failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)
