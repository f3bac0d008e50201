"""How a backend is reached: the certificates that are trusted and shown, and a proxy."""

import base64
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from gateway.declared.backend import Backend
from gateway.declared.environment import digest_of
from gateway.declared.reading import Fault
from gateway.declared.tls import BackendTls
from gateway.process.aside import aside
from gateway.process.following import Followed
from gateway.process.pem import explain
from gateway.telemetry import events


class Reach(Followed):
    """The TLS context of one backend, made anew when its files change, and its proxy.

    ``arguments`` are for each request to the backend. Connections that are open keep the context that they
    began with.
    """

    def __init__(self, backend: Backend) -> None:
        """Read the files; raise OSError, of which ssl.SSLError is one."""
        self._tls, self._host = backend.tls or BackendTls(), _host(backend.url)
        self.arguments: dict[str, Any] = {}
        super().__init__(digest_of(self.read()))
        if backend.tls is not None:
            self.arguments["ssl"] = _context(self._tls)
        if self._tls.server_name is not None:
            self.arguments["server_hostname"] = self._tls.server_name
        if backend.proxy is not None:
            self.arguments |= _proxy(backend.proxy)

    def arguments_for(self, url: str) -> dict[str, Any]:
        """Return them for another address: the name of the backend's server is for its host alone."""
        if _host(url) == self._host:
            return self.arguments
        return {name: value for name, value in self.arguments.items() if name != "server_hostname"}

    @property
    def changes(self) -> bool:
        """True if there are files that may change."""
        return bool(self._tls.files)

    def read(self) -> bytes:
        """Return the content of all files; raise OSError."""
        return b"\0".join(Path(name).read_bytes() for name in self._tls.files)

    async def use(self, _: bytes) -> None:
        """Make new connections with the files that are there now; raise OSError."""
        self.arguments = self.arguments | {"ssl": await aside(_context, self._tls)}
        events.certificate_reloaded(file=self._tls.files[0])

    def refuse(self, error: Exception) -> None:
        """Log why the files cannot be used."""
        events.certificate_refused(file=self._tls.files[0], reason=explain(error))


def find_reach_fault(backend: Backend, name: str) -> Fault | None:
    """Return what is wrong with the files of a backend's table ``tls``, None if they can be used.

    A file that is not there is a warning: it may be on the machine where the worker will run.
    """
    try:
        Reach(backend)
    except OSError as error:
        warning = isinstance(error, FileNotFoundError)
        return Fault(f"backends.{name}.tls", explain(error), warning=warning)
    return None


def _context(tls: BackendTls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca)
    if tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key, password="")  # else OpenSSL would ask on the terminal
    return context


def _host(url: str) -> str | None:
    return urlsplit(str.__add__("", url)).hostname


def _proxy(url: str) -> dict[str, Any]:
    parts = urlsplit(str.__add__("", url))
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    arguments: dict[str, Any] = {"proxy": f"http://{host}:{parts.port or 80}"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        shown = base64.b64encode(pair.encode()).decode()  # RFC 7617
        # aiohttp makes Proxy-Authorization of it, on a tunnel's connection or on each request.
        arguments["proxy_headers"] = {"Authorization": f"Basic {shown}"}
    return arguments
