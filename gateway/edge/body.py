"""The body of a request, read within a limit and a deadline, and unpacked only then."""

import asyncio
import time
from contextlib import suppress
from functools import partial

from aiohttp import HttpVersion11, web

from gateway.core import compression
from gateway.core.compression import CODINGS
from gateway.core.errors import BadRequest, TooLarge
from gateway.edge.connections import connection_of


async def read_body(request: web.BaseRequest, limit: int, deadline: float) -> bytes:
    """Return the body, unpacked; ``deadline`` is on the monotonic clock.

    Raise TooLarge if it is over ``limit``, as it came, its framing included, or unpacked. Raise BadRequest if
    it does not come in time, breaks off, or cannot be unpacked.
    """
    if request.content.is_eof():  # it came together with its head, as nearly all bodies do
        body = request.content.read_nowait()
        if len(body) > limit:
            raise _too_large(limit)
    else:
        body = await _wait_for(request, limit, deadline)
    encoding = request.headers.get("Content-Encoding")
    return body if encoding is None else unpack(body, encoding, limit)


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a body without its ``Content-Encoding``. Raise TooLarge over ``limit``, and BadRequest."""
    encoding = encoding.strip().lower()
    if encoding in {"identity", ""}:
        return body
    if encoding not in CODINGS:
        msg = f"Content-Encoding is not one of {', '.join(CODINGS)}"
        raise BadRequest(msg)
    try:
        unpacked = compression.unpack(body, encoding, limit)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    if len(unpacked) > limit:
        raise _too_large(limit)
    return unpacked


async def _wait_for(request: web.BaseRequest, limit: int, deadline: float) -> bytes:
    """Return a body of which a part is still to come. Raise TooLarge or BadRequest."""
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    connection = connection_of(request)
    body = bytearray()
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())) as patience:
            connection.expect_body(limit, partial(_end, patience))
            await _send_continue(request)
            if request.transport is None:  # lost while the request waited for its turn: nobody would tell us
                msg = "the client has gone"
                raise ConnectionResetError(msg)
            while len(body) <= limit and (chunk := await request.content.readany()):
                body += chunk
    except TimeoutError:
        if connection.unheard:
            raise _too_large(limit) from None
        ended = "is not whole" if connection.ended else "did not arrive within the budget"
        msg = f"the body {ended}"
        raise BadRequest(msg) from None
    except (web.RequestPayloadError, ConnectionError) as error:
        msg = f"the body broke off: {type(error).__name__}"
        raise BadRequest(msg) from None
    finally:
        connection.have_body()
    if len(body) > limit:
        raise _too_large(limit)
    return bytes(body)


def _end(patience: asyncio.Timeout) -> None:
    """Let a wait time out now, unless it has ended."""
    with suppress(RuntimeError):
        patience.reschedule(asyncio.get_running_loop().time())


async def _send_continue(request: web.BaseRequest) -> None:
    """Send ``100 Continue`` to a client that waits for it before it sends its body.

    One of HTTP/1.0 knows no interim response: it would take this for the answer (RFC 9110, 10.1.1).
    """
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # an interim response (RFC 9110, 15.2) does not count as the response


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is over max_body ({limit} bytes)")
