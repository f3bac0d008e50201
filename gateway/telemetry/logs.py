"""The log, an instrument on the events: JSON lines on standard output, colours on a terminal (structlog)."""

import asyncio
import atexit
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from gateway.telemetry import events
from gateway.telemetry.events import Event
from gateway.telemetry.tally import tally
from gateway.telemetry.terminal import TerminalLine
from gateway.telemetry.writer import Writer

# structlog is loaded by those that write a log: it takes commands that end a quarter of their time.
# ruff: noqa: PLC0415
if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

EventDict = MutableMapping[str, Any]
"""An event's name and fields, as structlog's processors hand them on."""

Format = Literal["json", "text"]
Prepare = Callable[[Event], Mapping[str, Any] | None]
"""Returns the fields of an event as they are to be written, or None if it is not."""

_LEVELS = {"debug": 0, "info": 1, "warning": 2, "error": 3}


def configure_logs(process: str, form: Format | None = None, *, colors: bool | None = None) -> None:
    """Send every event of this process to standard output, and libraries' lines of WARNING or above.

    ``process`` names the kind of process in each line. Without a ``form`` a terminal gets text, and all else
    JSON. Text has ``colors``; without a wish, on a terminal. The values of variables never reach a log call,
    so nothing is filtered here.
    """
    import structlog

    file, on_terminal = _standard_output()
    writer = Writer(file, _tell_dropped)
    tally.dropped = lambda: writer.dropped_in_all
    lines = _Lines(writer)
    atexit.register(lines.close)
    if form == "text" or (form is None and on_terminal):
        renderer: Any = TerminalLine(colors=on_terminal if colors is None else colors)
    else:
        renderer = _pass_on
    structlog.configure(
        processors=[_Line(process), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    _log.logger = structlog.get_logger().bind()  # bound once: a lazy logger would do it at each call
    _log.silent = False
    logging.basicConfig(handlers=[_Bridge()], level=logging.WARNING, force=True)


def _tell_dropped(lines: int, seconds: float) -> None:
    events.log_dropped(lines=lines, seconds=seconds)


def _standard_output() -> tuple[int, bool]:
    """Return where lines go, and whether a terminal shows them. A closed output swallows them."""
    if sys.stdout is None:  # closed by ``>&-``: its number may be another file's by now
        return os.open(os.devnull, os.O_WRONLY), False
    return sys.stdout.fileno(), sys.stdout.isatty()


class _Log:
    """The logger of events."""

    def __init__(self) -> None:
        self.logger: FilteringBoundLogger | None = None
        self.silent = False
        self.level = _LEVELS["info"]
        self.prepare: Prepare | None = None

    def unconfigured(self) -> "FilteringBoundLogger":
        """Return a logger that prints, for whoever has not configured one."""
        import structlog

        self.logger = structlog.get_logger()
        return self.logger


_log = _Log()


def silence(*, silent: bool = True) -> None:
    """Write no event, until :func:`configure_logs`: a command's output is for whoever has called it."""
    _log.silent = silent


def write(event: Event) -> None:
    """Write one event as one line, if it is to be written."""
    if _LEVELS[event.level] < _log.level or _log.silent:
        return
    fields = event.fields if _log.prepare is None else _log.prepare(event)
    if fields is not None:
        getattr(_log.logger or _log.unconfigured(), event.level)(event.name, **fields)


def choose(level: str, prepare: Prepare | None) -> None:
    """Write from now on the events of this level and above, as ``prepare`` says; None: as they are."""
    _log.level, _log.prepare = _LEVELS[level], prepare


class _Bridge(logging.Handler):
    """Turns the log lines of libraries, which use the standard library, into events."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record of the standard library as an event."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - the library's arguments may raise anything
            message = str(record.msg)
        events.library_logged(
            level="error" if record.levelno >= logging.ERROR else "warning",
            logger=record.name,
            message=message,
            error=record.exc_info,
        )


class _Line:
    """Puts name, level, time (RFC 3339, UTC) and kind of process in front of an event's fields."""

    def __init__(self, process: str) -> None:
        self._process = process
        self._second = 0
        self._prefix = ""

    def __call__(self, _: object, name: str, event: EventDict) -> EventDict:
        second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second, self._prefix = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return {
            "event": event.pop("event"),
            "level": name,
            "timestamp": f"{self._prefix}.{nanoseconds // 1000:06d}Z",
            "process": self._process,
            **event,
        }


def _pass_on(logger: object, name: str, event: EventDict) -> tuple[tuple[EventDict], dict[str, Any]]:
    """Pass an event on to _Lines, which encodes it later."""
    if "exc_info" in event:
        import structlog

        event = structlog.processors.format_exc_info(logger, name, event)
    return (event,), {}


class _Lines:
    """Encodes the lines of one turn of the loop together; without a loop, each at once."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._events: list[EventDict | str] = []

    def msg(self, event: EventDict | str) -> None:
        """Take an event, or its text. It must not change any more."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write([event])
            return
        self._events.append(event)
        if len(self._events) == 1:
            loop.call_soon(self._flush)

    log = debug = info = warning = error = critical = exception = msg

    def close(self) -> None:
        """Write what waits."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        events, self._events = self._events, []
        self._write(events)

    def _write(self, events: list[EventDict | str]) -> None:
        self._writer.put([_encode(event) for event in events])


_encoder = msgspec.json.Encoder(enc_hook=repr)


def _encode(event: EventDict | str) -> bytes:
    if isinstance(event, str):
        return event.encode(errors="backslashreplace")
    try:
        return _encoder.encode(event)
    except Exception:  # noqa: BLE001 - a lone surrogate, a key that is no text, an object that has no repr()
        return _encoder.encode({_plain(key): _encodable(value) for key, value in event.items()})


def _encodable(value: Any) -> Any:  # noqa: ANN401 - any value of an event
    """Return a value as it is, or as text if it cannot be encoded."""
    try:
        _encoder.encode(value)
    except Exception:  # noqa: BLE001
        return _plain(value)
    return value


def _plain(value: object) -> str:
    """Return a text that can be encoded: half a surrogate pair is escaped."""
    try:
        text = value if isinstance(value, str) else ascii(value)
    except Exception as error:  # noqa: BLE001 - a Python lookup may log any object
        text = f"<{type(value).__name__} without a repr(): {type(error).__name__}>"
    return text.encode(errors="backslashreplace").decode()
