"""Servers to compare a gateway with: handlers that read a callback, answer fixed bytes, and do no more.

``python -m tests.bench.http_servers KIND PORT``; KIND is ``application`` (aiohttp as people write it: a
router and a handler), ``server`` (aiohttp's low-level server) or ``socket`` (no HTTP library at all:
what the generator can do).
"""

import asyncio
import sys
from typing import cast

import uvloop
from aiohttp import web

_REPLY = b'{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"Body":{"answer":"42"}}'
_WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_REPLY),
    _REPLY,
)


async def handle(request: web.BaseRequest) -> web.Response:
    """Answer what any callback might be answered."""
    await request.read()
    return web.Response(body=_REPLY, content_type="application/json")


class Socket(asyncio.Protocol):
    """Answers each piece that comes: on loopback, a callback is one piece."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's own is no subclass

    def data_received(self, _: bytes) -> None:
        """Answer."""
        self._transport.write(_WHOLE)


async def serve(kind: str, port: int) -> None:
    """Serve until killed."""
    if kind == "socket":
        await asyncio.get_running_loop().create_server(Socket, "127.0.0.1", port)
    elif kind == "server":
        await _listen(web.ServerRunner(web.Server(handle, access_log=None)), port)
    else:
        application = web.Application()
        application.router.add_post("/desk", handle)
        await _listen(web.AppRunner(application, access_log=None), port)
    await asyncio.Event().wait()


async def _listen(runner: "web.ServerRunner | web.AppRunner", port: int) -> None:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
