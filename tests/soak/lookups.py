"""The lookup of the soak: it takes a moment, answers what it was asked, and keeps a journal."""

import asyncio
import os
import random
from pathlib import Path

from gateway.lookup import Ask

JOURNALS = "SOAK_JOURNALS"
"""The variable that names the directory of journals: one file per worker process, named by its pid."""

LONGEST = 0.1
"""Seconds that a lookup takes at most, drawn evenly."""

_journal: list[int] = []


async def echo(ask: Ask) -> dict[str, str]:
    """Answer with the input; note when it begins (``+``) and when it ends (``-``)."""
    number = ask.inputs["number"]
    _note(f"+{number}\n")
    await asyncio.sleep(random.uniform(0, LONGEST))
    _note(f"-{number}\n")
    return {"echo": number}


def _note(line: str) -> None:
    """Write at once: what the system has been given outlives a SIGKILL."""
    if not _journal:
        path = Path(os.environ[JOURNALS]) / str(os.getpid())
        _journal.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    os.write(_journal[0], line.encode())
