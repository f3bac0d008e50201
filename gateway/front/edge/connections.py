"""aiohttp's server, whose own error pages are the port's.

The server is used by its public doors: ``web.Server``, ``web.RequestHandler``, and of that the public method
``handle_error``, which is written anew. No name here begins with an underscore: it could meet one of aiohttp.
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

    A client that reads no answers is not read from any more: aiohttp awaits each answer's way out before it
    begins the next request, and stops reading when 32 requests wait.
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
        message: str | None = None,  # noqa: ARG002 - aiohttp's words, for its own page
    ) -> web.StreamResponse:
        """Answer bytes that are not HTTP, or a fault of a handler, with the port's page, and hang up."""
        if request.writer.output_size > 0:
            msg = "a response was begun already"
            raise ConnectionError(msg)
        ours = status >= web.HTTPInternalServerError.status_code
        if ours:
            events.edge_failed(error=exc, remote=request.remote)
        response = self.error_page(status, "internal error" if ours else "not a valid HTTP request")
        response.force_close()
        return response
