"""Answers a call on the wire as its fate says."""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress

import msgspec
from aiohttp import web

from gateway.crm.api import Answer
from gateway.crm.script import Fate, Kind

_DRIP_INTERVAL_S = 1.0
_HUGE_BYTES = 50_000_000
_HUGE_HEAD, _HUGE_TAIL = b'{"blob":"', b'"}'
_CHUNK = b"x" * 65_536
SOMEBODY_ELSE = "Somebody Else"
"""The texts of an answer that nobody has asked for."""

_EXPIRED = {"errcode": 42001, "errmsg": "access_token expired", "data": None}
_EXPIRED = {"errcode": 42001, "errmsg": "access_token expired", "data": None}
_TAIL = b'"}'
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
    if (canned := _CANNED.get(fate.kind)) is not None:
        return canned(fate, answer)
    match fate.kind:
        case Kind.RESET:
            return await _reset(request, answer)
        case Kind.DRIP:
            body = msgspec.json.encode(answer[1])
            drops = (body[at : at + 1] for at in range(len(body)))
            return await _stream(request, answer[0], len(body), drops, _DRIP_INTERVAL_S)
        case Kind.HUGE:
            return await _stream(request, 200, _HUGE_BYTES, _huge_pieces())
    return await _break_silence(request, fate, answer)


def reply(answer: Answer) -> web.Response:
    """Return an ordinary JSON response."""
    status, content = answer
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")


def _declared(fate: Fate, answer: Answer) -> web.Response:
    """Return the response that a rule describes."""
    text = msgspec.json.encode(answer[1]).decode() if fate.body is None else fate.body
    headers = {"Content-Type": "application/json", **fate.headers}
    return web.Response(body=text.encode(fate.charset), status=fate.status, headers=headers)


def _throttled(fate: Fate, _: Answer) -> web.Response:
    return web.json_response({"error": "too many requests"}, status=429, headers=fate.headers)


_CANNED: Mapping[Kind, Callable[[Fate, Answer], web.Response]] = {
    Kind.OK: lambda _, answer: reply(answer),
    Kind.ERROR: lambda fate, _: reply((fate.status, {"error": "scripted", "status": fate.status})),
    Kind.GARBAGE: lambda _, __: web.Response(body=_GARBAGE, content_type="application/json"),
    Kind.REPLY: _declared,
    Kind.EXPIRED: lambda _, __: reply((200, _EXPIRED)),
    Kind.THROTTLED: _throttled,
    Kind.INGRESS: lambda _, __: web.Response(text="default backend - 404", status=404),
    Kind.EMPTY: lambda _, __: web.Response(status=204),
    Kind.PROMISE: lambda _, __: reply((202, {"status": "processing"})),
}
"""Kinds that are one ordinary response."""


async def _break_silence(request: web.BaseRequest, fate: Fate, answer: Answer) -> web.StreamResponse:
    """Send an answer, and then what nobody has asked for: bytes, or the end of the connection."""
    status, content = answer
    body = msgspec.json.encode(content)
    missing = len(_TAIL) if fate.kind is Kind.LONGER else 0
    response = await _stream(request, status, len(body) - missing, [body[: len(body) - missing]])
    with suppress(ConnectionError):
        await response.write_eof()
    transport = request.transport
    if transport is None or transport.is_closing():
        return response
    if fate.kind is Kind.CLOSING:
        transport.close()
    elif fate.kind is Kind.LONGER:
        transport.write(body[-missing:])
    elif fate.lag_s:
        asyncio.get_running_loop().call_later(fate.lag_s, transport.write, _about_somebody_else(content))
    else:
        transport.write(_about_somebody_else(content))
    return response


def _about_somebody_else(content: object) -> bytes:
    """Return a whole response like that of ``content``, with each of its texts replaced."""
    fields = msgspec.to_builtins(content)
    others = {name: SOMEBODY_ELSE if isinstance(value, str) else value for name, value in fields.items()}
    body = msgspec.json.encode(others)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


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
