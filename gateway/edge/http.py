"""aiohttp's low-level server with this project's manners: even its own error pages are ours."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Self, cast

import structlog
from aiohttp import HttpVersion11, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import RawRequestMessage, StreamWriter
from aiohttp.web_protocol import RequestHandler

from gateway.core.config import Address, Tls

log = structlog.get_logger("deskgate.edge")

Handler = Callable[[web.BaseRequest], "JsonResponse | Coroutine[Any, Any, JsonResponse]"]
"""What answers a request: at once where it can, by a coroutine where it has to wait."""

ErrorPage = Callable[[int, str], "JsonResponse"]

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
        self.last = False
        self._whole: web.Response | None = None

    def encode(self) -> bytes:
        """Return the response as HTTP/1.1 has it on a connection that stays open."""
        head = _HEAD % (self.status, _PHRASES[self.status], rfc822_formatted_time(), len(self.body))
        return head.encode() + self.body

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
        self.last = True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write the response; raise ConnectionError when nobody is there to take it."""
        plain = request.keep_alive and request.version == HttpVersion11 and request.method != "HEAD"
        if self.last or not plain:
            self._whole = web.Response(body=self.body, status=self.status, headers=_HEADERS)
            if self.last:
                self._whole.force_close()
            await self._whole.prepare(request)
            return
        if request.transport is None:
            msg = "the client has gone"
            raise ConnectionError(msg)
        request.transport.write(self.encode())
        request.writer.output_size += len(self.body)
        await request.writer.drain()  # a client that reads no answers gets no more of them

    async def write_eof(self) -> None:
        """Write what is left."""
        if self._whole is not None:
            await self._whole.write_eof()


class _Protocol(RequestHandler):
    """One connection: a plain request is handled in the very turn of the loop in which it came.

    aiohttp wakes the connection's task for a request, which begins another one for it: two turns of the loop
    more, and half of what a callback costs that is answered from memory. What is not plain is left to that
    task: what has to be read first, is one of several at once, or is not quite HTTP. So is every connection
    whose client does not read. This leans on aiohttp's insides, whose version is pinned.
    """

    __slots__ = ("_answer", "_answering", "_error_page")

    def __init__(
        self, answer: Handler, error_page: ErrorPage, manager: web.Server, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(manager, loop=loop, access_log=_QUIET)
        self._answer, self._error_page = answer, error_page
        self._answering: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        """Take what came; handle it at once if it is one plain request and no other is in hand."""
        waiter = self._waiter
        if waiter is None or waiter.done():  # the connection's task is at work, and will look for more
            super().data_received(data)
            return
        self._waiter = None  # requests are parsed, and wake nobody
        try:
            super().data_received(data)
        finally:
            self._waiter = waiter
        if self._messages and not self._request_in_progress and not self._handled():
            waiter.set_result(None)

    def _handled(self) -> bool:
        """Handle the request that has come; tell whether it was plain."""
        message, payload = self._messages[0]
        manager, parser, task = self._manager, self._parser, self._task_handler
        if (
            len(self._messages) > 1
            or not isinstance(message, RawRequestMessage)
            or message.method != "POST"
            or message.version != HttpVersion11
            or message.should_close
            or not payload.is_eof()
            or payload.exception() is not None
            or "Expect" in message.headers
            or self.writing_paused
            or manager is None
            or parser is None
            or task is None
        ):
            return False
        self._messages.popleft()
        parser.message_consumed()
        manager.requests_count += 1
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        writer = StreamWriter(self, self._loop)
        response = self._answer(manager.request_factory(message, payload, self, writer, task))
        if isinstance(response, JsonResponse):
            self._send(response)
        else:
            self._request_in_progress = True
            self._answering = self._loop.create_task(self._send_later(response))
        return True

    async def _send_later(self, answering: Coroutine[Any, Any, JsonResponse]) -> None:
        """Send an answer when it is there; then let the connection's task have what came in the meantime."""
        try:
            self._send(await answering)
        except Exception:
            log.exception("edge.failed")
            self.force_close()
        finally:
            self._request_in_progress = False
            if self._handler_waiter is not None:  # the server is shutting down, and waits for this
                self._handler_waiter.set_result(None)
        if self._messages and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _send(self, response: JsonResponse) -> None:
        if self.transport is not None:  # else the client has gone
            self.transport.write(response.encode())

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
        return _for_aiohttp(response)


class _Server(web.Server):
    """A server that builds :class:`_Protocol` for each connection."""

    def __init__(self, answer: Handler, error_page: ErrorPage) -> None:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            response = answer(request)
            return _for_aiohttp(response if isinstance(response, JsonResponse) else await response)

        super().__init__(handle)
        self._answer, self._error_page = answer, error_page

    def __call__(self) -> RequestHandler:
        return _Protocol(self._answer, self._error_page, self, self._loop)


def _for_aiohttp(response: JsonResponse) -> web.StreamResponse:
    return cast("web.StreamResponse", response)  # it has all that the server asks of one


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
