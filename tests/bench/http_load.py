"""Desk as a load generator: callbacks over keep-alive connections, each sent when the last is answered.

With a pause, it is sent so many seconds later.

A process of its own, on bare sockets, so that it is not what limits: it does a tenth of a server's work.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, cycle, islice
from time import perf_counter
from typing import Any, cast
from urllib.parse import urlencode

import uvloop

from gateway.front.dialects.desk import sign
from tests.bench.calling import STRAGGLERS, converse
from tests.bench.configuration import APP, TOKEN

_BODY = (
    '{"CallbackCommand": "Chatbot.InterfaceInvocation", "Body": {"SystemClientUserID": "user517", '
    '"SystemSessionID": "SESSION", "staticKey": "KEY", "testKey3": ""}, "EventTime": 1731488371784}'
)
_WIDTH = 36
"""Length of a session's name, that of a UUID: every callback is as long as the others."""
_numbers: dict[tuple[int, str, int | None], Iterator[int]] = {}
"""The sessions of each series of callbacks: a turn goes on where the last one has left off."""


@dataclass(slots=True)
class Load:
    """One turn: the callbacks to send until ``end``, and what became of them."""

    requests: Iterator[bytes]
    end: float
    pause: float = 0.0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    ms: list[float] = field(default_factory=list)
    late: int = 0
    lost: int = 0
    busy: int = 0


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, load: Load) -> None:
        """Take the turn that it is part of."""
        self._load = load
        self._heard = b""
        self._begun = 0.0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first callback."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's own is no subclass
        self._load.busy += 1
        self._next()

    def data_received(self, data: bytes) -> None:
        """Once the reply is whole, note it and send the next callback."""
        self._heard = heard = self._heard + data if self._heard else data
        head = heard.find(b"\r\n\r\n")
        if head < 0 or len(heard) < head + 4 + _content_length(heard[:head]):
            return
        self._heard = b""
        load, now = self._load, perf_counter()
        if not heard.startswith(b"HTTP/1.1 200") or b'"ErrorCode":0' not in heard:
            load.lost += 1
        elif now <= load.end:
            load.ms.append((now - self._begun) * 1000)
        else:
            load.late += 1
        if load.pause:
            asyncio.get_running_loop().call_later(load.pause, self._next)
        else:
            self._next()

    def connection_lost(self, _: Exception | None) -> None:
        """Count what was never answered; the turn is over with the last connection."""
        load = self._load
        load.lost += self._begun > 0
        load.busy -= 1
        if not load.busy:
            load.over.set()

    def _next(self) -> None:
        assert self._transport is not None
        self._begun = perf_counter()
        request = next(self._load.requests, None) if self._begun < self._load.end else None
        if request is None:
            self._begun = 0.0
            self._transport.close()
        else:
            self._transport.write(request)


async def turn(order: dict[str, Any]) -> dict[str, Any]:
    """Send callbacks to ``port`` for ``seconds``, or ``only`` so many, of the next ``sessions`` in turn."""
    sessions = order["sessions"]
    numbers = _numbers.setdefault(
        (order["port"], order["key"], sessions), count(10**9) if sessions is None else cycle(range(sessions))
    )
    requests = _requests(order["key"], islice(numbers, order.get("only")))
    load = Load(requests, perf_counter() + order["seconds"], order.get("pause", 0.0))
    loop = asyncio.get_running_loop()
    for _ in range(order["callers"]):
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", order["port"])
    try:
        async with asyncio.timeout(order["seconds"] + STRAGGLERS):
            await load.over.wait()
    except TimeoutError:
        load.lost += load.busy
    return {
        "ms": [round(ms, 4) for ms in load.ms],
        "late": load.late,
        "lost": load.lost,
        "seconds": order["seconds"],
    }


def _requests(key: str, numbers: Iterator[int]) -> Iterator[bytes]:
    """Yield whole callbacks, signed now, each of the session with the next number."""
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
    body = _BODY.replace("KEY", key).replace("SESSION", "%0*d")
    length = len(body % (_WIDTH, 0))
    head = f"POST /desk?{urlencode(query)} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    before, after = body.split("%0*d")
    start, end = f"{head}Content-Length: {length}\r\n\r\n{before}".encode(), after.encode()
    for number in numbers:
        yield b"%b%0*d%b" % (start, _WIDTH, number, end)


def _content_length(head: bytes) -> int:
    at = head.find(b"Content-Length: ")
    return int(head[at + 16 :].partition(b"\r")[0]) if at >= 0 else 0


if __name__ == "__main__":
    uvloop.run(converse(turn))
