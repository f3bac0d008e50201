"""structlog, set up once per process: JSON lines on standard output, colours on a terminal."""

import logging
import sys
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger


def configure_logs(process: str, *, terminal: bool | None = None) -> None:
    """Send every event of this process, and what libraries log at WARNING or above, to standard output.

    ``process`` names the kind of process in each line. Variable values never reach a log call, so nothing is
    filtered here.
    """
    readable = sys.stdout.isatty() if terminal is None else terminal
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(process),
    ]
    if readable:
        shared.append(structlog.dev.ConsoleRenderer())
        factory: Any = structlog.PrintLoggerFactory(sys.stdout)
    else:
        shared += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_dumps)]
        factory = structlog.BytesLoggerFactory(sys.stdout.buffer)
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Bridge()], level=logging.WARNING, force=True)


class _Bridge(logging.Handler):
    """Libraries log with the standard library; their lines leave in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record of the standard library as an event."""
        logger = structlog.get_logger("deskgate.library")
        exception = {"exc_info": record.exc_info} if record.exc_info else {}
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - whatever the library's arguments raise
            message = str(record.msg)
        level = logging.ERROR if record.levelno >= logging.ERROR else logging.WARNING
        logger.log(level, "library.logged", logger=record.name, message=message, **exception)


def _named(process: str) -> Processor:
    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    return add


def _dumps(event: EventDict, **_: object) -> bytes:
    try:
        return msgspec.json.encode(event, enc_hook=repr)
    except (TypeError, ValueError, RecursionError):  # a lone surrogate, a key that is no text
        return msgspec.json.encode({str(key): ascii(value) for key, value in event.items()})
