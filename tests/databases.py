"""A real PostgreSQL for tests, if this machine has one."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from signal import SIGINT, SIGQUIT
from tempfile import mkdtemp
from threading import Event
from typing import Self

from gateway.process.parent import die_with_parent

_DEBIAN = Path("/usr/lib/postgresql")
USER, PASSWORD = "deskgate", "s3cret"


def find_postgresql() -> Path | None:
    """Return the directory with the programs of PostgreSQL, None if it is not installed."""
    found = [one for one in sorted(_DEBIAN.glob("*/bin"), reverse=True) if (one / "initdb").exists()]
    if not found and (program := shutil.which("initdb")):
        found = [Path(program).resolve().parent]
    return found[0] if found and (os.geteuid() or _unprivileged()) else None


def _unprivileged() -> pwd.struct_passwd | None:
    """Return a user for a server that refuses to run as root."""
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    return None


def becoming(user: pwd.struct_passwd | None) -> Callable[[], None]:
    """Return what a child does before it runs: be another user, if we are root, and end with its parent."""
    die = die_with_parent()

    def become() -> None:
        if user is not None:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        if die is not None:
            die()

    return become


class PostgreSql:
    """A server of its own, empty, on the loopback address. It dies with this process."""

    def __init__(self, programs: Path) -> None:
        """Make its files."""
        self._programs = programs
        self.folder = Path(mkdtemp(prefix="deskgate-pg-"))
        self._as = _unprivileged() if os.geteuid() == 0 else None
        self.become = becoming(self._as)
        """What a child of this server's user does before it runs."""
        password = self.folder / "password"
        password.write_text(PASSWORD)
        if self._as is not None:
            for path in (self.folder, password):
                os.chown(path, self._as.pw_uid, self._as.pw_gid)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._run(
            *("initdb", "-D", "data", "-U", USER, "-A", "scram-sha-256", "--pwfile=password"),
            *("--no-sync", "-E", "UTF8", "--locale=C"),
        )

    @property
    def url(self) -> str:
        """The address of its database."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [
                *(str(self._programs / "postgres"), "-D", "data", "-p", str(self.port)),
                *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                *("-c", "fsync=off", "-c", "max_connections=20", "-c", "shared_buffers=8MB"),
            ],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=self.become,  # noqa: PLW1509 - as for every child here
        )
        self._run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-t", "10", tries=500)

    def stop(self, *, at_once: bool = False) -> None:
        """Stop it: its clients' connections end."""
        self._process.send_signal(SIGQUIT if at_once else SIGINT)
        self._process.wait(10)

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, and remove its files."""
        if self._process.poll() is None:
            self.stop(at_once=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str, tries: int = 1) -> None:
        for left in reversed(range(tries)):
            done = subprocess.run(
                [str(self._programs / program), *arguments],
                cwd=self.folder,
                capture_output=True,
                check=False,
                preexec_fn=self.become,
            )
            if done.returncode == 0:
                return
            if not left:
                raise RuntimeError(done.stderr.decode(errors="replace"))
            Event().wait(0.02)  # nothing tells when the server is ready
