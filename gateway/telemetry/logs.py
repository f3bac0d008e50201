"""The log, an instrument on the events: JSON lines on standard output, colours on a terminal (structlog)."""

import asyncio
import atexit
import logging
import sys
import time
from contextlib import suppress
from select import PIPE_BUF
from typing import Any, BinaryIO

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from gateway.telemetry import events
from gateway.telemetry.events import Event


def configure_logs(process: str, *, terminal: bool | None = None) -> None:
    """Send every event of this process to standard output, and libraries' lines of WARNING or above.

    ``process`` names the kind of process in each line. The values of variables never reach a log call, so
    nothing is filtered here.
    """
    readable = sys.stdout.isatty() if terminal is None else terminal
    shared: list[Processor] = [structlog.processors.add_log_level, _Stamp(process)]
    if readable:
        shared.append(structlog.dev.ConsoleRenderer())
        factory: Any = structlog.PrintLoggerFactory(sys.stdout)
    else:
        shared = [_Line(process)]
        lines = _Lines(sys.stdout.buffer)
        atexit.register(lines.flush)
        factory = lambda *_: lines  # noqa: E731
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    _log.logger = structlog.get_logger().bind()  # bound once: a lazy logger would do it at each call
    logging.basicConfig(handlers=[_Bridge()], level=logging.WARNING, force=True)


class _Log:
    """The logger of events."""

    def __init__(self) -> None:
        self.logger: FilteringBoundLogger = structlog.get_logger()


_log = _Log()


def write(event: Event) -> None:
    """Write one event as one line."""
    getattr(_log.logger, event.level)(event.name, **event.fields)


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


class _Stamp:
    """Adds the kind of process and the time, as RFC 3339 in UTC, to every event."""

    def __init__(self, process: str) -> None:
        self._process = process
        self._second = 0
        self._prefix = ""

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second, self._prefix = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        event["timestamp"] = f"{self._prefix}.{nanoseconds // 1000:06d}Z"
        event["process"] = self._process
        return event


class _Line(_Stamp):
    """Does all the work of a JSON line but the encoding. A line for each callback must be cheap."""

    def __call__(  # type: ignore[override]
        self, logger: WrappedLogger, name: str, event: EventDict
    ) -> tuple[tuple[EventDict], dict[str, Any]]:
        event["level"] = name
        super().__call__(logger, name, event)
        if "exc_info" in event:
            event = structlog.processors.format_exc_info(logger, name, event)
        return (event,), {}  # as structlog passes it on to _Lines


class _Lines:
    """Encodes and writes the lines of one turn of the loop together; without a loop, each at once."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._events: list[EventDict] = []

    def msg(self, event: EventDict) -> None:
        """Take an event. It must not change any more."""
        self._events.append(event)
        if len(self._events) > 1:
            return
        try:
            asyncio.get_running_loop().call_soon(self.flush)
        except RuntimeError:
            self.flush()

    log = debug = info = warning = error = critical = exception = msg

    def flush(self) -> None:
        """Write the lines that were held back, in pieces that a pipe does not mix with another process's."""
        events, self._events = self._events, []
        piece: list[bytes] = []
        size = 0
        for line in map(_dumps, events):
            if piece and size + len(line) >= PIPE_BUF:
                self._write(piece)
                piece, size = [], 0
            piece.append(line)
            size += len(line) + 1
        if piece:
            self._write(piece)

    def _write(self, lines: list[bytes]) -> None:
        with suppress(OSError):  # its reader has gone, or the disk is full: a line about it would fail, too
            self._out.write(b"\n".join((*lines, b"")))
            self._out.flush()


_encoder = msgspec.json.Encoder(enc_hook=repr)


def _dumps(event: EventDict) -> bytes:
    try:
        return _encoder.encode(event)
    except (TypeError, ValueError, RecursionError):  # a lone surrogate, a key that is no text
        return msgspec.json.encode({str(key): ascii(value) for key, value in event.items()})
