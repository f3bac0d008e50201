"""HTTP backends: each has one pooled session, makes one attempt a call, and checks the whole reply."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from gateway.core.charsets import find_charset
from gateway.core.compression import CODINGS, unpack, unpack_beginning
from gateway.core.errors import (
    BackendDenied,
    BadBackendReply,
    LookupFailed,
    NotJson,
)
from gateway.core.messages import Ask
from gateway.declared.backend import Backend
from gateway.declared.credentials import Auth
from gateway.declared.lookup import Lookup
from gateway.declared.request import FilledRequest
from gateway.lookups.answers import Response, interpret, wants_body
from gateway.lookups.connector import (
    MAX_HEADER,
    MAX_HEADERS,
    Body,
    SilentConnector,
    Trust,
    send,
)
from gateway.lookups.credentials import open_credentials
from gateway.lookups.credentials.fixed import auth_headers
from gateway.lookups.decoding import ACCEPTED
from gateway.lookups.failures import failure_of
from gateway.lookups.other_answers import judge
from gateway.lookups.reach import Reach
from gateway.lookups.reply import Finding
from gateway.lookups.resolver import Resolver
from gateway.process.background import Background
from gateway.process.following import follow
from gateway.resilience.board import Board
from gateway.telemetry import events

T = TypeVar("T")

MOST_CODINGS = 5
"""Most codings of one reply, one over the other: each of them costs a copy of it."""

LARGE_REPLY = 16 * 1024
"""Bytes of a reply from which on it is read in a thread: a megabyte of tiny elements takes a second."""

_PEEKED = 2048
_ASKED_FOR = "gzip, deflate"
_NOT_ASKED_FOR = frozenset(("br", "zstd", "compress", "x-compress"))


class HttpBackend:
    """A service that answers over HTTP."""

    def __init__(self, declared: Backend, name: str = "", board: Board | None = None) -> None:
        """Take its declaration; connections are opened as they are needed. Build it inside a running loop.

        ``board`` has the tokens that the fleet shares. Raise ConfigFaults for a key that cannot be used, and
        OSError for files of certificates.
        """
        self._reach = Reach(declared)
        self._credentials = open_credentials(declared, name, board or Board(), self._reach)
        self._work, self._name = Background(), name
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="reply")
        self._charset = find_charset(declared.charset or "") or ""
        self.url = declared.url.rstrip("/")
        """The address to which the path of each request is added."""
        self._max_reply = declared.max_reply
        lasting = {"keepalive_timeout": declared.keep_alive} if declared.keep_alive else {"force_close": True}
        connector = SilentConnector(
            trust=Trust(lambda: events.backend_unasked(backend=name)),
            rest=declared.idle_before_reuse,
            limit=0,
            resolver=Resolver(),
            use_dns_cache=False,
            **lasting,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),  # a session cookie must not carry over to another session
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the attempt timeout is the limit
            headers=_own_headers(declared.auth),
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
            max_headers=MAX_HEADERS,
            middlewares=(send,),
            auto_decompress=False,  # aiohttp takes a part of a gzip for the whole
        )

    async def start(self) -> None:
        """Keep credentials ready, before a question needs them, and read certificates when they change."""
        if self._reach.changes:
            self._work.start(follow([self._reach], asyncio.Event()))
        if self._credentials is not None:
            self._credentials.start()

    async def close(self) -> None:
        """Close the connections."""
        await self._work.close()
        if self._credentials is not None:
            await self._credentials.close()
        await self._session.close()
        self._reader.shutdown(wait=False, cancel_futures=True)

    async def ask(self, lookup: Lookup, ask: Ask) -> Finding:
        """Return the answer of one attempt; raise NoAnswer. That there is no such thing may be an answer."""
        return await self._ask(
            fill(lookup, ask.inputs),
            ACCEPTED[lookup.reply],
            partial(wants_body, lookup),
            partial(interpret, lookup, now=time.time()),
            ask.traceparent,
        )

    async def fetch(
        self, request: FilledRequest, reading: Lookup, traceparent: str = ""
    ) -> tuple[Response, object]:
        """Return the response of one attempt and its value, as :func:`judge` does; raise NoAnswer."""

        def judged(response: Response) -> tuple[Response, object]:
            return response, judge(reading, response, time.time())

        return await self._ask(request, ACCEPTED["json"], lambda _: True, judged, traceparent)

    async def _ask(
        self,
        request: FilledRequest,
        accepted: str,
        wants: Callable[[int], bool],
        read: Callable[[Response], T],
        traceparent: str,
    ) -> T:
        """Make one attempt with credentials, and return what is read out of its response."""
        request, used = await self.add_credentials(request)
        response = await self.send(request, _headers(request, accepted, traceparent), wants)
        if traceparent:
            self._tell_reply(response, traceparent, used)
        try:
            if len(response.body or b"") < LARGE_REPLY:
                return read(response)
            return await asyncio.get_running_loop().run_in_executor(self._reader, read, response)
        except BackendDenied as error:
            if self._credentials is None or not await self._credentials.renew(used):
                raise
            raise BackendDenied(str(error), renewable=True) from None

    def _tell_reply(self, response: Response, traceparent: str, used: str) -> None:
        _, trace_id, span_id, _ = traceparent.split("-")
        body = response.body or response.unread
        events.attempt_replied(
            backend=self._name,
            status=response.status,
            content_type=response.headers.get("Content-Type", ""),
            size=len(body),
            trace_id=trace_id,
            span_id=span_id,
            body=body,
            whole=response.whole,
            charset=self._charset,
            token=used,
        )

    async def add_credentials(self, request: FilledRequest) -> tuple[FilledRequest, str]:
        """Return the request as it may be sent, and which credentials it has, if they can be renewed."""
        return (request, "") if self._credentials is None else await self._credentials.add(request)

    def headers_of(self, request: FilledRequest, lookup: Lookup) -> CIMultiDict[str]:
        """Return the headers with which a request goes out, those of every request among them."""
        headers = CIMultiDict(self._session.headers)
        headers.update(_headers(request, ACCEPTED[lookup.reply], ""))
        return headers

    async def send(
        self,
        request: FilledRequest,
        headers: CIMultiDict[str],
        wants: Callable[[int], bool] = lambda _: True,
    ) -> Response:
        """Return the response to a request; raise NoAnswer. ``wants`` says by its status who reads a body."""
        try:
            async with self._session.request(
                request.method,
                URL(self.url + request.target, encoded=True),
                headers=headers,
                data=None if request.body is None else Body(request.body),
                allow_redirects=False,
                **self._reach.arguments,
            ) as response:
                wanted = wants(response.status)
                body = await self._read_wanted(response) if wanted else None
                unread = b"" if wanted else _peek(response)
                whole = wanted or response.content.at_eof()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, TimeoutError):  # the attempt timeout's own, not the backend's
                raise
            raise failure_of(error, proxied="proxy" in self._reach.arguments) from error
        return Response(response.status, response.headers, body, unread, whole)

    async def _read_wanted(self, response: aiohttp.ClientResponse) -> bytes | None:
        """Return the body of a response.

        A failure to read the body of an error must not hide what its status says: then it is None.
        """
        try:
            return await self._read(response)
        except (aiohttp.ClientError, BadBackendReply):
            if response.ok:
                raise
            return None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_reply:
                response.close()
                raise self._too_large()
        return self._unpack(bytes(body), response.headers)

    def _unpack(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Return a body without its Content-Encoding; raise NotJson if it is of another one, or cut short."""
        codings = _codings(headers)
        if len(codings) > MOST_CODINGS:
            msg = f"the reply has over {MOST_CODINGS} codings"
            raise BadBackendReply(msg)
        for coding in codings:
            if coding in _NOT_ASKED_FOR:
                msg = f"the reply has the Content-Encoding {coding}, which was not asked for"
                raise NotJson(msg)
            try:
                body = unpack(body, coding, self._max_reply)
            except ValueError:
                msg = "the reply is not what its Content-Encoding says, or not whole"
                raise NotJson(msg) from None
            if len(body) > self._max_reply:
                raise self._too_large()
        return body

    def _too_large(self) -> BadBackendReply:
        return BadBackendReply(f"the reply is over max_reply ({self._max_reply} bytes)")


def _own_headers(auth: Auth) -> CIMultiDict[str]:
    headers = CIMultiDict(
        {"Accept": "application/json", "Accept-Encoding": _ASKED_FOR, "User-Agent": "deskgate"}
    )
    headers.update(auth_headers(auth))  # credentials may come in any header, Accept included
    return headers


def _codings(headers: Mapping[str, str]) -> list[str]:
    """Return the codings of a body, the last one first. Some servers name others there: they pack nothing."""
    named = [coding.strip().lower() for coding in headers.get("Content-Encoding", "").split(",")]
    return [coding for coding in reversed(named) if coding in CODINGS or coding in _NOT_ASKED_FOR]


def _peek(response: aiohttp.ClientResponse) -> bytes:
    """Return what is there of a body that nobody waits for."""
    with suppress(aiohttp.ClientError, RuntimeError):  # it broke off, or somebody reads it
        body = response.content.read_nowait(_PEEKED)
        for coding in _codings(response.headers)[:MOST_CODINGS]:
            body = unpack_beginning(body, coding, _PEEKED) if coding in CODINGS else b""
        return body
    return b""


def fill(lookup: Lookup, inputs: Mapping[str, str]) -> FilledRequest:
    """Return the request of a lookup, without credentials; raise LookupFailed for an input that is absent."""
    if lookup.request is None:
        msg = f"{lookup.name} is not an HTTP lookup"
        raise LookupFailed(msg)
    try:
        return lookup.request.fill(inputs)
    except KeyError as error:
        msg = f"the job has no input {error}; gateway and worker run different configurations"
        raise LookupFailed(msg) from None


def _headers(request: FilledRequest, accepted: str, traceparent: str) -> CIMultiDict[str]:
    headers = CIMultiDict(request.headers)  # names of headers have no case (RFC 9110, 5.1)
    if accepted != ACCEPTED["json"]:  # the session asks for JSON
        headers.setdefault("Accept", accepted)
    if request.body is not None:
        headers.setdefault("Content-Type", request.content_type)
    if traceparent:
        headers.setdefault("traceparent", traceparent)
    return headers
