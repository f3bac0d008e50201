"""A listening port: its address, sharing, TLS, and closing."""

import asyncio
import ssl
from typing import Self

from aiohttp import web

from gateway.declared.gateway import Tls
from gateway.declared.values import Address
from gateway.front.edge.connections import Server
from gateway.front.edge.response import ErrorPage, Handler


class Port:
    """A listening port. ``async with Port(...) as port`` serves until the block ends, then drains."""

    def __init__(  # noqa: PLR0913 - three parts and three settings, the settings by name
        self,
        handler: Handler,
        error_page: ErrorPage,
        address: Address,
        *,
        tls: Tls | None = None,
        grace: float = 5.0,
        shared: bool = False,
    ) -> None:
        """Take the handler of requests; they get at most ``grace`` seconds when the port closes.

        ``shared`` lets several processes listen on one address (SO_REUSEPORT).
        """
        self._handler, self._error_page, self._wanted = handler, error_page, address
        self._tls, self._grace, self._shared = tls, grace, shared
        self._runner: web.ServerRunner | None = None
        self.address = address

    async def __aenter__(self) -> Self:
        """Listen; raise OSError when the address is taken or a certificate cannot be read."""
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
        site = web.TCPSite(
            runner,
            host,
            port,
            ssl_context=_tls_context(self._tls),
            backlog=1024,
            reuse_port=self._shared or None,
        )
        # If asyncio's create_server() is cancelled, its socket stays open. So wait until it has finished.
        starting = asyncio.ensure_future(site.start())
        try:
            await asyncio.shield(starting)
        finally:
            await asyncio.wait([starting])
        self.address = Address(runner.addresses[0][:2])

    async def __aexit__(self, *_: object) -> None:
        """Accept nothing new, and finish the requests in hand."""
        if self._runner is not None:
            await self._runner.cleanup()


def _tls_context(tls: Tls | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.cert, tls.key)
    return context
