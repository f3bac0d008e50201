"""What is sent to a browser as it comes: server-sent events, as the HTML standard has them.

A stream has one task and no queue. It sends what is there when the browser has taken the message before. So a
slow browser sees less, and costs no more.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
from aiohttp import web

from gateway.console.callbacks import Filter, Latest
from gateway.console.files import GUARDS
from gateway.console.overview import LOOK_EVERY, Overview
from gateway.core.errors import QueueUnavailable
from gateway.edge.connections import connection_of

MOST_STREAMS = 12
"""Streams of a process: the admin port has connections for supervisors, too."""

MOST_ROWS = 50
"""Callbacks in one message; the newest."""

_FIRST_ROWS = 200
_SIGN_OF_LIFE = 10.0
_TAKEN_WITHIN = 15.0
_HEADERS = {
    **GUARDS,
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx, and others that took it over, keep nothing back
}

Message = tuple[str, Any]
"""The name of an event, and its data."""


class Streams:
    """The streams of one process."""

    def __init__(self, overview: Overview, latest: Latest) -> None:
        """Take what is sent."""
        self._overview, self._latest = overview, latest
        self._open: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def full(self) -> bool:
        """True if there may be no further stream."""
        return self._closed or len(self._open) >= MOST_STREAMS

    async def close(self) -> None:
        """End all streams, and begin none: pages come back at once."""
        self._closed = True
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def overview(self) -> AsyncGenerator[Message, None]:
        """Yield how the deployment stands, every so often."""
        while True:
            yield "overview", await self._overview.look()
            await asyncio.sleep(LOOK_EVERY)

    async def callbacks(self, wanted: Filter) -> AsyncGenerator[Message, None]:
        """Yield the callbacks that are wanted, as they are seen."""
        latest = self._latest
        async with latest.watched():
            if not len(latest):
                await latest.next_look()
            number, most = 0, _FIRST_ROWS
            while True:
                rows = latest.after(number, wanted, most)
                number, most = latest.number, MOST_ROWS
                yield "callbacks", {"rows": rows, **latest.last._asdict()}
                await latest.next_look()

    async def send(
        self, request: web.BaseRequest, messages: AsyncGenerator[Message, None], may: Callable[[], bool]
    ) -> web.StreamResponse:
        """Send messages until the browser goes, the right to see them ends, or the process does."""
        response = web.StreamResponse(headers=_HEADERS)
        response.force_close()
        task = asyncio.ensure_future(_send(request, response, messages, may))
        self._open.add(task)
        try:
            with suppress(asyncio.CancelledError, ConnectionError, TimeoutError, QueueUnavailable):
                await task
        finally:
            self._open.discard(task)
            task.cancel()
            connection_of(request).finish()
        return response


async def _send(
    request: web.BaseRequest,
    response: web.StreamResponse,
    messages: AsyncGenerator[Message, None],
    may: Callable[[], bool],
) -> None:
    await response.prepare(request)
    coming = asyncio.ensure_future(anext(messages))
    try:
        while may():
            done, _ = await asyncio.wait([coming], timeout=_SIGN_OF_LIFE)
            if request.transport is None or request.transport.is_closing():
                return
            if not done:
                await _taken(response.write(b":\n\n"))
                continue
            name, data = coming.result()
            await _taken(
                response.write(b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data)))
            )
            coming = asyncio.ensure_future(anext(messages))
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await messages.aclose()


async def _taken(writing: Awaitable[None]) -> None:
    """Wait until the browser takes a message; raise TimeoutError if it reads no more."""
    async with asyncio.timeout(_TAKEN_WITHIN):
        await writing
