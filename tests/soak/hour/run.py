"""The run: every fault in turn under load, a tally each, and what the processes are left with."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.run import resident
from tests.soak.hour.callers import CONNECTIONS, Callers, Tally
from tests.soak.hour.faults import FAULTS, Fault
from tests.soak.hour.stage import Stage

RATE = 200.0
"""Callbacks a second: ten times those of a contact centre with 72,000 an hour."""

BUGS = ("callback.failed", "edge.failed", "lookup.failed", "config.failed", "library.logged", "text")
"""Events that tell of a bug."""

_SETTLE = 2.0
_MORE_FILES = 150  # a worker keeps up to 100 connections to a backend, and 40 callers have one each
_MORE_MEMORY = 40_000_000


@dataclass(slots=True)
class Hour:
    """What became of the callbacks, by fault; files and memory of each process, at first and at the end."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    kept: list[tuple[int, int, int, int]] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Return what should not be; nothing if all is well."""
        found = []
        for name, tally in self.tallies.items():
            if tally.wrong or tally.late or tally.lost:
                found.append(f"{name}: {tally.lost} lost, {tally.wrong} wrong, {tally.late} late")
                found += tally.examples[:3]
        for files, more_files, memory, more_memory in self.kept:
            if more_files - files > _MORE_FILES or more_memory - memory > _MORE_MEMORY:
                found.append(f"files {files} to {more_files}, memory {memory} to {more_memory}")
        return [*found, *self.bugs]


async def run(
    seconds: float, faults: Sequence[Fault] = FAULTS, tell: Callable[[str], None] = lambda _: None
) -> Hour:
    """Have each fault last about so many seconds, with a quiet time behind each."""
    hour = Hour()
    with TemporaryDirectory(prefix="deskgate-hour-") as name:
        async with Stage(Path(name)) as stage:
            callers = Callers(stage.balancer.address, RATE)
            over = asyncio.Event()
            calling = asyncio.create_task(callers.run(over.is_set))
            await asyncio.sleep(_SETTLE)
            begun: dict[int, tuple[int, int]] = {}
            for fault in faults:
                tell(fault.name)
                callers.tally = hour.tallies[fault.name] = Tally()
                await fault.happen(stage, seconds)
                await asyncio.sleep(_SETTLE)
                for one in stage.processes:
                    begun.setdefault(one.pid, (_files(one.pid), resident(one.pid)))
                if fault.kills_gateway:  # what it had in hand is lost with it: Desk does not ask again
                    _forgive(callers.tally, CONNECTIONS)
            over.set()
            await calling
            for one in stage.processes:
                files, memory = begun[one.pid]
                hour.kept.append((files, _files(one.pid), memory, resident(one.pid)))
            for process in (*stage.processes, *stage.ended):
                hour.bugs += [str(line)[:500] for event in BUGS for line in process.events(event)][:3]
    return hour


def _forgive(tally: Tally, most: int) -> None:
    """Take away the callbacks that a killed gateway had in hand: one for each connection, at most."""
    if tally.lost <= most:
        tally.lost = 0


def _files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
