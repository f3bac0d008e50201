"""A listening port: its address or its socket, TLS, and closing."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import Self

from gateway.declared.values import Address
from gateway.edge.connections import Connection, Server
from gateway.edge.listener import Limits, Listener
from gateway.edge.response import ErrorPage, Handler
from gateway.process.listening import begin, listen

FIRST_REQUEST = 0.5
"""Seconds that a connection gets to bring its first request, if the port closes meanwhile."""


class Port:
    """A listening port. ``async with Port(...) as port`` serves until the block ends, then drains."""

    def __init__(  # noqa: PLR0913 - three parts and four settings, the settings by name
        self,
        handler: Handler,
        error_page: ErrorPage,
        address: Address,
        *,
        limits: Limits,
        handed: socket.socket | None = None,
        tls: ssl.SSLContext | None = None,
        grace: float = 5.0,
    ) -> None:
        """Take the handler of requests; they get at most ``grace`` seconds when the port closes.

        ``handed`` is a socket that is bound already, in place of the address.
        """
        self._handler, self._error_page, self._wanted = handler, error_page, address
        self._limits, self._handed, self._tls, self._grace = limits, handed, tls, grace
        self._server: Server
        self._listener: Listener
        self.address = address

    async def __aenter__(self) -> Self:
        """Listen; raise OSError when the address is taken."""
        sockets = [begin(self._handed)] if self._handed is not None else listen(self._wanted)
        self.address = Address(sockets[0].getsockname()[:2])
        self._server = Server(self._handler, self._error_page)
        self._listener = Listener(sockets, self._server, self._tls, self._limits)
        self._listener.start()
        return self

    @property
    def connections(self) -> Sequence[Connection]:
        """The open connections."""
        return list(self._server.open)

    def count(self) -> int:
        """Return the number of the open connections."""
        return len(self._server.open)

    def limit(self, limits: Limits) -> None:
        """Keep to other limits from now on."""
        self._listener.limits = limits

    def take_no_more(self) -> None:
        """Accept no new connection. Those that are there go on."""
        self._listener.stop()

    async def __aexit__(self, *_: object) -> None:
        """Accept nothing new, hear out those who have just come, and finish the requests in hand."""
        await self._listener.hear_out(FIRST_REQUEST)
        await self._listener.close()
        await asyncio.sleep(0)  # a request that has just come is begun
        self._server.pre_shutdown()
        await self._server.shutdown(self._grace)
