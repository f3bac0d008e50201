"""A JSON response that leaves in one write, and what a handler returns one by."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.helpers import rfc822_formatted_time

Handler = Callable[[web.BaseRequest], "JsonResponse | Coroutine[Any, Any, JsonResponse]"]
"""What answers a request: at once where it can, by a coroutine where it has to wait."""

ErrorPage = Callable[[int, str], "JsonResponse"]
"""What makes the response to a status and a message."""

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
