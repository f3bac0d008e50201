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

import math
import re
from collections.abc import Callable
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any, cast

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from gateway.lookups.ear import LARGEST_HEAD, Ear, UnaskedBytes, ear_of
from gateway.lookups.rest import Rest, Resting
from gateway.process.clock import MONOTONIC, Clock

DISTRUSTED_FOR = 60.0
"""Seconds for which no connection is used twice after a backend has spoken out of turn."""

MAX_HEADER = 64 * 1024
"""Most bytes of a header's line."""

MAX_HEADERS = 256

_GOODBYE = re.compile(rb"HTTP/1\.[01] 408 ")


class BrokenConnection(aiohttp.ClientConnectionError):
    """The connection broke before the answer's head was whole."""


class HeadTooLong(aiohttp.ClientConnectionError):
    """The head of an answer is longer than LARGEST_HEAD."""


class Sending:
    """One request on its way: its connection's ear, whether it was ``reused``, and whether it must be new."""

    def __init__(self) -> None:
        """Any connection will do."""
        self.needs_new = False
        self.reused = False
        self.ear: Ear | None = None


_sending: ContextVar[Sending] = ContextVar("sending")


class Trust:
    """Whether a backend's connections may be used twice."""

    def __init__(self, report: Callable[[], None] = lambda: None, clock: Clock = MONOTONIC) -> None:
        """Take what is called once for each time of distrust."""
        self._report, self._clock = report, clock
        self._distrusted_until = -math.inf

    @property
    def is_given(self) -> bool:
        """True unless the backend has spoken out of turn lately."""
        return self._clock.now() >= self._distrusted_until

    def note_unasked(self, data: bytes) -> None:
        """Note bytes that nobody has asked for. A 408 on an idle connection is a goodbye."""
        if _GOODBYE.match(data):
            return
        if self.is_given:
            self._report()
        self._distrusted_until = self._clock.now() + DISTRUSTED_FOR


class SilentConnector(aiohttp.TCPConnector):
    """A pool of connections. It closes a connection on which something has come unasked.

    After a backend has spoken out of turn, each request gets a new connection for a while: bytes that cross a
    request on the wire look like its answer, and nobody can tell.
    """

    def __init__(
        self,
        *,
        trust: Trust | None = None,
        rest: float = 0.0,
        **settings: Any,  # noqa: ANN401 - aiohttp's own
    ) -> None:
        """Take the trust in the backend, the seconds of a connection's rest, and aiohttp's own settings."""
        super().__init__(**settings)
        self.trust = trust or Trust()
        self.rest = Rest(rest)

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Close all connections, those that rest, too."""
        self.rest.end_all()
        await super().close(abort_ssl=abort_ssl)

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the name is aiohttp's
    ) -> Connection:
        """Return a silent connection, of the pool or new; raise UnaskedBytes if a new one speaks first.

        A request without a body is written in this turn of the loop, so this is the last look. A ``Body``
        looks again when it is written. With ``Expect: 100-continue`` the head leaves alone, a turn later, and
        nobody looks then. Such a request gets a new connection, which has no other user's answer on it.
        """
        head_leaves_alone = "Expect" in req.headers
        body = req.body if isinstance(req.body, Body) and not head_leaves_alone else None
        sending = _sending.get(Sending())
        while True:  # each turn closes a connection of the pool, or ends
            connection = await super().connect(req, traces, timeout)
            try:
                ear, reused = ear_of(connection, self.trust.note_unasked)
                needs_new = head_leaves_alone or sending.needs_new or not self.trust.is_given
                if reused and needs_new:
                    trusted = False
                elif not await ear.is_silent():
                    trusted = False
                    await ear.hear_out()
                else:
                    trusted = not reused or await ear.is_between_answers()
                if trusted:
                    sending.ear, sending.reused = ear, reused
                    if body is None:
                        ear.expect_answer()
                    else:
                        body.leave_by(ear)
                    # It has all that aiohttp asks of a connection.
                    return cast("Connection", Resting(connection, ear.stop_expecting, self.rest))
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

    ear: Ear | None = None  # no underscore: aiohttp might use the same name

    @property
    def was_held_back(self) -> bool:
        """True after a connection was taken for this request and nothing of it has been written."""
        return self.ear is not None

    def leave_by(self, ear: Ear) -> None:
        """Write to the connection of ``ear`` next."""
        self.ear = ear

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write the request; raise UnaskedBytes, with nothing written, if the connection is not silent."""
        if self.ear is not None:
            if not await self.ear.is_silent():
                await self.ear.hear_out()
                msg = "something came before the request was written"
                raise UnaskedBytes(msg)
            self.ear.expect_answer()
            self.ear = None
        await super().write_with_length(writer, content_length)


async def send(req: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a request, once more if it met a dead idle connection: a middleware of aiohttp.

    A server may drop an idle connection at any time (RFC 9112, 9.3.1), also while a request is on its way. So
    a request that got no byte of an answer on a reused connection leaves again, on a new one. This is no
    attempt: the backend has most likely seen nothing of it, and lookups only read. A 408 in answer to it is
    the same. aiohttp's own second try of a GET is left out: the log shall count as the backend does.
    """
    sending = Sending()
    token = _sending.set(sending)
    try:
        try:
            response = await handler(req)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, UnaskedBytes) as error:
            if not _met_a_dead_one(req, sending):
                raise _as_broken(sending, error) from error.__cause__
        else:
            if response.status != HTTPStatus.REQUEST_TIMEOUT or not sending.reused:
                return _with_head(sending, response)
            response.close()
        sending.needs_new = True
        try:
            return _with_head(sending, await handler(req))
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            raise _as_broken(sending, error) from error.__cause__
    finally:
        _sending.reset(token)


def _met_a_dead_one(req: aiohttp.ClientRequest, sending: Sending) -> bool:
    """True if nothing of the request was written, or no byte of an answer came on a reused connection."""
    if isinstance(req.body, Body) and req.body.was_held_back:
        return True
    return sending.reused and sending.ear is not None and not sending.ear.head_bytes


def _as_broken(sending: Sending, error: aiohttp.ClientError) -> aiohttp.ClientError:
    """Return the error to raise: aiohttp must not take it for one after which it sends again by itself."""
    if sending.ear is not None and sending.ear.head_bytes > LARGEST_HEAD:
        return HeadTooLong("the head of the answer is too long")
    if isinstance(error, aiohttp.ClientConnectorError | UnaskedBytes):
        return error
    return BrokenConnection(type(error).__name__)


def _with_head(sending: Sending, response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
    if sending.ear is not None:
        sending.ear.end_head()
    return response
