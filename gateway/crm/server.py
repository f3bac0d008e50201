"""The flaky CRM as a server: counts each call, decides its fate, and carries it out.

The script decides over the pages of :mod:`gateway.crm.api`. Two more pages always work:

===================  ===================================================================================
``GET /_stats``      calls per path since the start, how many are and were in flight, last headers
``DELETE /_stats``   counts from zero
``GET /_script``     the script that plays, as it was put
``PUT /_script``     plays another one, from its beginning; 400 with all its faults when it is bad
===================  ===================================================================================
"""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

import click
import uvloop
from aiohttp import web

from gateway.crm.api import answer, stamp
from gateway.crm.misbehaviour import reply, send
from gateway.crm.reading import read_script
from gateway.crm.script import Fate, ScriptError, decide
from gateway.crm.stats import Stats

_BACKLOG = 1024
_STOP_GRACE_S = 0.1  # calls that hang would never end by themselves

Clock = Callable[[], float]


class _Play:
    """A script that plays: it has its own time, and its own count of the calls of each path."""

    def __init__(self, script: str | bytes, clock: Clock) -> None:
        self.text = script.encode() if isinstance(script, str) else script
        self.script = read_script(self.text)
        self._clock = clock
        self._began = clock()
        self._calls: Counter[str] = Counter()

    def next_fate(self, path: str) -> Fate:
        self._calls[path] += 1
        return decide(self.script, path, self._clock() - self._began, self._calls[path])


class Crm:
    """The flaky CRM. It listens inside ``async with``; ``url`` is its address, without a slash at the end.

    ``script`` is a fault script as TOML; its seed draws the faults. ``seed`` makes the customers and orders.
    Without it, they come from the seed of this first script, and stay when another script is put. ``clock``
    gives the seconds for ``after`` and ``until``. Raises ScriptError.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        script: str | bytes = "",
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock = time.monotonic,
    ) -> None:
        self._clock = clock
        self._play = _Play(script, clock)
        self.seed = self._play.script.seed if seed is None else seed
        self.stats = Stats()
        self._host, self._port = host, port
        self._runner: web.ServerRunner | None = None
        self.url = ""

    def put(self, script: str | bytes) -> None:
        """Play another script from now on. If it is bad, keep the old one and raise ScriptError."""
        self._play = _Play(script, self._clock)

    async def __aenter__(self) -> Self:
        """Listen; raise OSError when the port is taken."""
        server = web.Server(self._handle, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=_STOP_GRACE_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port, backlog=_BACKLOG).start()
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"http://{host}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything, calls that hang included."""
        if self._runner is None or self._runner.server is None:
            return
        transports = [connection.transport for connection in self._runner.server.connections]
        await self._runner.cleanup()
        for transport in transports:
            if transport is not None:
                transport.abort()  # else it would wait for a client that does not read its bytes

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path in {"/_stats", "/_script"}:
            return await self._administer(request, path)
        self.stats.begin(path, request.headers)
        try:
            fate = self._play.next_fate(path)
            body = await request.read()
            healthy = answer(self.seed, request.method, path, body)
            if "as_of" in request.query:
                healthy = stamp(healthy, time.time())
            return await send(request, fate, healthy)
        finally:
            self.stats.end()

    async def _administer(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        match request.method, path:
            case "GET", "/_stats":
                return reply((200, self.stats.report()))
            case "DELETE", "/_stats":
                self.stats.zero()
                return web.Response(status=204)
            case "GET", "/_script":
                return web.Response(body=self._play.text, content_type="application/toml")
            case "PUT", "/_script":
                return self._put(await request.read())
        return reply((405, {"error": "wrong method", "path": path}))

    def _put(self, body: bytes) -> web.Response:
        try:
            self.put(body)
        except ScriptError as error:
            return reply((400, {"faults": error.faults}))
        return web.Response(status=204)


async def _serve(host: str, port: int, script: bytes) -> None:
    """Serve until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with Crm(host=host, port=port, script=script) as crm:
        click.echo(f"deskgate crm on {crm.url}")
        await ended.wait()


def run(host: str, port: int, script: bytes) -> None:
    """Run the CRM until SIGTERM or SIGINT: this is ``deskgate crm``.

    Without a script, every call is answered at once. Raises ScriptError, and OSError for a taken port.
    """
    uvloop.run(_serve(host, port, script))
