"""A place for one contestant: a CRM, a Redis, and processes that a supervisor starts again when they end."""

import json
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from gateway.tools.processes import Valkey, deskgate, spawn, stop
from tests.bench.stage import ENVIRON, free_port, wait_for_port
from tests.storm.scenarios import Deed
from tests.storm.workload import SEED

if TYPE_CHECKING:
    from subprocess import Popen


class Supervised:
    """A process that is started again when it has ended."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        """Start it; what it writes goes to ``log``."""
        self._command, self._environ = command, {**ENVIRON, **environ}
        self._log = log.open("wb")
        self._process = self._spawn()
        self.starts = 1

    def keep_up(self) -> None:
        """Start it again if it has ended."""
        if self._process.poll() is not None:
            self._process = self._spawn()
            self.starts += 1

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it for good."""
        stop(self._process)
        self._log.close()

    def _spawn(self) -> "Popen[bytes]":
        return spawn(self._command, self._environ, self._log)


class Place:
    """Use it as a context manager; whatever was started is stopped at the end, newest first."""

    def __init__(self, logs: Path | None = None) -> None:
        """Choose where the processes' output is kept; by default nowhere."""
        self._logs = logs
        self._workers: list[Supervised] = []
        self._others: list[Supervised] = []
        self._killed = 0

    def __enter__(self) -> Self:
        """Start Redis and the CRM; raise CannotStart."""
        with ExitStack() as exits:
            self._exits = exits
            self.directory = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="deskgate-")))
            self._redis = exits.enter_context(Valkey())
            port = free_port()
            self.crm_url = f"http://127.0.0.1:{port}"
            script = self.directory / "crm.toml"
            script.write_text(f"seed = {SEED}\n", encoding="utf-8")
            self._others.append(
                self._start("crm", deskgate("crm", "--port", str(port), "--script", str(script)))
            )
            wait_for_port(port)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self._exits.close()

    @property
    def redis_url(self) -> str:
        """The server's address, the same when it has been started again."""
        return self._redis.url

    def front(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start what takes the callbacks."""
        self._others.append(self._start("front", command, environ))

    def worker(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start a worker."""
        self._workers.append(self._start(f"worker{len(self._workers)}", command, environ))

    def keep_up(self) -> None:
        """Start again what has ended."""
        for process in (*self._workers, *self._others):
            process.keep_up()

    @property
    def restarts(self) -> int:
        """How often a process had ended and was started again."""
        return sum(process.starts - 1 for process in (*self._workers, *self._others))

    def do(self, deed: Deed) -> None:
        """Kill, or start again; what the contestant has none of is left alone."""
        if deed is Deed.KILL_REDIS:
            self._redis.kill()
        elif deed is Deed.START_REDIS:
            self._redis.start()
        elif self._workers:
            self._workers[self._killed % len(self._workers)].kill()
            self._killed += 1

    def play(self, script: str) -> None:
        """Have the CRM play a fault script, from now on, and count its calls from zero."""
        self._tell_crm("PUT", "/_script", script.encode())
        self._tell_crm("DELETE", "/_stats")

    def calls(self) -> int:
        """Return how often the CRM was called."""
        return int(json.loads(self._tell_crm("GET", "/_stats"))["total"])

    def _tell_crm(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.crm_url + path, body, method=method)  # noqa: S310 - our own
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return bytes(response.read())

    def _start(
        self, name: str, command: Sequence[str], environ: Mapping[str, str] | None = None
    ) -> Supervised:
        place = self._logs or self.directory
        place.mkdir(parents=True, exist_ok=True)
        process = Supervised(command, environ or {}, place / f"{name}.log")
        self._exits.callback(process.stop)
        return process
