"""The cost of a turn: Redis commands, reads from sockets by Redis, and CPU time by process."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

from tests.bench.figures import Turn
from tests.bench.stage import Caller, Stage


@dataclass(frozen=True, slots=True)
class Spent:
    """The cost between two readings: counts by Redis, CPU seconds by process."""

    commands: int
    reads: int
    cpu: Mapping[str, float]


class Meter:
    """It counts from the moment in which it is made.

    Redis's counters are read before the CPU clocks at the begin, and after them at the end: the work of
    reading the counters is in no figure.
    """

    def __init__(self, stage: Stage, pids: Mapping[str, int]) -> None:
        """Begin."""
        self._stage, self._pids = stage, pids
        self._commands, self._reads = _counters(stage)
        self._cpu = _clocks(pids)

    def read(self) -> Spent:
        """Return what has been spent since."""
        cpu = {name: seconds - self._cpu[name] for name, seconds in _clocks(self._pids).items()}
        commands, reads = _counters(self._stage)
        return Spent(commands - self._commands, reads - self._reads - 1, cpu)


@dataclass(frozen=True, slots=True)
class Heat:
    """One turn and what it has cost."""

    turn: Turn
    spent: Spent

    def per_job(self, amount: float) -> float:
        """Return an amount per call that ended well, in time or not; NaN when none did."""
        return amount / self.turn.ended if self.turn.ended else nan

    def cpu(self, *processes: str) -> float:
        """Return the CPU time of these processes together, in µs per call; of all when none is named."""
        return self.per_job(sum(self.spent.cpu[name] for name in processes or self.spent.cpu) * 1e6)


def run_heat(
    stage: Stage, caller: Caller, pids: Mapping[str, int], *, seconds: float, **order: object
) -> Heat:
    """Have a caller make one turn, and watch Redis and the processes named; raise CannotStart."""
    meter = Meter(stage, {**pids, "Redis": stage.valkey.pid})
    turn = caller.turn(seconds=seconds, **order)
    return Heat(turn, meter.read())


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, all its threads; NaN where the system does not show it.

    On Linux a process's CPU clock has an id made of its pid (clock_getcpuclockid(3)), with nanoseconds where
    ``/proc`` has hundredths of a second.
    """
    if sys.platform != "linux":
        return nan
    return time.clock_gettime((~pid << 3) | 2)


def _clocks(pids: Mapping[str, int]) -> dict[str, float]:
    return {name: cpu_seconds(pid) for name, pid in pids.items()}


def _counters(stage: Stage) -> tuple[int, int]:
    """Return commands, those inside scripts and transactions included, and reads."""
    told = stage.redis.info("stats", "commandstats")
    commands = sum(
        entry["calls"]
        for name, entry in told.items()
        if name.startswith("cmdstat_") and name != "cmdstat_info"
    )
    return commands, told["total_reads_processed"]
