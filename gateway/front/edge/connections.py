"""aiohttp's server, with the port's error pages in place of aiohttp's.

Only public names of aiohttp are used: ``web.Server``, ``web.RequestHandler`` and its method ``handle_error``,
which is overridden. No name here begins with an underscore: aiohttp might use the same one.
"""

import asyncio

from aiohttp import web

from gateway.front.edge.response import ErrorPage, Handler
from gateway.telemetry import events


class Server(web.Server):
    """Makes the connections of one port."""

    def __init__(self, handler: Handler, error_page: ErrorPage) -> None:
        """Take the handler of requests, and the maker of pages for requests that cannot be read."""
        super().__init__(handler)
        self.error_page = error_page

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return Connection(self)


class Connection(web.RequestHandler):
    """One connection: requests are parsed, answered in order, and the answers sent, all by aiohttp.

    If a client does not read its answers, the server stops reading from it. aiohttp begins the next request
    when the answer has been sent, and stops reading when 32 requests wait.
    """

    __slots__ = ("error_page",)

    def __init__(self, server: Server) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), access_log=None)  # type: ignore[arg-type] # documented
        self.error_page = server.error_page

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's text, for its own page
    ) -> web.StreamResponse:
        """Answer bytes that are not HTTP, or a bug of a handler, with the port's page, and close."""
        if request.writer.output_size > 0:
            msg = "a response was begun already"
            raise ConnectionError(msg)
        ours = status >= web.HTTPInternalServerError.status_code
        if ours:
            events.edge_failed(error=exc, remote=request.remote)
        response = self.error_page(status, "internal error" if ours else "not a valid HTTP request")
        response.force_close()
        return response
