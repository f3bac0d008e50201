"""A stage for the contestants: a Valkey of its own on TCP, and processes that are watched and end with it."""

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import create_connection, socket
from typing import IO, Any, Self

from redis import Redis
from redis.exceptions import RedisError

from gateway.tools.processes import CannotStart, _binary, spawn, stop
from tests.bench.figures import Turn
from tests.bench.placement import Placement

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0


def environ(root: Path) -> dict[str, str]:
    """Return what makes Python import the project's code from this checkout, wherever it is started."""
    return {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}


ENVIRON = environ(ROOT)


class Stage:
    """Use it as a context manager; all that was started on it is stopped at the end, newest first."""

    def __enter__(self) -> Self:
        """Start Valkey: TCP on loopback, nothing kept on disk. Raise CannotStart."""
        self._logs: dict[int, IO[bytes]] = {}
        self.placement = Placement.here()
        with ExitStack() as exits:
            self._exits = exits
            self.directory = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="deskgate-")))
            port = free_port()
            self.url = f"redis://127.0.0.1:{port}"
            options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.directory)]
            self.valkey = self.start([_binary(), *options, "--maxmemory-policy", "noeviction"])
            self.redis = exits.enter_context(Redis.from_url(self.url))
            wait_for(self._answers, "valkey-server")
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self._exits.close()

    def start(self, command: Sequence[str], root: Path = ROOT) -> "subprocess.Popen[bytes]":
        """Start a process whose output goes to a file, as in production it goes anywhere but a terminal."""
        log = tempfile.TemporaryFile(dir=self.directory)  # noqa: SIM115 - closed with the stage
        self._exits.enter_context(log)
        process = spawn(command, environ(root), log)
        self._logs[process.pid] = log
        self._exits.callback(stop, process)
        return process

    def explain(self, happen: Callable[[], None], process: "subprocess.Popen[bytes]") -> None:
        """Do what needs a process; when it raises CannotStart, add what the process wrote at last."""
        try:
            happen()
        except CannotStart as error:
            msg = f"{error}; {last_words(self._logs[process.pid])}"
            raise CannotStart(msg) from None

    def caller(self, command: Sequence[str]) -> "Caller":
        """Start a caller process."""
        return self._exits.enter_context(Caller(command, self.directory))

    def write(self, name: str, text: str) -> Path:
        """Write a file that lives as long as the stage."""
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return path

    def _answers(self) -> bool:
        with suppress(RedisError):
            return bool(self.redis.ping())
        return False


class Caller:
    """A process that answers a line of JSON with another (:mod:`tests.bench.calling`)."""

    def __init__(self, command: Sequence[str], directory: Path, root: Path = ROOT) -> None:
        """Start it, with the code of the checkout ``root``."""
        self._log = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - closed with the caller
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **environ(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            process_group=0,  # Ctrl-C reaches us alone, and we stop it
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its input, which ends it; it does so, too, when this process dies."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        stop(self._process)
        self._process.stdout.close()
        self._log.close()

    def turn(self, *, seconds: float, **order: object) -> Turn:
        """Have it call for ``seconds``; raise CannotStart when it says nothing, with its last words."""
        self.tell(seconds=seconds, **order)
        return Turn.read(self.hear(seconds + PATIENCE))

    def tell(self, **order: object) -> None:
        """Give it an order; it is at work when this returns."""
        stdin = self._process.stdin
        assert stdin is not None
        with suppress(BrokenPipeError):
            stdin.write(json.dumps(order).encode() + b"\n")
            stdin.flush()

    def has_answered(self, within: float) -> bool:
        """True if it has answered the last order, or ended, within so many seconds."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], within)
        return bool(ready)

    def hear(self, within: float) -> Any:  # noqa: ANN401 - any JSON of a caller
        """Return its answer to the last order; raise CannotStart when there is none, with its last words."""
        stdout = self._process.stdout
        assert stdout is not None
        line = stdout.readline() if self.has_answered(within) else b""
        if not line:
            raise CannotStart(last_words(self._log))
        return json.loads(line)

    def warm_up(self) -> None:
        """Return once a call has been answered; raise CannotStart when none ever is."""
        wait_for(lambda: self.turn(seconds=0.1, callers=1).ended > 0, "its worker")


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Return once somebody listens on ``port``; raise CannotStart."""

    def listens() -> bool:
        with suppress(OSError), create_connection(("127.0.0.1", port)):
            return True
        return False

    wait_for(listens, f"the server on port {port}")


def wait_for(happened: Callable[[], bool], what: str) -> None:
    """Return once ``happened`` says so; raise CannotStart when it takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            msg = f"{what} did not answer within {PATIENCE:.0f} s"
            raise CannotStart(msg)
        time.sleep(0.01)


def last_words(log: IO[bytes]) -> str:
    """Return the last line that a process wrote."""
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it wrote nothing"
