"""The certificate of the callback port, read again when its files change."""

import ssl
from pathlib import Path

from gateway.declared.environment import digest_of
from gateway.declared.gateway import Tls
from gateway.declared.reading import Fault
from gateway.process.aside import aside
from gateway.process.following import Followed
from gateway.process.pem import explain
from gateway.telemetry import events


class Certificate(Followed):
    """Certificate and key. ``context`` is the TLS context of the port, for as long as it listens.

    Each handshake takes the pair that was read last: OpenSSL asks for it once it has the client's greeting.
    A pair is tried in a context of its own first, so one that does not fit hurts nobody.
    """

    def __init__(self, tls: Tls) -> None:
        """Read the pair; raise OSError, of which ssl.SSLError is one."""
        self.tls = tls
        super().__init__(digest_of(self.read()))
        self.context = self._newest = _context(tls)
        self.context.sni_callback = self._choose

    def read(self) -> bytes:
        """Return the content of both files; raise OSError."""
        return b"\0".join(Path(name).read_bytes() for name in (self.tls.cert, self.tls.key))

    async def use(self, _: bytes) -> None:
        """Give new connections the pair that is there now; raise OSError."""
        self._newest = await aside(_context, self.tls)
        events.certificate_reloaded(file=self.tls.cert)

    def refuse(self, error: Exception) -> None:
        """Log why the pair cannot be used."""
        events.certificate_refused(file=self.tls.cert, reason=explain(error))

    def _choose(self, connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        if self._newest is not self.context:
            connection.context = self._newest


def find_fault(tls: Tls) -> Fault | None:
    """Return what is wrong with the pair, None if it can be used.

    A file that is not there is a warning: it may be on the machine where the gateway will run.
    """
    try:
        for name in (tls.cert, tls.key):
            Path(name).read_bytes()  # which names the file that is not there; OpenSSL does not
        _context(tls)
    except OSError as error:
        return Fault("gateway.tls", explain(error), warning=isinstance(error, FileNotFoundError))
    return None


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.cert, tls.key, password="")  # else OpenSSL would ask on the terminal
    return context
