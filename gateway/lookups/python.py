"""Python lookups: a function of the user, asked like a backend."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module

from gateway.core.errors import LookupFailed, NoAnswer
from gateway.core.messages import Ask
from gateway.declared.lookup import Lookup
from gateway.lookups.answers import interpret_value
from gateway.lookups.reply import Finding

Function = Callable[[Ask], Awaitable[Mapping[str, object]]]


class PythonBackend:
    """The lane of the lookups that are declared with ``python = "module:function"``."""

    def __init__(self, lookups: Mapping[str, Lookup]) -> None:
        """Import every function now, so that a worker does not start without one.

        Raise ImportError with the place to look.
        """
        self._functions: dict[str, Function] = {
            lookup.name: _function(lookup.name, lookup.python)
            for lookup in lookups.values()
            if lookup.python is not None
        }

    async def close(self) -> None:
        """Do nothing: a function holds no connection."""

    async def ask(self, lookup: Lookup, ask: Ask) -> Finding:
        """Return the answer of one call; raise NoAnswer. Other exceptions of it become LookupFailed."""
        try:
            reply = dict(await self._functions[lookup.name](ask))
        except (NoAnswer, TimeoutError):
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # this task is cancelled: the function has not raised it by itself
            msg = f"{lookup.python} raised {type(error).__name__}"
            raise LookupFailed(msg) from error
        return interpret_value(lookup, reply)


def _function(lookup: str, place: str) -> Function:
    module, _, name = place.partition(":")
    try:
        function: Function = getattr(import_module(module), name)
    except Exception as error:
        msg = (
            f"lookups.{lookup}: {place!r} cannot be imported: {type(error).__name__}: {error}. "
            "It is looked for in PYTHONPATH, among installed packages, and in the working directory"
        )
        raise ImportError(msg) from error
    return function
