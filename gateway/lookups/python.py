"""Python lookups: a function of the user, asked like a backend."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from inspect import iscoroutinefunction
from traceback import extract_tb
from typing import Any

from gateway.core.errors import LookupFailed, NoAnswer, NotFound, Overloaded
from gateway.core.messages import Ask
from gateway.declared.backend import PYTHON, Backend
from gateway.declared.lookup import Lookup
from gateway.lookups.client import Clients
from gateway.lookups.other_answers import interpret_missing, interpret_value
from gateway.lookups.reply import Finding
from gateway.telemetry import events

HOOK_TIMEOUT = 10.0
"""Seconds that a hook may take."""

_MOST_FRAMES = 20
_MOST_CAUSES = 5

Function = Callable[[Ask], Any]


class PythonBackend:
    """A lane of lookups that are declared with ``python = "module:function"``."""

    def __init__(
        self,
        lookups: Mapping[str, Lookup],
        declared: Backend = PYTHON,
        name: str = "python",
        clients: Clients | None = None,
    ) -> None:
        """Import every function and hook now, so that a worker does not start without one.

        ``clients`` are the backends that the functions may ask. Raise ImportError with the place to look.
        """
        self._functions: dict[str, Function] = {
            lookup.name: find_function(f"lookups.{lookup.name}", lookup.python)
            for lookup in lookups.values()
            if lookup.python is not None
        }
        self._name, self._options = name, declared.options
        self._hooks = {
            hook: find_function(f"backends.{name}.{hook}", place)
            for hook, place in (("open", declared.open), ("close", declared.close))
            if place is not None
        }
        self._threads = Threads(declared.concurrency)
        self._clients = clients
        self._state: object = None
        self._is_open = False

    async def start(self) -> None:
        """Call the hook ``open``; raise ImportError if it fails."""
        self._is_open = True
        if (hook := self._hooks.get("open")) is None:
            return
        where = f"backends.{self._name}.open"
        try:
            async with asyncio.timeout(HOOK_TIMEOUT):
                self._state = await Threads(1).run(hook, self._options)
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker does not start
            self._is_open = False
            _report(error, lookup="", function=where, trace_id="")
            # Without the text of the exception: it may show an option that is a secret.
            msg = f"{where} raised {type(error).__name__}: lookup.raised in the log says where"
            raise ImportError(msg) from None

    async def close(self) -> None:
        """Call the hook ``close`` with what ``open`` returned, and close the clients."""
        if self._clients is not None:
            await self._clients.close()
        if not self._is_open or (hook := self._hooks.get("close")) is None:
            return
        try:
            async with asyncio.timeout(HOOK_TIMEOUT):
                await Threads(1).run(hook, self._state)
        except Exception as error:  # noqa: BLE001 - the process ends all the same
            _report(error, lookup="", function=f"backends.{self._name}.close", trace_id="")

    async def ask(self, lookup: Lookup, ask: Ask) -> Finding:
        """Return the answer of one call; raise NoAnswer. Other exceptions of it become LookupFailed."""
        try:
            reply = await self.call(lookup, ask)
        except NotFound as error:
            return interpret_missing(lookup, str(error) or "the lookup found nothing")
        return interpret_value(lookup, reply)

    async def call(self, lookup: Lookup, ask: Ask) -> Mapping[str, object]:
        """Return what a lookup's function returns; raise NoAnswer, NotFound among them."""
        deadline = time.monotonic() + ask.left
        asked = replace(
            ask,
            # Copies: a function may change what it gets, and the next attempt or session gets the same.
            inputs=dict(ask.inputs),
            options=_copied({**self._options, **lookup.options}),
            state=self._state,
            log=partial(_say, lookup.name, ask),
            client=None if self._clients is None else partial(self._clients.client, ask, deadline=deadline),
        )
        try:
            return _mapping(lookup, await self._threads.run(self._functions[lookup.name], asked))
        except (NoAnswer, TimeoutError):
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # this task is cancelled: the function has not raised it by itself
            _report(error, lookup=lookup.name, function=str(lookup.python), trace_id=ask.trace_id)
            msg = f"{lookup.python} raised {type(error).__name__}"
            raise Raised(msg, _frames(error)) from None


class Raised(LookupFailed):
    """A lookup's function has raised. ``frames`` say where, innermost last, without any value."""

    def __init__(self, message: str, frames: Sequence[str]) -> None:
        """Take what is told to all, and what is told to its author."""
        super().__init__(message)
        self.frames = tuple(frames)


class Threads:
    """Runs functions: one that is ``async`` in the loop, any other in a thread, of which there are a few.

    A thread cannot be stopped. One whose caller has gone keeps its place until its function ends, and the
    process does not wait for it.
    """

    def __init__(self, most: int) -> None:
        """Take the most threads at a time."""
        self._most, self._busy = most, 0

    async def run(self, function: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
        """Return what a function returns, or raise what it raises; raise Overloaded without a free thread."""
        if iscoroutinefunction(function):
            return await function(*arguments)
        result = await self._begin(function, arguments)
        return await result if hasattr(result, "__await__") else result

    def _begin(self, function: Callable[..., Any], arguments: tuple[object, ...]) -> Awaitable[Any]:
        if self._busy >= self._most:
            msg = f"{self._most} functions run in threads already"
            raise Overloaded(msg)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def end(result: object, error: BaseException | None) -> None:
            self._busy -= 1
            if done.cancelled():
                return
            if error is None:
                done.set_result(result)
            else:  # StopIteration cannot be set on a future
                done.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)

        def work() -> None:
            result, error = None, None
            try:
                result = function(*arguments)
            except BaseException as raised:  # noqa: BLE001 - it is raised where the call is awaited
                error = raised
            if not loop.is_closed():
                loop.call_soon_threadsafe(end, result, error)

        self._busy += 1
        threading.Thread(target=work, name="lookup", daemon=True).start()
        return done


def find_function(where: str, place: str) -> Function:
    """Return the function that ``module:name`` is; raise ImportError with the place to look."""
    module, _, name = place.partition(":")
    try:
        function: Function = getattr(import_module(module), name)
    except Exception as error:
        msg = (
            f"{where}: {place!r} cannot be imported: {type(error).__name__}: {error}. "
            "It is looked for in PYTHONPATH, among installed packages, and in the working directory"
        )
        raise ImportError(msg) from error
    return function


def _copied(value: Any) -> Any:  # noqa: ANN401 - any TOML value
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in value.items()}
    return [_copied(one) for one in value] if isinstance(value, list) else value


def _say(lookup: str, ask: Ask, text: str, /, **fields: object) -> None:
    events.lookup_said(lookup=lookup, text=text, fields=fields, session=ask.session, trace_id=ask.trace_id)


def _mapping(lookup: Lookup, reply: object) -> Mapping[str, object]:
    """Return a function's reply; raise LookupFailed, which says what to return, if it is no mapping."""
    if not isinstance(reply, dict | Mapping):
        kind = "None" if reply is None else f"a value of the type {type(reply).__name__}"
        msg = f"{lookup.python} returned {kind}: return a mapping of names to values"
        raise LookupFailed(msg)
    return reply


def _report(error: BaseException, *, lookup: str, function: str, trace_id: str) -> None:
    events.lookup_raised(
        lookup=lookup,
        function=function,
        error=" from ".join(type(one).__name__ for one in _causes(error)),
        frames=_frames(error),
        trace_id=trace_id,
    )


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
