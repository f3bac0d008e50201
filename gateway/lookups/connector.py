"""Connections to an HTTP backend, each used only while nothing has come on it unasked.

In HTTP/1.1 only the order says which answer belongs to which request. If a backend sends one answer too many
on an idle connection, the next user would get it, and each later user the answer of the one before. So a
connection is closed if a byte, an end or an error comes on it between an answer and the next request. Three
checks find it:

1. An ``Ear`` stands between the transport and aiohttp's protocol. It gets all that the loop reads.
2. A poll of the socket, right before a request is written, finds bytes that the loop has not read yet.
3. aiohttp's parser gets a known message. If it holds half of another answer, it cannot read that message.
   Such a half came in one packet with the end of the answer before.

Bytes that cross the request on the wire look like its answer. HTTP/1.1 gives no means to find them.
"""

import asyncio
import select
from typing import Final

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace

_TURNS = 10
"""Turns of the loop in which a TLS connection may end its handshake: session tickets come unasked."""

_KNOWN_REASON: Final = "deskgate-between-answers"
_KNOWN_MESSAGE: Final = f"HTTP/1.1 204 {_KNOWN_REASON}\r\n\r\n".encode()


class UnaskedBytes(aiohttp.ClientConnectionError):
    """Something came on a connection before the request was written. It is closed, and nothing was sent."""


class SilentConnector(aiohttp.TCPConnector):
    """A pool of connections. It closes a connection on which something has come unasked."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the name is aiohttp's
    ) -> aiohttp.connector.Connection:
        """Return a silent connection, of the pool or new; raise UnaskedBytes if a new one speaks first.

        A request without a body is written in this turn of the loop, so this is the last look. A ``Body``
        looks again when it is written. With ``Expect: 100-continue`` the head leaves alone, a turn later, and
        nobody looks then. Such a request gets a new connection, which has no other user's answer on it.
        """
        head_leaves_alone = "Expect" in req.headers
        body = req.body if isinstance(req.body, Body) and not head_leaves_alone else None
        needs_new = head_leaves_alone or (body is not None and body.was_held_back)
        while True:  # each turn closes a connection of the pool, or ends
            connection = await super().connect(req, traces, timeout)
            try:
                ear, reused = _ear(connection)
                trusted = await ear.is_silent() and not (reused and needs_new)
                if trusted and (not reused or await ear.is_between_answers()):
                    connection.add_callback(ear.stop_expecting)  # runs when the answer is complete
                    if body is None:
                        ear.expect_answer()
                    else:
                        body.leave_by(ear)
                    return connection
            except BaseException:
                connection.close()
                raise
            connection.close()
            if not reused:
                msg = "the backend spoke first, or hung up at once"
                raise UnaskedBytes(msg)


class Body(aiohttp.BytesPayload):
    """A request's body. Head and body are written together, and only to a connection that is silent then.

    aiohttp holds the head back until the body is written, which Python 3.11 does in a later turn of the loop
    than the one in which the connection was taken.
    """

    ear: "Ear | None" = None  # no underscore: aiohttp might use the same name

    @property
    def was_held_back(self) -> bool:
        """True after a connection was taken for this request and nothing of it has been written."""
        return self.ear is not None

    def leave_by(self, ear: "Ear") -> None:
        """Write to the connection of ``ear`` next."""
        self.ear = ear

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write the request; raise UnaskedBytes, with nothing written, if the connection is not silent."""
        if self.ear is not None:
            if not await self.ear.is_silent():
                msg = "something came before the request was written"
                raise UnaskedBytes(msg)
            self.ear.expect_answer()
            self.ear = None
        await super().write_with_length(writer, content_length)


async def send_again_if_held_back(
    req: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request; a ``Body`` that was held back goes out once more, on a new connection.

    The backend has seen nothing of it, so this is safe for a POST, and is no retry.
    """
    try:
        return await handler(req)
    except aiohttp.ClientConnectionError:
        if not (isinstance(req.body, Body) and req.body.was_held_back):
            raise
    return await handler(req)


class Ear(asyncio.Protocol):
    """Hears all bytes of one connection. It passes an expected answer on, and closes on other bytes."""

    def __init__(self, transport: asyncio.Transport, protocol: ResponseHandler) -> None:
        """Put it between the two."""
        self._transport = transport
        self._protocol = protocol
        self._expects_answer = False
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        transport.set_protocol(self)

    def expect_answer(self) -> None:
        """From now on every byte belongs to an answer. Call it right before the request is written."""
        self._expects_answer = True

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

    async def is_between_answers(self) -> bool:
        """True if the parser reads a message as it stands: it has not begun to read another one."""
        self._protocol.data_received(_KNOWN_MESSAGE)
        if len(self._protocol) != 1 or self._transport.is_closing():
            return False
        message, _ = await self._protocol.read()
        return message.reason == _KNOWN_REASON and not self._protocol.should_close

    def data_received(self, data: bytes) -> None:
        """Take bytes from the transport."""
        if self._expects_answer:
            self._protocol.data_received(data)
        else:
            self._transport.abort()

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


def _ear(connection: aiohttp.connector.Connection) -> tuple[Ear, bool]:
    """Return the ear of a connection, and whether it was there before: whether the connection was used."""
    transport, protocol = connection.transport, connection.protocol
    if transport is None or protocol is None:
        msg = "the connection broke as it was made"
        raise UnaskedBytes(msg)
    ear = transport.get_protocol()
    return (ear, True) if isinstance(ear, Ear) else (Ear(transport, protocol), False)
