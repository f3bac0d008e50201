"""Python lookups: a function of the user, asked like a backend."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from importlib import import_module
from traceback import extract_tb

from gateway.core.errors import LookupFailed, NoAnswer
from gateway.core.messages import Ask
from gateway.declared.lookup import Lookup
from gateway.lookups.answers import interpret_value
from gateway.lookups.reply import Finding
from gateway.telemetry import events

_MOST_FRAMES = 20
_MOST_CAUSES = 5

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

    def start(self) -> None:
        """Do nothing: all functions are there."""

    async def close(self) -> None:
        """Do nothing: a function holds no connection."""

    async def ask(self, lookup: Lookup, ask: Ask) -> Finding:
        """Return the answer of one call; raise NoAnswer. Other exceptions of it become LookupFailed."""
        try:
            reply = _mapping(lookup, await _begin(lookup, self._functions[lookup.name], ask))
        except (NoAnswer, TimeoutError):
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # this task is cancelled: the function has not raised it by itself
            events.lookup_raised(
                lookup=lookup.name,
                function=str(lookup.python),
                error=" from ".join(type(one).__name__ for one in _causes(error)),
                frames=_frames(error),
                trace_id=ask.trace_id,
            )
            msg = f"{lookup.python} raised {type(error).__name__}"
            raise LookupFailed(msg) from None
        return interpret_value(lookup, reply)


def _begin(lookup: Lookup, function: Function, ask: Ask) -> Awaitable[object]:
    """Call a function; raise LookupFailed, which says what to write, if there is nothing to await."""
    awaited = function(ask)
    if not hasattr(awaited, "__await__"):
        name = str(lookup.python).rpartition(":")[2]
        msg = f"{lookup.python} is not an async function: write `async def {name}`"
        raise LookupFailed(msg)
    return awaited


def _mapping(lookup: Lookup, reply: object) -> Mapping[str, object]:
    """Return a function's reply; raise LookupFailed, which says what to return, if it is no mapping."""
    if not isinstance(reply, dict | Mapping):
        kind = "None" if reply is None else f"a value of the type {type(reply).__name__}"
        msg = f"{lookup.python} returned {kind}: return a mapping of names to values"
        raise LookupFailed(msg)
    return reply


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that it was raised from."""
    for _ in range(_MOST_CAUSES):
        yield error
        if error.__cause__ is None:
            return
        error = error.__cause__


def _frames(error: BaseException) -> list[str]:
    """Return where an exception came from, innermost last: file, line, function. No value is in it."""
    own = [frame for frame in extract_tb(error.__traceback__) if frame.filename != __file__]
    return [f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}" for frame in own[-_MOST_FRAMES:]]


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
