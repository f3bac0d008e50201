"""The contestants in the benchmark of the hand-off, and how each is started."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.tools.processes import CannotStart, stop
from tests.bench.stage import ROOT, Caller, Stage, environ

PEER = "tests.bench.peers.{}"
_CONFIGURATION = """\
import sys
from tests.bench.configuration import configuration
print(configuration(*sys.argv[1:]))
"""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A caller and, but for PING, a worker. A slow one has few turns, and is started for each of them anew.

    ``module`` is one of :mod:`tests.bench.peers`. ``database`` is the one of Redis that its keys are in.
    ``root`` is the checkout that it is run from.
    """

    name: str
    module: str
    database: int
    python: str = sys.executable
    slow: bool = False
    root: Path = ROOT

    def commands(self, stage: Stage) -> tuple[list[str], list[str]]:
        """Return the command lines of its worker and of its caller."""
        module, url = PEER.format(self.module), f"{stage.url}/{self.database}"
        return [self.python, "-m", module, "worker", url], [self.python, "-m", module, "caller", url]

    @contextmanager
    def start(self, stage: Stage) -> Iterator[tuple[Caller, dict[str, int]]]:
        """Run its processes, warmed up; give the caller, and the pids to watch. Raise CannotStart.

        The worker has a core without its caller and Redis, which share one.
        """
        worker_command, caller_command = self.commands(stage)
        worker = stage.start(worker_command, self.root)
        stage.placement.keep_apart(worker.pid)
        try:
            with Caller(caller_command, stage.directory, self.root) as caller:
                stage.placement.keep_together(caller.pid)
                stage.explain(caller.warm_up, worker)
                yield caller, {"caller": caller.pid, "worker": worker.pid}
        finally:
            stop(worker)


@dataclass(frozen=True, slots=True)
class Deskgate(Contestant):
    """The project itself: its worker as users run it, its hand-off in a process like a gateway."""

    def commands(self, stage: Stage) -> tuple[list[str], list[str]]:
        """Return the command lines of its worker and of its caller."""
        prefix = f"bench{self.database}"
        config = stage.write(f"{prefix}.toml", self._configuration(stage.url, prefix))
        return worker_command(config, self.python), caller_command(config, "noop", self.python)

    def _configuration(self, url: str, prefix: str) -> str:
        """Return the configuration as this contestant's own checkout writes it; raise CannotStart."""
        command = [self.python, "-c", _CONFIGURATION, url, prefix]
        there = {**os.environ, **environ(self.root)}
        made = subprocess.run(command, env=there, capture_output=True, text=True, check=False)
        if made.returncode:
            raise CannotStart(made.stderr.strip().splitlines()[-1])
        return made.stdout


def worker_command(config: Path, python: str = sys.executable) -> list[str]:
    """Return the command line of the project's worker."""
    return [python, "-m", "workers", "-c", str(config)]


def caller_command(config: Path, lookup: str, python: str = sys.executable) -> list[str]:
    """Return the command line of the project's caller, without HTTP."""
    return [python, "-m", PEER.format("deskgate"), str(config), lookup]


PING = Contestant("PING (redis-py)", "ping", 1)
RAW = Contestant("raw list (redis-py)", "raw", 2)
OURS = Deskgate("deskgate", "deskgate", 0)
FAST = (PING, RAW, OURS)

_SLOW = (
    ("arq as it comes", "arq", "arq"),
    ("arq polling at 10 ms", "arq_10ms", "arq"),
    ("saq", "saq", "saq"),
    ("streaq", "streaq", "streaq"),
    ("taskiq-redis", "taskiq", "taskiq"),
)


def slow_contestants(installed: Mapping[str, Path | str]) -> Iterator[Contestant]:
    """Yield those peers that could be installed."""
    for database, (name, module, peer) in enumerate(_SLOW, start=3):
        python = installed.get(peer)
        if isinstance(python, Path):
            yield Contestant(name, module, database, str(python), slow=True)
