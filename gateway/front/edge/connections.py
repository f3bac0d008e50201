"""aiohttp's connections, whose plain requests are handled together: read, parsed, answered, sent."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, cast

from aiohttp import HttpVersion11, web
from aiohttp.http import RawRequestMessage, StreamWriter
from aiohttp.web_protocol import RequestHandler

from gateway.front.edge.response import ErrorPage, Handler, JsonResponse
from gateway.process.later import Later
from gateway.telemetry import events

COHORT = 32
"""Most requests that take a step together: an answer waits for no more of them than so many."""

# aiohttp skips the access log, and the clock that it would read, when its logger is disabled.
_QUIET = logging.getLogger("deskgate.access")
_QUIET.disabled = True


class Connection(RequestHandler):
    """One connection, whose plain requests are handled in the steps that :class:`Server` takes.

    aiohttp wakes the connection's task for a request, which begins another one for it. That is for what is
    not plain: what has to be read first, is one of several at once, or is not quite HTTP; and for a client
    that does not read its answers. This leans on aiohttp's insides, whose version is pinned.
    """

    __slots__ = ("_answering", "_server")

    def __init__(self, server: "Server", loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server, loop=loop, access_log=_QUIET)
        self._server = server
        self._answering: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        """Leave what came to the server, which parses it soon; without data aiohttp says to parse on."""
        if data:
            self._server.take(self, data)
        else:
            super().data_received(data)

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's
        """Resume what was paused: a body says so at its end and whenever it is read, paused or not."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def parse(self, data: bytes) -> bool:
        """Parse what came; return True to be asked for the answer, when it is one plain request."""
        waiter = self._waiter
        if waiter is None or waiter.done():  # the connection's task is at work, and will look for more
            super().data_received(data)
            return False
        self._waiter = None  # requests are parsed, and wake nobody
        try:
            super().data_received(data)
        finally:
            self._waiter = waiter
        if self._request_in_progress or not self._messages:
            return False
        self._request_in_progress = self._is_plain()
        if not self._request_in_progress:
            waiter.set_result(None)
        return self._request_in_progress

    def answer(self) -> JsonResponse | Coroutine[Any, Any, JsonResponse]:
        """Return the handler's answer to the plain request that was parsed, or what to await for it."""
        message, payload = self._messages.popleft()
        parser, task = self._parser, self._task_handler
        # For the type checker: the request is plain, and its connection is there.
        assert isinstance(message, RawRequestMessage) and parser is not None and task is not None  # noqa: S101, PT018
        parser.message_consumed()
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        writer = StreamWriter(self, self._loop)
        request = self._server.request_factory(message, payload, self, writer, task)
        return self._server.answer(request)

    def send(self, answer: JsonResponse | Coroutine[Any, Any, JsonResponse]) -> None:
        """Send an answer, if need be when it is there."""
        if isinstance(answer, JsonResponse):
            self.finish(answer)
        else:
            self._answering = self._loop.create_task(self._send_later(answer))

    def finish(self, response: JsonResponse | None) -> None:
        """Write the response, or hang up without one; let the task have what has come in the meantime."""
        self._request_in_progress = False
        if response is None:
            self.force_close()
        elif self.transport is not None:  # else the client has gone
            self.transport.write(response.encode())
        if self._handler_waiter is not None:  # the server is shutting down, and waits for this
            self._handler_waiter.set_result(None)
        if self._messages and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _send_later(self, answering: Coroutine[Any, Any, JsonResponse]) -> None:
        response = None
        try:
            response = await answering
        except Exception as error:  # noqa: BLE001 - told
            events.edge_failed(error=error)
        self._server.finish_later(self, response)

    def _is_plain(self) -> bool:
        message, payload = self._messages[0]
        return (
            len(self._messages) == 1
            and isinstance(message, RawRequestMessage)
            and message.method == "POST"
            and message.version == HttpVersion11
            and not message.should_close
            and payload.is_eof()
            and payload.exception() is None
            and "Expect" not in message.headers
            and not (self.writing_paused or self._reading_paused or self._buffer_paused)
        )

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
            events.edge_failed(error=exc, remote=request.remote)
        response = self._server.error_page(
            status, "not a valid HTTP request" if message else "internal error"
        )
        response.force_close()
        return _for_aiohttp(response)


class Server(web.Server):
    """A server that takes the requests of one turn of the loop through each step together.

    They are all read, then all parsed, then all answered, then all sent, for the reason that
    :class:`gateway.process.later.Later` has.
    """

    def __init__(self, answer: Handler, error_page: ErrorPage) -> None:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            response = answer(request)
            return _for_aiohttp(response if isinstance(response, JsonResponse) else await response)

        super().__init__(handle)
        self.answer, self.error_page = answer, error_page
        self._taken: list[tuple[Connection, bytes]] = []
        self.finish_later = Later(Connection.finish)
        """Sends what had to be waited for."""

    def __call__(self) -> RequestHandler:
        """Return what handles a new connection."""
        return Connection(self, self._loop)

    def take(self, connection: Connection, data: bytes) -> None:
        """Take what a connection has read."""
        self._taken.append((connection, data))
        if len(self._taken) == 1:
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Take the next ones of what was taken through all steps."""
        cohort, self._taken = self._taken[:COHORT], self._taken[COHORT:]
        if self._taken:
            self._loop.call_soon(self._go_on)
        plain, answered = [], []
        for connection, data in cohort:
            try:
                if connection.parse(data):
                    plain.append(connection)
            except Exception as error:  # noqa: BLE001 - told
                events.edge_failed(error=error)
                connection.force_close()  # it alone: the others are not to blame
        for connection in plain:
            try:
                answered.append((connection, connection.answer()))
            except Exception as error:  # noqa: BLE001 - told
                events.edge_failed(error=error)
                connection.force_close()
        self.requests_count += len(answered)
        for connection, answer in answered:
            connection.send(answer)


def _for_aiohttp(response: JsonResponse) -> web.StreamResponse:
    return cast("web.StreamResponse", response)  # it has all that the server asks of one
