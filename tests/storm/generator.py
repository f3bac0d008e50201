"""Desk, sending the workload: every callback at its time, even if others fail.

A process of its own, on bare sockets, so that it is not what limits. Connections are kept, and opened when
all are busy. Every time is told from when a callback was to be sent, not from when it was.
"""

import asyncio
import gc
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, cast
from urllib.parse import urlencode

import msgspec
import uvloop

from gateway.front.dialects.desk import sign
from tests.bench.calling import converse
from tests.storm.judging import PATIENCE, Heard
from tests.storm.pace import PACES
from tests.storm.workload import LOOKUPS, Callback, workload

APP, TOKEN = 1400000001, "xxxxyyyy"
_WARM_UPS = 40
_LEAD = 0.05
"""Seconds from an order to the first callback."""

_TICK = 0.001


class Connection(asyncio.Protocol):
    """One keep-alive connection, which has one callback at a time."""

    def __init__(self, idle: list["Connection"]) -> None:
        """Take the list to be in while there is nothing to do."""
        self._idle = idle
        self._told = b""
        self._reply: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        """Once the reply is whole, hand it over."""
        self._told += data
        head, ended, body = self._told.partition(b"\r\n\r\n")
        if self._reply is None or not ended or len(body) < _content_length(head):
            return
        if not self._reply.done():
            self._reply.set_result((int(head[9:12]), body))
        self._told, self._reply = b"", None
        self._idle.append(self)

    def connection_lost(self, _: Exception | None) -> None:
        """Be used no more."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(ConnectionResetError())
        if self in self._idle:
            self._idle.remove(self)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Return status and body; raise ConnectionError. A caller that stops waiting has to close it."""
        assert self._transport is not None
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._reply

    def close(self) -> None:
        """Hang up."""
        assert self._transport is not None
        self._transport.abort()


class Desk:
    """Sends callbacks to a port and keeps what it hears."""

    def __init__(self, port: int) -> None:
        """Take the port; nothing is opened yet."""
        self._port = port
        self._idle: list[Connection] = []
        self.heard: list[Heard] = []

    async def play(self, callbacks: Iterable[Callback]) -> None:
        """Send every callback at its time, and return when all have been answered or given up."""
        begun = time.monotonic() + _LEAD
        sending = []
        for callback in callbacks:
            due = begun + callback.at
            while (left := due - time.monotonic()) > 0:  # noqa: ASYNC110 - timers may be early by half a tick
                await asyncio.sleep(max(left, _TICK))
            sending.append(asyncio.create_task(self._send(callback, due)))
        await asyncio.gather(*sending)

    async def _send(self, callback: Callback, due: float) -> None:
        late = time.monotonic() - due
        try:
            async with asyncio.timeout(max(0.0, due + PATIENCE - time.monotonic())):
                status, body = await self._ask(request(callback))
        except (TimeoutError, OSError):
            self.heard.append(Heard(*callback.key, late, None, time.time()))
            return
        took = time.monotonic() - due
        self.heard.append(
            Heard(*callback.key, late, took, time.time(), status, body.decode(errors="replace"))
        )

    async def _ask(self, request: bytes) -> tuple[int, bytes]:
        connection = self._idle.pop() if self._idle else await self._connect()
        try:
            return await connection.ask(request)
        except asyncio.CancelledError:
            connection.close()  # as Desk does when it gives up
            raise

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(self._idle), "127.0.0.1", self._port)
        return connection

    def close(self) -> None:
        """Hang up everywhere."""
        for connection in self._idle[:]:
            connection.close()


def request(callback: Callback) -> bytes:
    """Return a callback as Desk sends it, signed now."""
    now = str(int(time.time()))
    query = {
        "SdkAppid": APP,
        "CallbackCommand": "Chatbot.InterfaceInvocation",
        "contenttype": "json",
        "ClientIP": "127.0.0.1",
        "OptPlatform": "Web",
        "RequestTime": now,
        "Sign": sign(TOKEN, now),
    }
    variables = {
        "SystemClientUserID": callback.user,
        "SystemSessionID": f"session-{callback.session}",
        "node": callback.node,
        **callback.asks,
    }
    body = msgspec.json.encode(
        {
            "CallbackCommand": "Chatbot.InterfaceInvocation",
            "Body": variables,
            "EventTime": int(now) * 1000,
        }
    )
    head = f"POST /desk?{urlencode(query)} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def warm_up() -> list[Callback]:
    """Return callbacks of no session of the workload, all at once."""
    asks = {lookup: f"warm-{lookup}" for lookup in LOOKUPS}
    return [
        Callback(-1 - n, 0, 0.0, "warm", {name: f"{asked}{n}" for name, asked in asks.items()})
        for n in range(_WARM_UPS)
    ]


@cache
def _workload(pace: str) -> Sequence[Callback]:
    return workload(PACES[pace])


async def turn(order: dict[str, Any]) -> dict[str, Any]:
    """Play the workload of a ``pace`` to a ``port``, or first, with ``warm_up``, some callbacks before it."""
    callbacks = _workload(order["pace"])
    desk = Desk(order["port"])
    gc.collect()
    gc.disable()  # a pause would be told as the gateway's
    cpu, begun = time.process_time(), time.monotonic()
    try:
        await desk.play(warm_up() if order["warm_up"] else callbacks)
    finally:
        gc.enable()
        desk.close()
    busy = (time.process_time() - cpu) / (time.monotonic() - begun)
    return {"heard": [msgspec.to_builtins(one) for one in desk.heard], "busy": busy}


def _content_length(head: bytes) -> int:
    """Return the length of a body, by its head; servers differ in how they spell the name."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


if __name__ == "__main__":
    with suppress(OSError):
        os.nice(-10)  # Desk has machines of its own; where this is not allowed, "late" tells what it costs
    uvloop.run(converse(turn))
