"""A listening port: its address or its socket, TLS, and closing."""

import asyncio
import socket
import ssl
from typing import Self

from aiohttp import web

from gateway.declared.values import Address
from gateway.front.edge.connections import Server
from gateway.front.edge.response import ErrorPage, Handler

_BACKLOG = 1024


class Port:
    """A listening port. ``async with Port(...) as port`` serves until the block ends, then drains."""

    def __init__(  # noqa: PLR0913 - three parts and three settings, the settings by name
        self,
        handler: Handler,
        error_page: ErrorPage,
        address: Address,
        *,
        handed: socket.socket | None = None,
        tls: ssl.SSLContext | None = None,
        grace: float = 5.0,
    ) -> None:
        """Take the handler of requests; they get at most ``grace`` seconds when the port closes.

        ``handed`` is a socket that listens already, in place of the address.
        """
        self._handler, self._error_page, self._wanted = handler, error_page, address
        self._handed, self._tls, self._grace = handed, tls, grace
        self._runner: web.ServerRunner | None = None
        self.address = address

    async def __aenter__(self) -> Self:
        """Listen; raise OSError when the address is taken."""
        server = Server(self._handler, self._error_page)
        self._runner = web.ServerRunner(server, shutdown_timeout=self._grace)
        try:
            await self._listen(self._runner)
        except BaseException:  # a start that fails or is cancelled leaves no socket behind
            await self._runner.cleanup()
            raise
        return self

    async def _listen(self, runner: web.ServerRunner) -> None:
        await runner.setup()
        host, port = self._wanted
        site: web.BaseSite
        if self._handed is not None:
            site = web.SockSite(runner, self._handed, ssl_context=self._tls, backlog=_BACKLOG)
        else:
            site = web.TCPSite(runner, host, port, ssl_context=self._tls, backlog=_BACKLOG)
        # If asyncio's create_server() is cancelled, its socket stays open. So wait until it has finished.
        starting = asyncio.ensure_future(site.start())
        try:
            await asyncio.shield(starting)
        finally:
            await asyncio.wait([starting])
        self.address = Address(runner.addresses[0][:2])

    async def take_no_more(self) -> None:
        """Accept no new connection. Those that are there go on."""
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()

    async def __aexit__(self, *_: object) -> None:
        """Accept nothing new, and finish the requests in hand."""
        if self._runner is not None:
            await self._runner.cleanup()
