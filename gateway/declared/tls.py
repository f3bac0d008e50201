"""The table ``backends.NAME.tls`` and its contradictions, and the address of a proxy."""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from gateway.declared.reading import Fault, Secret
from gateway.declared.values import Table, split_url

_HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


class BackendTls(Table, frozen=True, kw_only=True):
    """Which certificates of a backend are trusted, and the one that we show. Files are in PEM."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are named."""
        return tuple(filter(None, (self.ca, self.cert, self.key)))


def check_tls(path: str, tls: BackendTls, url: str) -> Iterator[Fault]:
    """Yield the contradictions of the table at ``path``."""
    if not url.lower().startswith("https:"):
        about = (f"{path.rpartition('.')[0]}.url",)
        yield Fault(path, "is for an https:// address alone", about)
    if (tls.cert is None) != (tls.key is None):
        yield Fault(path, "`cert` and `key` belong together")
    if tls.server_name and not _HOST.fullmatch(tls.server_name):
        yield Fault(f"{path}.server_name", "must be the name of a host, for example 'crm.example.com'")
    for name in ("ca", "cert", "key", "server_name"):
        if getattr(tls, name) == "":
            yield Fault(f"{path}.{name}", "must not be empty")


def check_proxy(path: str, proxy: Secret) -> Iterator[Fault]:
    """Yield what is wrong with the address of a proxy; it is not shown, as it may have a password."""
    url = split_url(proxy)
    try:
        fits = url is not None and url.scheme == "http" and bool(url.hostname) and url.port != 0
        if url is not None and ":" in unquote(url.username or "", errors="strict"):
            yield Fault(path, "its user must hold no colon (RFC 7617)")
        unquote(url.password or "" if url is not None else "", errors="strict")
    except ValueError:  # the port is judged as late as there; and bytes that are no UTF-8
        fits = False
    if not fits or url is None or url.path not in {"", "/"} or url.query or url.fragment:
        yield Fault(path, "must be http://host:port, with user:password@ before the host if it wants them")
