"""A backend that is well until it is told to play a fault, and counts its calls."""

import asyncio
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GOOD = {"code": 0, "data": {"name": "Lin Xia", "tier": "gold"}}


def response(
    status: str,
    body: bytes | object = b"",
    *headers: str,
    kind: str = "application/json",
    length: bool = True,
) -> bytes:
    """Return a response; a body that is no bytes becomes JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", *headers]
    if length:
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def answers(data: bytes) -> Play:
    """Play a response."""

    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        with suppress(ConnectionError):
            await writer.drain()

    return play


async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Say nothing until the client goes."""
    await reader.read()


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Break the connection."""
    writer.transport.abort()


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a good answer, a byte every tenth of a second."""
    for byte in response("200 OK", GOOD):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.1)


async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send interim answers without end."""
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
        await writer.drain()


def bomb() -> bytes:
    """Return a small body that unpacks to 100 MB."""
    return gzip.compress(b"[" + b" " * 100_000_000 + b"]")


class Backend:
    """One backend. ``fault`` is played in the place of good answers, while there is one.

    ``after`` is sent unasked after each good answer. With ``silent`` a new connection gets no handshake.
    """

    def __init__(self) -> None:
        """Begin well."""
        self.fault: Play | None = None
        self.after = b""
        self.silent = False
        self.calls = 0
        self.url = ""
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def serve(self, certificate: tuple[Path, Path] | None = None) -> AsyncIterator["Backend"]:
        """Listen, with TLS if there is a certificate."""
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.context.load_cert_chain(*certificate)
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        scheme = "http" if certificate is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            self.close()
            for talk in self._talks:
                talk.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)
            for writer in self._writers:
                writer.transport.abort()
            for _ in range(5):  # until the loop has closed them
                await asyncio.sleep(0)

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        task.add_done_callback(self._talks.discard)
        gone = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError)
        with suppress(*gone):  # cancelled at the end: its task has no other owner
            if self.silent:
                await reader.read()
                return
            if self.context is not None:
                await writer.start_tls(self.context)
            while not writer.is_closing():
                await reader.readuntil(b"\r\n\r\n")
                self.calls += 1
                if self.fault is not None:
                    await self.fault(reader, writer)
                    continue
                writer.write(response("200 OK", GOOD))
                await writer.drain()
                if self.after:
                    writer.write(self.after)
                    await writer.drain()
        writer.transport.abort()
