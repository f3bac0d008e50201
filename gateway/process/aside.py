"""Calls that may hang, as a file system may: each in a thread that no process waits for at its end."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def aside(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a function returns, or raise what it raises; the loop goes on meanwhile.

    The threads of :func:`asyncio.to_thread` are waited for when the loop is closed. So one that hangs would
    keep a process that has been told to stop from its end.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def end(result: Any, error: Exception | None) -> None:  # noqa: ANN401 - a T, if there is no error
        if done.cancelled():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def work() -> None:
        result, failure = None, None
        try:
            result = function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - it is raised where the call is awaited
            failure = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(end, result, failure)

    threading.Thread(target=work, name="aside", daemon=True).start()
    return await done
