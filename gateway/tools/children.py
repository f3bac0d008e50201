"""The children of ``deskgate demo`` and ``deskgate up``: started, listened to, watched, stopped in order."""

import asyncio
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Self, TypeVar

import msgspec

from gateway.core.errors import DeskgateError
from gateway.declared.environment import child_environment
from gateway.process.parent import die_with_parent
from gateway.tools.processes import Valkey, deskgate

T = TypeVar("T")
Line = Mapping[str, Any]
"""A line of a child's log. A line that is not an event is ``{"event": "text", "text": …}``."""

_STOP_PATIENCE = 15.0  # a worker takes up to 10 s to finish its jobs
_LAST_LINES = 8
_LONGEST_LINE = 1 << 20
_LOOK_EVERY = 0.2
_DEATH_SHOWS = 0.5


class ChildEnded(DeskgateError):
    """A child ended unasked. ``str()`` says which child and how; ``last_lines`` are its last output."""

    def __init__(self, name: str, code: int | None, last_lines: tuple[str, ...] = ()) -> None:
        """Take the child's name and its exit code, negative for a signal."""
        how = "" if code is None else f" with exit code {code}"
        if code is not None and code < 0:
            how = f" by {signal.Signals(-code).name}"
        super().__init__(f"the {name} ended unasked{how}")
        self.last_lines = last_lines


class Child:
    """A ``deskgate`` command as a child process: ``async with`` starts it, and stops it in the end.

    With ``listen`` its output is read, and ``on_line`` gets each line. Else it goes where ours goes.
    """

    def __init__(
        self,
        name: str,
        *arguments: str,
        environ: Mapping[str, str],
        listen: bool = False,
        files: Sequence[int] = (),
    ) -> None:
        """Take its name for people, its arguments, additions to its environment, and files that stay open."""
        self.name = name
        self._arguments, self._environ, self._listen, self._files = arguments, environ, listen, files
        self.on_line: Callable[[Line], None] | None = None
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._expected: list[tuple[Callable[[Line], bool], asyncio.Future[Line]]] = []

    async def __aenter__(self) -> Self:
        """Start it."""
        self._process = await asyncio.create_subprocess_exec(
            *deskgate(*self._arguments),
            env=child_environment(self._environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if self._listen else None,
            stderr=asyncio.subprocess.STDOUT if self._listen else None,
            pass_fds=self._files,
            process_group=0,
            preexec_fn=die_with_parent(),
            limit=_LONGEST_LINE,
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Interrupt it; kill it if it does not end in time."""
        if self._process.returncode is None:  # not SIGTERM: no balancer has to notice that this gateway goes
            self._process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(_STOP_PATIENCE):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
        await self.wait_for_end()

    def expect(self, wanted: Callable[[Line], bool]) -> "asyncio.Future[Line]":
        """Return the next line that is ``wanted``, as soon as it comes; raise ChildEnded."""
        future: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
        self._expected.append((wanted, future))
        return future

    async def wait_for_end(self) -> ChildEnded:
        """Return how it ended, when it has."""
        code = await self._process.wait()
        await self._reader
        return ChildEnded(self.name, code, tuple(self._last))

    async def _read(self) -> None:
        output = self._process.stdout
        if output is not None:
            async for line in output:
                self._take(line.decode(errors="replace").rstrip())
        await self._process.wait()
        for _, future in self._expected:
            if not future.done():
                future.set_exception(ChildEnded(self.name, self._process.returncode, tuple(self._last)))
                future.exception()  # asyncio complains of an exception that nobody has looked at

    def _take(self, text: str) -> None:
        self._last.append(text)
        line = _parse(text)
        if self.on_line is not None:
            self.on_line(line)
        for wanted, future in self._expected:
            if not future.done() and wanted(line):
                future.set_result(line)
        self._expected = [(wanted, future) for wanted, future in self._expected if not future.done()]


def is_event(name: str, **fields: object) -> Callable[[Line], bool]:
    """Return a predicate: true for a line that is this event with these fields."""
    return lambda line: line["event"] == name and fields.items() <= line.items()


async def wait_for_valkey_end(valkey: Valkey) -> ChildEnded:
    """Return how a Valkey server ended, when it has."""
    while valkey.running:  # noqa: ASYNC110 - a Popen sets no event
        await asyncio.sleep(_LOOK_EVERY)
    return ChildEnded("Valkey server", None, tuple(valkey.last_words().splitlines()))


async def run_watched(work: Coroutine[Any, Any, T], *ends: Awaitable[ChildEnded]) -> T:
    """Return what ``work`` returns; raise ChildEnded if one of the ``ends`` comes first."""
    task = asyncio.ensure_future(work)
    watches = [asyncio.ensure_future(end) for end in ends]
    try:
        await asyncio.wait([task, *watches], return_when=asyncio.FIRST_COMPLETED)
        if task.done() and task.exception() is not None:  # its fault may come of a child that has just died
            await asyncio.wait(watches, timeout=_DEATH_SHOWS, return_when=asyncio.FIRST_COMPLETED)
        for watch in watches:
            if watch.done():
                raise watch.result()
        return await task
    finally:
        for waiting in (task, *watches):
            waiting.cancel()
        await asyncio.gather(task, *watches, return_exceptions=True)


def run_until_signal(main: Coroutine[Any, Any, None]) -> signal.Signals | None:
    """Run ``main`` to its end, and return None. At the first signal to stop, cancel it and return the signal.

    Raise what ``main`` raises.
    """
    return asyncio.run(_run_until_signal(main))


async def _run_until_signal(main: Coroutine[Any, Any, None]) -> signal.Signals | None:
    loop = asyncio.get_running_loop()
    received: list[signal.Signals] = []
    task = asyncio.ensure_future(main)

    def stop(number: signal.Signals) -> None:
        if not received:  # once: a second signal must not interrupt the orderly stop
            received.append(number)
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores it
            loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if not received:
            raise
        return received[0]
    return None


def _parse(text: str) -> Line:
    try:
        line: Line = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {"event": "text", "text": text}
    return line if "event" in line else {"event": "text", "text": text}
