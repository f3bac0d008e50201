"""aiohttp's server, with the port's error pages in place of aiohttp's, and connections that say how they are.

Only public names of aiohttp are used: ``web.Server``, and ``web.RequestHandler`` with its method
``handle_error`` and those of asyncio's protocols, which are overridden. No name here begins with an
underscore: aiohttp might use the same one.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.edge.response import ErrorPage, Handler
from gateway.telemetry import events

LINGER = 1.0
"""Seconds for which bytes are taken, and dropped, that nobody reads: a reset would destroy the answer."""

HALF_CLOSED = 0.05
"""Seconds that a client which sends no more is given to have its last request noticed."""


class Server(web.Server):
    """Makes the connections of one port, and has those that are open."""

    def __init__(self, handler: Handler, error_page: ErrorPage) -> None:
        """Take the handler of requests, and the maker of pages for requests that cannot be read."""
        super().__init__(self.enter)
        self.handler, self.error_page = handler, error_page
        self.open: set[Connection] = set()

    def __call__(self) -> "Connection":
        """Return the protocol of a new connection."""
        return Connection(self)

    def enter(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        """Hand a request to the handler."""
        connection_of(request).begin()
        return self.handler(request)


class Connection(web.RequestHandler):
    """One connection: requests are parsed, answered in order, and the answers sent, all by aiohttp.

    If a client does not read its answers, the server stops reading from it. aiohttp begins the next request
    when the answer has been sent, and stops reading when 32 requests wait. Bodies come as they were sent:
    nothing is decompressed here.

    ``in_hand`` is true from a request's head to its answer. Else the connection is idle, or if ``reading`` in
    the middle of a head, ``since`` this time on the loop's clock. ``requests`` counts its requests. It is
    ``trusted`` when a callback of an app has come by it.
    """

    __slots__ = (
        "body_left",
        "ended",
        "error_page",
        "give_up_body",
        "in_hand",
        "loop",
        "open",
        "reading",
        "requests",
        "since",
        "trusted",
        "unheard",
    )

    def __init__(self, server: Server) -> None:
        self.loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=self.loop,
            access_log=None,  # type: ignore[arg-type] # documented
            auto_decompress=False,
            lingering_time=LINGER,
        )
        self.error_page, self.open = server.error_page, server.open
        self.in_hand = self.reading = self.ended = self.unheard = self.trusted = False
        self.requests = 0
        self.since = self.loop.time()
        self.give_up_body: Callable[[], None] | None = None
        self.body_left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.open.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self.open.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, unless nobody wants it any more."""
        if self.unheard:
            return
        if self.give_up_body is not None:
            self.body_left -= len(data)
            if self.body_left < 0:
                self.unheard = True
                self.give_up_body()
                return
        elif data and not self.reading and not self.in_hand:
            self.reading, self.since = True, self.loop.time()
        super().data_received(data)

    def eof_received(self) -> bool | None:  # type: ignore[override] # as asyncio has it
        """Keep the connection for the answers to a client that sends no more (RFC 9112, 9.6)."""
        if self.ssl_context is not None:  # TLS cannot be half closed
            return None
        self.ended = True
        if self.give_up_body is not None:
            self.loop.call_soon(self.give_up_body)  # its end may have come in the same turn
        self.loop.call_later(HALF_CLOSED, after_ready, self.loop, self.close_if_done)
        return True

    def begin(self) -> None:
        """Note that a request has come."""
        self.in_hand, self.reading = True, False
        self.requests += 1

    def finish(self) -> None:
        """Note that a request is answered."""
        self.in_hand, self.since = False, self.loop.time()
        if self.ended:
            self.loop.call_later(HALF_CLOSED, after_ready, self.loop, self.close_if_done)

    def expect_body(self, most: int, give_up: Callable[[], None]) -> None:
        """Call ``give_up`` if more than so many bytes come, framing included, or if no more will come."""
        self.body_left, self.give_up_body = most, give_up
        if self.ended:
            give_up()

    def have_body(self) -> None:
        """Note that the body is there, or is not waited for any more."""
        self.give_up_body = None

    def trust(self) -> None:
        """Note that a callback of an app has come by this connection."""
        self.trusted = True

    def hear_no_more(self) -> None:
        """Drop what comes from now on: the answer is given, and the rest of the body is of no use."""
        self.unheard = True

    def close_if_done(self) -> None:
        """Close the connection of a client that sends no more, when all its requests are answered."""
        if not self.in_hand:
            self.force_close()

    def hang_up(self) -> None:
        """Close at once; what the client has not taken yet is lost."""
        if self.transport is not None and self.transport.get_write_buffer_size():
            self.transport.abort()
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's text, for its own page
    ) -> web.StreamResponse:
        """Answer bytes that are not HTTP, or a bug of a handler, with the port's page, and close."""
        ours = status >= web.HTTPInternalServerError.status_code
        if ours:
            events.edge_failed(error=exc, remote=remote_of(request))
        if request.writer.output_size > 0:
            msg = "a response was begun already"
            raise ConnectionError(msg)
        response = self.error_page(status, "internal error" if ours else "not a valid HTTP request")
        response.force_close()
        return response


def after_ready(loop: asyncio.AbstractEventLoop, do: Callable[[], None]) -> None:
    """Call when what is ready now has run: a timer may come before the turn of a request that has been read.

    aiohttp wakes the connection's task, which makes a task of the request: two turns of what is ready.
    """
    loop.call_soon(loop.call_soon, do)


def remote_of(request: web.BaseRequest) -> str | None:
    """Return the client's address; a socket for IPv6 and IPv4 shows those of IPv4 in another form."""
    return request.remote and request.remote.removeprefix("::ffff:")


def connection_of(request: web.BaseRequest) -> Connection:
    """Return the connection that a request has come by."""
    connection: Connection = request.protocol  # type: ignore[assignment] # Server makes no other
    return connection
