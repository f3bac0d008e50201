"""The workers of the soak: real processes, killed and replaced, each with its journal and its log."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.tools.processes import spawn, stop
from tests.desk import ROOT
from tests.soak.lookups import JOURNALS


@dataclass(slots=True)
class Member:
    """A worker process; ``killed`` is when it was, on the monotonic clock."""

    process: subprocess.Popen[bytes]
    log: Path
    journal: Path
    killed: float | None = None

    @property
    def ready(self) -> bool:
        """Whether it has said that it takes jobs."""
        with self.log.open("rb") as log:
            return b"worker.started" in log.read(4096)

    @property
    def begun(self) -> list[int]:
        """The numbers whose lookups it has begun."""
        return [int(line[1:]) for line in self._lines() if line.startswith("+")]

    @property
    def in_hand(self) -> int:
        """How many lookups it has begun and not ended."""
        return sum(1 if line.startswith("+") else -1 for line in self._lines())

    def events(self) -> Iterator[str]:
        """Yield what it has logged: each line's event, or its text when it is none."""
        for line in self.log.read_text().splitlines(keepends=True):
            if not line.endswith("\n"):  # cut off by SIGKILL
                continue
            try:
                yield json.loads(line)["event"]
            except ValueError:
                yield line.strip()

    def _lines(self) -> list[str]:
        return self.journal.read_text().splitlines() if self.journal.exists() else []


@dataclass(slots=True)
class Fleet:
    """A fixed number of workers: each one that ends is replaced."""

    config: Path
    directory: Path
    members: list[Member] = field(default_factory=list)

    def start(self) -> None:
        """Start one more."""
        log = self.directory / f"worker{len(self.members)}.log"
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environ = {JOURNALS: str(self.directory), "PYTHONPATH": paths}
        with log.open("wb") as output:
            process = spawn([sys.executable, "-m", "workers", "-c", str(self.config)], environ, output)
        self.members.append(Member(process, log, self.directory / str(process.pid)))

    @property
    def living(self) -> list[Member]:
        """The workers that have not been killed."""
        return [member for member in self.members if member.killed is None]

    @property
    def killed(self) -> list[Member]:
        """The workers that have been killed."""
        return [member for member in self.members if member.killed is not None]

    @property
    def ready(self) -> list[Member]:
        """The living that take jobs."""
        return [member for member in self.living if member.ready]

    def replace(self, dice: random.Random) -> None:
        """End one that takes jobs as a crash would, and start another."""
        victim = dice.choice(self.ready)
        victim.process.kill()
        victim.process.wait()
        victim.killed = time.monotonic()
        self.start()

    def stop(self) -> list[int]:
        """End the living politely; return their exit codes."""
        return [stop(member.process) for member in self.living]

    def events(self) -> Counter[str]:
        """Return what all of them have logged, by event."""
        return Counter(event for member in self.members for event in member.events())
