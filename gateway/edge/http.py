"""aiohttp's low-level server with this project's manners: even its own error pages are ours."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Self, cast

import structlog
from aiohttp import HttpVersion11, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.web_protocol import RequestHandler

from gateway.core.config import Address, Tls

log = structlog.get_logger("deskgate.edge")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
ErrorPage = Callable[[int, str], web.StreamResponse]

# aiohttp skips the access log, and the clock that it would read, when its logger is disabled.
_QUIET = logging.getLogger("deskgate.access")
_QUIET.disabled = True
_HEADERS = {"Content-Type": "application/json", "Server": "deskgate"}
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_HEAD = (
    "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nServer: deskgate\r\nDate: %s\r\n"
    "Content-Length: %d\r\n\r\n"
)


class JsonResponse:
    """A JSON response that leaves in one write.

    The response of aiohttp is built of headers that are parsed, checked and written anew each time. It is
    used, too, but only where HTTP asks for more: an old client, one that wants the connection closed, a HEAD.
    """

    def __init__(self, body: bytes, status: int = 200) -> None:
        """Take the body, encoded already."""
        self.body, self.status = body, status
        self._last = False
        self._whole: web.Response | None = None

    @property
    def keep_alive(self) -> bool:
        """Whether the connection can take another request."""
        return self._whole is None or bool(self._whole.keep_alive)

    @property
    def prepared(self) -> bool:
        """Whether the response has been begun."""
        return self._whole is None or self._whole.prepared

    def force_close(self) -> None:
        """Close the connection behind the response."""
        self._last = True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write the response; raise ConnectionError when nobody is there to take it."""
        plain = request.keep_alive and request.version == HttpVersion11 and request.method != "HEAD"
        if self._last or not plain:
            self._whole = web.Response(body=self.body, status=self.status, headers=_HEADERS)
            if self._last:
                self._whole.force_close()
            await self._whole.prepare(request)
            return
        if request.transport is None:
            msg = "the client has gone"
            raise ConnectionError(msg)
        head = _HEAD % (self.status, _PHRASES[self.status], rfc822_formatted_time(), len(self.body))
        request.transport.write(head.encode() + self.body)
        request.writer.output_size += len(self.body)

    async def write_eof(self) -> None:
        """Write what is left."""
        if self._whole is not None:
            await self._whole.write_eof()


def json_response(body: bytes, status: int = 200) -> web.StreamResponse:
    """Return a JSON response; ``body`` is encoded already."""
    return cast("web.StreamResponse", JsonResponse(body, status))  # it has all that the server asks of one


class _Protocol(RequestHandler):
    """One connection, whose malformed requests get the error page of the port."""

    __slots__ = ("_error_page",)

    def __init__(self, error_page: ErrorPage, manager: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(manager, loop=loop, access_log=_QUIET)
        self._error_page = error_page

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, or what a handler let through, in JSON, and close the connection."""
        if request.writer.output_size > 0:
            msg = "a response was begun already"
            raise ConnectionError(msg)
        if status >= web.HTTPInternalServerError.status_code:
            log.error("edge.failed", remote=request.remote, exc_info=exc)
        response = self._error_page(status, "not a valid HTTP request" if message else "internal error")
        response.force_close()
        return response


class _Server(web.Server):
    """A server that builds :class:`_Protocol` for each connection."""

    def __init__(self, handler: Handler, error_page: ErrorPage) -> None:
        super().__init__(handler)
        self._error_page = error_page

    def __call__(self) -> RequestHandler:
        return _Protocol(self._error_page, self, self._loop)


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
        """Take what answers; ``grace`` is the most seconds that requests in hand get when the port closes.

        ``shared`` lets several processes listen on one address (SO_REUSEPORT).
        """
        self._handler, self._error_page, self._wanted = handler, error_page, address
        self._tls, self._grace, self._shared = tls, grace, shared
        self._runner: web.ServerRunner | None = None
        self.address = address

    async def __aenter__(self) -> Self:
        """Listen; raise OSError when the address cannot be had or a certificate cannot be read."""
        server = _Server(self._handler, self._error_page)
        self._runner = web.ServerRunner(server, shutdown_timeout=self._grace)
        await self._runner.setup()
        host, port = self._wanted
        site = web.TCPSite(
            self._runner,
            host,
            port,
            ssl_context=_tls_context(self._tls),
            backlog=1024,
            reuse_port=self._shared or None,
        )
        await site.start()
        self.address = Address(self._runner.addresses[0][:2])
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take nothing new and finish what is in hand."""
        if self._runner is not None:
            await self._runner.cleanup()


def _tls_context(tls: Tls | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.cert, tls.key)
    return context
