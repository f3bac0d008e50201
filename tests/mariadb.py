"""A real MariaDB for tests, if this machine has one."""

import os
import pwd
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from threading import Event
from typing import Self

from tests.databases import becoming

SERVER, INSTALL, CLIENT = (
    shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    for name in ("mariadbd", "mariadb-install-db", "mariadb")
)
USER, PASSWORD = "deskgate", "s3cret"
_UTF8 = "--default-character-set=utf8mb4"


class MariaDb:
    """A server of its own, empty, on the loopback address. It dies with this process."""

    def __init__(self) -> None:
        """Make its files."""
        self._folder = Path(mkdtemp(prefix="deskgate-my-"))
        self._as: pwd.struct_passwd | None = None
        if os.geteuid() == 0:
            with suppress(KeyError):
                self._as = pwd.getpwnam("mysql")
        self._become = becoming(self._as)
        if self._as is not None:
            os.chown(self._folder, self._as.pw_uid, self._as.pw_gid)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        plain = ("--no-defaults", f"--datadir={self._folder}/data")
        self._run(str(INSTALL), *plain, "--auth-root-authentication-method=normal", "--skip-test-db")

    @property
    def url(self) -> str:
        """The address of its database."""
        return f"mysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/crm"

    def execute(self, statements: str) -> str:
        """Run statements as its owner; return what they print."""
        client = (str(CLIENT), "--no-defaults", f"--socket={self._folder}/s", "-uroot", "-N", _UTF8)
        return self._run(*client, given=statements)

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [
                *(str(SERVER), "--no-defaults", f"--datadir={self._folder}/data"),
                f"--socket={self._folder}/s",
                *(f"--port={self.port}", "--bind-address=127.0.0.1", f"--pid-file={self._folder}/pid"),
                "--innodb-flush-log-at-trx-commit=0",
            ],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=self._become,  # noqa: PLW1509 - as for every child here
        )
        for left in reversed(range(500)):
            try:
                self.execute(
                    f"create database crm; create user {USER} identified by '{PASSWORD}'; "
                    f"grant all on crm.* to {USER};"
                )
                break
            except RuntimeError:
                if not left:
                    raise
                Event().wait(0.02)  # nothing tells when the server is ready
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, and remove its files."""
        self._process.kill()
        self._process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, *command: str, given: str = "") -> str:
        done = subprocess.run(
            command,
            input=given,
            cwd=self._folder,
            capture_output=True,
            check=False,
            preexec_fn=self._become,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout
