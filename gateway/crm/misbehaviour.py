"""Answers a call on the wire as its fate says."""

import asyncio
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress

import msgspec
from aiohttp import web

from gateway.crm.api import Answer
from gateway.crm.script import Fate, Kind

_DRIP_INTERVAL_S = 1.0
_HUGE_BYTES = 50_000_000
_HUGE_HEAD, _HUGE_TAIL = b'{"blob":"', b'"}'
_CHUNK = b"x" * 65_536
_GARBAGE = b"<html><body>Everything is fine.</body></html>"
_LINGER_0 = struct.pack("ii", 1, 0)  # closing drops unsent bytes and sends a RST


async def send(request: web.BaseRequest, fate: Fate, answer: Answer) -> web.StreamResponse:
    """Answer ``request`` as ``fate`` says, with ``answer`` if it is an answer at all; return the response.

    A hang ends only by cancellation: the client goes away, or the server stops.
    """
    if fate.kind is Kind.HANG:
        await asyncio.get_running_loop().create_future()
    if fate.latency_s:
        await asyncio.sleep(fate.latency_s)
    match fate.kind:
        case Kind.ERROR:
            return reply((fate.status, {"error": "scripted", "status": fate.status}))
        case Kind.GARBAGE:
            return web.Response(body=_GARBAGE, content_type="application/json")
        case Kind.RESET:
            return await _reset(request, answer)
        case Kind.DRIP:
            body = msgspec.json.encode(answer[1])
            drops = (body[at : at + 1] for at in range(len(body)))
            return await _stream(request, answer[0], len(body), drops, _DRIP_INTERVAL_S)
        case Kind.HUGE:
            return await _stream(request, 200, _HUGE_BYTES, _huge_pieces())
    return reply(answer)


def reply(answer: Answer) -> web.Response:
    """Return an ordinary JSON response."""
    status, content = answer
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")


async def _reset(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Send the headers and half of the body, then cut the connection with a RST."""
    body = msgspec.json.encode(answer[1])
    transport = request.transport
    if transport is not None:
        transport.set_write_buffer_limits(high=0)  # a write now waits until the kernel has all of it
    response = await _stream(request, answer[0], len(body), [body[: len(body) // 2]])
    if transport is not None and not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        transport.abort()
    return response


async def _stream(
    request: web.BaseRequest, status: int, size: int, pieces: Iterable[bytes], pause_s: float = 0.0
) -> web.StreamResponse:
    """Send headers that promise ``size`` bytes, then the pieces with a pause after each."""
    response = web.StreamResponse(status=status)
    response.content_type, response.content_length = "application/json", size
    with suppress(ConnectionError):  # a client may go away from such an answer
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(pause_s)
    return response


def _huge_pieces() -> Iterator[bytes]:
    """Yield a JSON object with one very long string."""
    yield _HUGE_HEAD
    whole, rest = divmod(_HUGE_BYTES - len(_HUGE_HEAD) - len(_HUGE_TAIL), len(_CHUNK))
    yield from (_CHUNK for _ in range(whole))
    yield _CHUNK[:rest] + _HUGE_TAIL
