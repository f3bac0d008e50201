"""Process trees, as `deskgate demo` and `deskgate up` grow them: looked at from outside."""

import asyncio
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.processes import Process


@dataclass(frozen=True, slots=True)
class Relative:
    """A process below one of ours."""

    pid: int
    command: str

    def kill(self) -> None:
        """End it as a crash would."""
        os.kill(self.pid, signal.SIGKILL)

    @property
    def runs(self) -> bool:
        """Whether it is there, and no zombie."""
        try:
            return _stat(Path(f"/proc/{self.pid}"))[0] != "Z"
        except OSError:
            return False


def children_of(pid: int) -> list[Relative]:
    """Return the children of a process, on Linux."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if int(_stat(place)[1]) == pid:
                command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found.append(Relative(int(place.name), command))
        except OSError:
            continue
    return found


async def gone(relatives: Iterable[Relative]) -> None:
    """Return when none of them runs; the test's time limit ends it."""
    while any(relative.runs for relative in relatives):  # noqa: ASYNC110 - another's child tells nobody
        await asyncio.sleep(0.01)


async def shown(process: Process, text: str) -> str:
    """Return the line of a process's output that has ``text``, as soon as it is there."""

    def lines() -> list[str]:
        return [line["text"] for line in process.lines if text in line.get("text", "")]

    async with process._news:
        await process._news.wait_for(lambda: lines() or process._reader.done())
    assert lines(), f"{text!r} is not in {process.lines}"
    return lines()[0]


def _stat(place: Path) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name: state, parent, and so on."""
    return (place / "stat").read_text().rpartition(")")[2].split()
