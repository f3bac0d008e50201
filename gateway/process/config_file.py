"""The configuration file of a running process: read again when it changes or when the operator says so."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.declared.catalog import Catalog, read_content
from gateway.declared.environment import UnreadableSecret, digest_of, read_secret
from gateway.declared.reading import ConfigFaults, Fault
from gateway.process.aside import aside
from gateway.process.following import Followed
from gateway.process.supervisor import Supervisor
from gateway.telemetry import events

Compile = Callable[[bytes], Catalog]
"""Returns the catalog that the content of a file means; raises ConfigFaults."""


class ConfigFile(Followed):
    """The file at ``path``, its ``content`` that is in use, and ``catalog``, which is what that says."""

    def __init__(self, path: Path, compile_content: Compile) -> None:
        """Read the file; raise ConfigFaults."""
        self.path, self._compile = path, compile_content
        self._swap: Callable[[Catalog], Awaitable[None]] | None = None
        self._supervisor = Supervisor()
        self.content = content = read_content(path)
        self.catalog = compile_content(content)
        self.refused: tuple[str, ...] = ()
        """The faults of a newer content that is not used."""
        super().__init__(self.digest_in_use(content))

    def on_change(self, swap: Callable[[Catalog], Awaitable[None]]) -> None:
        """Take the function that makes the process run another catalog, or raises ConfigFaults."""
        self._swap = swap

    def read(self) -> bytes:
        """Return the content of the file; raise OSError."""
        return self.path.read_bytes()

    def digest(self, content: bytes) -> str:
        """Return what tells the file, and the files of its secrets, from others."""
        return _joined(content, [_digest(name) for name, _ in self.catalog.files])

    def digest_in_use(self, content: bytes) -> str:
        """Return the digest of what the catalog was made of: a file may have changed since."""
        return _joined(content, [digest for _, digest in self.catalog.files])

    async def use(self, content: bytes) -> None:
        """Run by this content from now on. Raise ConfigFaults, or ImportError for a Python lookup."""
        self._supervisor.reloading()
        try:
            catalog = await aside(self._compile, content)
            if self.catalog.apps and not catalog.apps:  # a full disk, or a pipe that failed, leaves no line
                message = "there is none any more; every callback would be refused"
                raise ConfigFaults([Fault("apps", message)])
            if self._swap is not None:
                await self._swap(catalog)
        finally:
            self._supervisor.ready()
        self.catalog, self.content, self.refused = catalog, content, ()
        events.config_reloaded(config=catalog.digest, warnings=[str(one) for one in catalog.warnings])

    def refuse(self, error: Exception) -> None:
        """Log every fault of a new content."""
        if isinstance(error, ConfigFaults):
            faults = [str(fault) for fault in error.faults]
        elif isinstance(error, (OSError, ImportError)):
            faults = [str(error)]
        else:
            events.config_failed(error=error, config=self.catalog.digest)
            self.refused = ("a bug kept it from use: see the log",)
            return
        self.refused = tuple(faults)
        events.config_refused(file=str(self.path), faults=faults, config=self.catalog.digest)


def _joined(content: bytes, digests: list[str]) -> str:
    return digest_of(content + "".join(f"\0{digest}" for digest in digests).encode())


def _digest(path: str) -> str:
    """Return the digest of a file with a secret; one that cannot be read has another digest than any."""
    try:
        return digest_of(read_secret(path))
    except UnreadableSecret as error:
        return error.reason
