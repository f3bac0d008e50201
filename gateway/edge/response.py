"""The types of a port's parts, and the JSON response that all of them return."""

import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""Answers a request."""

ErrorPage = Callable[[int, str], web.StreamResponse]
"""Makes the response from a status and a message."""

_HEAD = (
    "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nServer: deskgate\r\nDate: %s\r\n"
    "Content-Length: %d\r\n%s%s\r\n"
)
_CLOSE, _STAY = "Connection: close\r\n", "Connection: keep-alive\r\n"


class JsonResponse(web.Response):
    """A JSON response that writes itself, in one go: this saves a tenth of a callback's CPU.

    The connection stays open if it can be sure where the next request begins. It uses only documented parts
    of aiohttp's response, request and writer. No name here begins with an underscore: aiohttp might use the
    same one.
    """

    def __init__(self, body: bytes, status: int = 200, *, header: str = "") -> None:
        """Take the encoded body; ``header`` is a further line of the head, with its line break."""
        super().__init__(status=status)
        self.encoded, self.header = body, header
        self.stays_open = True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the response; raise ConnectionError when the client has gone."""
        connection = request.protocol
        if request.transport is None:
            msg = "the client has gone"
            raise ConnectionError(msg)
        whole = request.content.is_eof()
        if not whole:
            connection.hear_no_more()  # type: ignore[attr-defined] # a Connection, which this module is below
        self.stays_open = (
            whole
            and request.keep_alive
            and super().keep_alive is not False
            and request.version <= HttpVersion11
            and "Upgrade" not in request.headers  # aiohttp's parser loses its place behind an offer
        )
        head = _HEAD % (
            self.status,
            self.reason,
            _date(int(time.time())),
            len(self.encoded),
            self.header,
            _CLOSE if not self.stays_open else _STAY if request.version < HttpVersion11 else "",
        )
        body = b"" if request.method == "HEAD" else self.encoded
        request.transport.write(head.encode() + body)
        request.writer.output_size += len(head)
        connection.finish()  # type: ignore[attr-defined]
        await request.writer.drain()  # a client that reads no answers gets no more of them
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Write nothing: all has been written."""

    @property
    def keep_alive(self) -> bool | None:
        """True if the connection takes another request."""
        return self.stays_open and super().keep_alive is not False


class PageResponse(web.Response):
    """A response of the admin port, as aiohttp writes it. Behind it, its connection is idle."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Begin the response."""
        self.answered = request.protocol
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        """Write the rest, and note that the request is answered."""
        await super().write_eof(data)
        self.answered.finish()  # type: ignore[attr-defined] # a Connection, which this module is below


@lru_cache(maxsize=1)
def _date(now: int) -> str:
    """Return a time in Unix seconds as HTTP writes it."""
    return formatdate(now, usegmt=True)
