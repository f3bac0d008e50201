"""Real processes of the project, their log lines read as they come."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any, Self

from gateway.process.parent import die_with_parent
from tests.desk import Place


class Process:
    """A process whose standard output is JSON lines. ``async with`` ends it, by SIGKILL at last."""

    def __init__(
        self, *command: str, environ: Mapping[str, str], cwd: Path | None = None, files: Sequence[int] = ()
    ) -> None:
        """Take what this interpreter runs, an addition to the environment, where to start it, open files."""
        self._command, self._cwd, self._files = command, cwd, files
        self._environ = {**os.environ, **environ}
        self.lines: list[dict[str, Any]] = []
        self._news = asyncio.Condition()
        self._reads = asyncio.Event()
        self._reads.set()

    async def __aenter__(self) -> Self:
        """Start it."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._command,
            env=self._environ,
            cwd=self._cwd,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=die_with_parent(),
            pass_fds=self._files,
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reader

    async def event(self, name: str, count: int = 1) -> dict[str, Any]:
        """Return the ``count``-th line of an event, as soon as it has been logged."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.events(name)) >= count or self._reader.done())
        assert len(self.events(name)) >= count, f"ended without {name}: {self.lines[-3:]}"
        return self.events(name)[count - 1]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the lines of an event so far."""
        return [line for line in self.lines if line.get("event") == name]

    def pause(self) -> None:
        """Read its output no longer."""
        self._reads.clear()

    def resume(self) -> None:
        """Read its output again."""
        self._reads.set()

    def signal(self, number: Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    async def end(self, number: Signals = SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self._process.send_signal(number)
        return await self._process.wait()

    async def ended(self) -> int:
        """Return the exit code when it has ended by itself and all that it said has been read."""
        await self._reader
        return await self._process.wait()

    async def kill(self) -> None:
        """End it as a crash would."""
        await self.end(SIGKILL)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            await self._reads.wait()
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                self.lines.append({"event": "text", "text": line.decode()})
            async with self._news:
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()


class GatewayProcess(Process):
    """``deskgate gateway`` on the test configuration."""

    def __init__(self, config: Path, place: Place, **environ: str) -> None:
        """Take the configuration file, where its parts live, and what else to add to the environment."""
        super().__init__("-m", "gateway", "gateway", "-c", str(config), environ={**place.environ, **environ})

    async def address(self) -> tuple[str, int]:
        """Return where it takes callbacks, once it does."""
        host, _, port = (await self.event("gateway.started"))["listen"].rpartition(":")
        return host, int(port)


class WorkerProcess(Process):
    """``deskgate worker`` on the test configuration; ``async with`` returns when it takes jobs."""

    def __init__(self, config: Path, place: Place, **environ: str) -> None:
        """Take the configuration file, where its parts live, and what else to add to the environment."""
        super().__init__("-m", "gateway", "worker", "-c", str(config), environ={**place.environ, **environ})

    async def __aenter__(self) -> Self:
        """Start it and wait until it is there."""
        await super().__aenter__()
        await self.event("worker.started")
        return self


async def told(place: Place, *arguments: str) -> tuple[int, str]:
    """Return the exit code and the output of a command of ``deskgate`` that ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", *arguments),
        env={**os.environ, **place.environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return int(process.returncode or 0), output.decode()
