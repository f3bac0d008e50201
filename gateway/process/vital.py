"""Tasks without which a process is of no use: if one dies of a bug, the process ends, and says so."""

import signal
from asyncio import Task
from typing import Any

from gateway.core.errors import DeskgateError
from gateway.telemetry import events


class PartFailed(DeskgateError):
    """A vital part of this process has died. Its trace is in the log. ``str()`` names it."""


_failed: list[str] = []


def guard(task: Task[Any], part: str) -> None:
    """End this process as by SIGTERM if ``task`` ends by an exception. Its supervisor starts another one."""

    def look(ended: Task[Any]) -> None:
        if not ended.cancelled() and (error := ended.exception()) is not None:
            events.process_failed(part=part, error=error)
            _failed.append(part)
            signal.raise_signal(signal.SIGTERM)

    task.add_done_callback(look)


def raise_if_failed() -> None:
    """Raise PartFailed if a vital task has died."""
    if _failed:
        msg = f"{', '.join(_failed)} failed: see process.failed in the log"
        raise PartFailed(msg)
