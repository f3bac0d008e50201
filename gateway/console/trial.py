"""One lookup asked once, for the console, in a process of its own (``trying.py``).

A gateway answers callbacks meanwhile. The code of a Python lookup, or a database's driver, might hold it up.
The question goes to the process by its standard input: other users of the machine can see arguments.
"""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec

from gateway.core.errors import DeskgateError

LONGEST_TRIAL = 30.0
"""Seconds for which a trial may run."""

MOST_TRIALS = 2
"""Trials that a process runs at the same time."""


class Question(msgspec.Struct, frozen=True):
    """What is tried: a lookup, with these variables of the session.

    ``reply`` takes the place of the backend's. In a ``dry_run`` nothing is sent.
    """

    lookup: str
    variables: dict[str, str] = {}
    dry_run: bool = False
    reply: str | None = None
    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 200

    @property
    def asks(self) -> bool:
        """True if the backend is asked."""
        return self.reply is None and not self.dry_run


class TrialFailed(DeskgateError):
    """A trial in the console has come to no result; ``str()`` says why."""


class Trials:
    """Runs trials by the configuration file as it is on the disk; ``running`` are their processes."""

    def __init__(self, path: Path) -> None:
        """Take the configuration file."""
        self._path = path
        self._begun = 0
        self.running: set[asyncio.subprocess.Process] = set()

    def close(self) -> None:
        """End all trials."""
        for process in self.running:
            _kill(process)

    async def run(self, question: Question) -> bytes:
        """Return what ``deskgate try --json`` prints; raise TrialFailed."""
        if self._begun >= MOST_TRIALS:
            msg = f"{MOST_TRIALS} trials are running already; wait for their end"
            raise TrialFailed(msg)
        self._begun += 1
        try:
            return await self._run(msgspec.json.encode(question))
        finally:
            self._begun -= 1

    async def _run(self, question: bytes) -> bytes:
        command = (sys.executable, "-P", "-m", "gateway.console.trying", str(self._path))
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            msg = f"no process could be started for it: {error.strerror}"
            raise TrialFailed(msg) from None
        self.running.add(process)
        try:
            async with asyncio.timeout(LONGEST_TRIAL):
                output, said = await process.communicate(question)
        except TimeoutError:
            msg = f"it has not ended within {LONGEST_TRIAL:.0f} s"
            raise TrialFailed(msg) from None
        finally:
            _kill(process)
            self.running.discard(process)
        if process.returncode:
            lines = said.decode(errors="replace").splitlines()
            raise TrialFailed(lines[-1] if lines else f"its process ended with {process.returncode}")
        return output


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
