"""Which core a process is kept on.

Left to the kernel, the same code took 1.2 times as long as a raw list on one machine, 1.7 times on another.
"""

import os
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

_TOO_FEW = "there are no two cores on which processes can be kept"


@dataclass(frozen=True, slots=True)
class Placement:
    """One core for the process that is measured against others, and one for all around it.

    Without two cores, ``cores`` is empty and the kernel places every process.
    """

    cores: Sequence[int]

    @classmethod
    def of(cls, usable: Collection[int]) -> Self:
        """Choose the first two of the usable cores, however many there are: runs stay comparable."""
        cores = sorted(usable)[:2]
        return cls(cores if len(cores) == 2 else ())

    @classmethod
    def here(cls) -> Self:
        """Choose among the cores that this process may use."""
        return cls.of(_usable())

    def keep_apart(self, pid: int) -> None:
        """Keep a process, just started, on the first core."""
        self._keep(pid, 0)

    def keep_together(self, pid: int) -> None:
        """Keep a process, just started, on the second core, which all of these share."""
        self._keep(pid, 1)

    def sentence(self, apart: str, together: str) -> str:
        """Return the line of the report that says where the processes ran."""
        if not self.cores:
            return f"*Placement*: left to the kernel, because {_TOO_FEW}."
        first, second = self.cores
        return f"*Placement*: {apart} on core {first}; {together} on core {second}."

    def _keep(self, pid: int, position: int) -> None:
        if self.cores and sys.platform == "linux":
            with suppress(ProcessLookupError):  # it has ended; whoever waits for it says so
                os.sched_setaffinity(pid, {self.cores[position]})


def _usable() -> Collection[int]:
    """Return the cores of this process; no core where it may not choose among them."""
    if sys.platform != "linux":
        return ()
    try:
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)
    except OSError:
        return ()
    return cores
