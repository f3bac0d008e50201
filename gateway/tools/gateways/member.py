"""One of several gateways: a child process that is handed its sockets, and says how it is."""

import asyncio
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

from gateway.core.errors import DeskgateError
from gateway.declared.environment import LOG_FORMAT_VARIABLE, child_environment
from gateway.process.parent import die_with_parent
from gateway.process.siblings import SIBLINGS_VARIABLE, file_for, fold
from gateway.process.supervisor import SOCKETS_VARIABLE
from gateway.telemetry.logs import Format
from gateway.tools.processes import deskgate

SILENT = 10.0
"""Seconds without a sign of life after which a gateway is taken for hung, and killed."""

START_WITHIN = 120.0
"""Seconds that a gateway gets to start. Then it is killed: it would keep the next SIGHUP waiting."""

Pair = tuple[socket.socket, socket.socket]
"""Listening sockets: the callback port's, and the admin port's."""


class NotStarted(DeskgateError):
    """A gateway does not serve. ``str()`` says why, as far as is known here."""


class NoProcess(NotStarted):
    """There is no process for it: the machine has no room for one, or none for its folder."""


class Ended(NotStarted):
    """It ended before it served, and has said why. ``code`` is negative for a signal."""

    def __init__(self, pid: int, code: int) -> None:
        """Take its process id and its exit code."""
        super().__init__(f"exit code {code}" if code >= 0 else signal.Signals(-code).name)
        self.pid, self.code = pid, code


class Member:
    """One gateway process, and the socket by which it says how it is."""

    def __init__(self, config: Path, pair: Pair, directory: Path, form: Format | None) -> None:
        """Take its configuration file, its sockets, a folder of its own, and the form of its log."""
        self._environ = {} if form is None else {LOG_FORMAT_VARIABLE: form}
        self._config, self._pair = config, pair
        self._directory, self._address = directory, directory / "notify"
        self._ear: socket.socket | None = None
        self.ready = asyncio.Event()
        self.began = self.heard = time.monotonic()
        self.hung = False

    async def start(self) -> None:
        """Start it, and begin to listen to it; raise NoProcess."""
        try:
            self._directory.mkdir()
            await self._start()
        except OSError as error:
            self._hear_no_more()
            msg = f"no process can be started: {error}"
            raise NoProcess(msg) from error

    async def _start(self) -> None:
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._ear.bind(str(self._address))
        asyncio.get_running_loop().add_reader(self._ear, self._hear)
        numbers = [one.fileno() for one in self._pair]
        environ = self._environ | {
            SOCKETS_VARIABLE: ",".join(map(str, numbers)),
            "NOTIFY_SOCKET": str(self._address),
            "WATCHDOG_USEC": str(int(SILENT * 1_000_000)),
            "WATCHDOG_PID": "",
            SIBLINGS_VARIABLE: str(file_for(self._directory.parent, self._directory.name)),
            "LISTEN_PID": "",
        }
        self.process = await asyncio.create_subprocess_exec(
            *deskgate("gateway", "-c", str(self._config)),
            env=child_environment(environ),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=numbers,
            process_group=0,  # Ctrl-C reaches this process alone
            preexec_fn=die_with_parent(),
        )

    async def wait_until_ready(self) -> None:
        """Return when it serves; raise Ended if it ends before, or is killed because it takes too long."""
        ready, ended = asyncio.ensure_future(self.ready.wait()), asyncio.ensure_future(self.process.wait())
        try:
            await asyncio.wait([ready, ended], timeout=START_WITHIN, return_when=asyncio.FIRST_COMPLETED)
            if not self.ready.is_set():
                self.send(signal.SIGKILL)
                raise Ended(self.process.pid, await ended)
        finally:
            for task in (ready, ended):
                task.cancel()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.process.returncode is None:
            self.process.send_signal(number)

    def kill_if_hung(self, now: float) -> None:
        """Kill it if it serves, and has given no sign of life for too long."""
        if self.ready.is_set() and now - self.heard > SILENT:
            self.hung = True
            self.send(signal.SIGKILL)

    async def forget(self) -> None:
        """Listen to it no longer, now that it has ended, and keep what it has counted."""
        self._hear_no_more()
        with suppress(OSError):  # a full disk: what it has counted is lost
            await asyncio.to_thread(fold, self._directory.parent, self._directory.name)

    def _hear_no_more(self) -> None:
        if self._ear is not None:
            asyncio.get_running_loop().remove_reader(self._ear)
            self._ear.close()
            self._ear = None

    def _hear(self) -> None:
        if self._ear is None:
            return
        try:
            words = self._ear.recv(4096).split(b"\n")
        except OSError:
            return
        self.heard = time.monotonic()
        if b"READY=1" in words:
            self.ready.set()
