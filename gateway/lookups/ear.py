"""An ear on a connection: it hears all bytes, and passes on those of an answer that was asked for."""

import asyncio
import select
from collections.abc import Callable
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

_TURNS = 10
"""Turns of the loop in which a TLS connection may end its handshake: session tickets come unasked."""

_TURNS_TO_READ = 3

LARGEST_HEAD = 1024 * 1024
"""Most bytes of an answer's head, about."""

_KNOWN_REASON: Final = "deskgate-between-answers"
_KNOWN_MESSAGE: Final = f"HTTP/1.1 204 {_KNOWN_REASON}\r\n\r\n".encode()


class UnaskedBytes(aiohttp.ClientConnectionError):
    """Something came on a connection before the request was written. It is closed, and nothing was sent."""


class Ear(asyncio.Protocol):
    """Hears all bytes of one connection. It passes an expected answer on, and closes on other bytes."""

    def __init__(
        self, transport: asyncio.Transport, protocol: ResponseHandler, unasked: Callable[[bytes], None]
    ) -> None:
        """Put it between the two. ``unasked`` is called with bytes that nobody has asked for."""
        self._transport = transport
        self._protocol = protocol
        self._unasked = unasked
        self._expects_answer = self._in_head = False
        self.head_bytes = 0
        """Bytes of the answer until its head was read."""
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        transport.set_protocol(self)

    def expect_answer(self) -> None:
        """From now on every byte belongs to an answer. Call it right before the request is written."""
        self._expects_answer = self._in_head = True
        self.head_bytes = 0

    def end_head(self) -> None:
        """From now on the bytes are those of the body."""
        self._in_head = False

    def stop_expecting(self) -> None:
        """From now on every byte is unasked."""
        self._expects_answer = False

    async def is_silent(self) -> bool:
        """True if nothing has come unasked, up to this very moment: the loop makes no turn after the look."""
        for _ in range(_TURNS):
            if self._protocol.should_close or self._transport.is_closing():
                return False
            unsent = self._transport.get_write_buffer_size()  # an answer came ahead of its request's end
            if not unsent and not self._poll.poll(0):
                return True
            if not self._is_tls:
                return False
            await asyncio.sleep(0)  # the loop reads and writes, and hears if it was data
        return False

    async def hear_out(self) -> None:
        """Let the loop read what waits in the kernel: was it an end, or bytes?"""
        for _ in range(_TURNS_TO_READ):
            await asyncio.sleep(0)

    async def is_between_answers(self) -> bool:
        """True if the parser reads a message as it stands: it has not begun to read another one."""
        self._protocol.data_received(_KNOWN_MESSAGE)
        if len(self._protocol) == 1 and not self._transport.is_closing():
            message, _ = await self._protocol.read()
            if message.reason == _KNOWN_REASON and not self._protocol.should_close:
                return True
        self._unasked(b"")
        return False

    def data_received(self, data: bytes) -> None:
        """Take bytes from the transport."""
        if not self._expects_answer:
            self._unasked(data)
            self._transport.abort()
            return
        if self._in_head:
            self.head_bytes += len(data)
            if self.head_bytes > LARGEST_HEAD:
                self._transport.abort()
                return
        self._protocol.data_received(data)

    def eof_received(self) -> None:
        """Take the end: aiohttp's protocol lets the transport close, too."""
        self._protocol.eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Pass it on."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass it on."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._protocol.resume_writing()


def ear_of(connection: aiohttp.connector.Connection, unasked: Callable[[bytes], None]) -> tuple[Ear, bool]:
    """Return the ear of a connection, and whether it was there before: a used connection has one."""
    transport, protocol = connection.transport, connection.protocol
    if transport is None or protocol is None:
        msg = "the connection broke as it was made"
        raise UnaskedBytes(msg)
    ear = transport.get_protocol()
    return (ear, True) if isinstance(ear, Ear) else (Ear(transport, protocol, unasked), False)
