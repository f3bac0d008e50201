"""Every reply of a backend has its meaning: from the flaky CRM, and from servers that are worse."""

import asyncio
import gzip
import itertools
import json
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Mapping

import pytest
from aiohttp import web

from gateway.core.errors import BackendRejected, BackendUnavailable, BadBackendReply, Code, TimedOut
from gateway.crm.server import Crm
from gateway.declared.lookup import Lookup
from gateway.lookups.answers import Response, interpret
from gateway.lookups.http import LARGE_REPLY, MOST_CODINGS
from gateway.lookups.reply import Finding
from gateway.resilience.policy import Call
from gateway.resilience.stack import stack
from tests.asking import ANY, ORDER, answering, backend, failure, only, sending, serving
from tests.desk import when
from tests.limits import limits


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599, 408, 425])
async def test_a_backend_in_trouble_is_unavailable_and_worth_another_attempt(status: int, crm: Crm) -> None:
    """It may be well again in a moment."""
    crm.put(only("error", f"status = {status}"))
    async with backend(crm.url, ORDER + 'not_found = { status = "none" }') as ask:
        error = await failure(ask(id="1"))
    assert (type(error), error.code, error.transient) == (BackendUnavailable, Code.BACKEND_UNAVAILABLE, True)
    assert str(status) in str(error)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 410, 418, 422, 451, 499])
async def test_a_backend_that_refuses_is_not_asked_again(status: int, crm: Crm) -> None:
    """The same question would be refused again; without ``not_found`` a 404 is a refusal too."""
    crm.put(only("error", f"status = {status}"))
    async with backend(crm.url, ORDER) as ask:
        error = await failure(ask(id="1"))
    assert (type(error), error.code, error.transient) == (BackendRejected, Code.BACKEND_REJECTED, False)
    assert str(status) in str(error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """It could lead to any host, with the credentials in hand."""
    paths: list[str] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        paths.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with serving(handle) as url, backend(url) as ask:
        error = await failure(ask())
    assert (error.code, paths) == (Code.BACKEND_REJECTED, ["/"])


async def test_a_404_is_the_answer_that_the_lookup_declares(crm: Crm) -> None:
    """Its words do not matter, only that they are the backend's own. Every variable is set."""
    async with backend(crm.url, ORDER + 'not_found = { status = "none" }') as ask:
        assert await ask(id="missing-1") == {"id": "", "status": "none", "total": ""}
        assert (await ask(id="1"))["id"] == "1"


async def test_a_backend_that_is_not_there_is_unavailable() -> None:
    """Nobody listens on the port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with backend(f"http://127.0.0.1:{taken.getsockname()[1]}") as ask:
            error = await failure(ask())
    assert (error.code, error.transient) == (Code.BACKEND_UNAVAILABLE, True)


async def test_a_backend_without_an_address_is_unavailable() -> None:
    """Its name cannot be resolved (RFC 6761, 6.4: ``invalid`` never is); the next attempt may find it."""
    async with backend("http://crm.invalid") as ask:
        error = await failure(ask())
    assert (error.code, error.transient) == (Code.BACKEND_UNAVAILABLE, True)


async def test_a_reply_that_breaks_off_is_unavailable(crm: Crm) -> None:
    """The status said 200, and half of the body came."""
    crm.put(only("reset"))
    async with backend(crm.url, ORDER) as ask:
        error = await failure(ask(id="1"))
    assert (error.code, error.transient) == (Code.BACKEND_UNAVAILABLE, True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"v": 1}',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"v": 1}\r\n',
    ],
    ids=["at once", "in the headers", "in the body", "between chunks"],
)
async def test_a_backend_that_hangs_up_is_unavailable(data: bytes) -> None:
    """Half of a JSON object can be JSON; the length says that it was half."""
    async with sending(data) as url, backend(url) as ask:
        error = await failure(ask())
    assert (error.code, error.transient) == (Code.BACKEND_UNAVAILABLE, True)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    ],
    ids=["another protocol", "no status", "a huge header"],
)
async def test_a_backend_that_does_not_speak_http_sent_a_bad_reply(data: bytes) -> None:
    """The wrong port: asking again does not help."""
    async with sending(data) as url, backend(url) as ask:
        error = await failure(ask())
    assert (type(error), error.code, error.transient) == (BadBackendReply, Code.BAD_BACKEND_REPLY, False)


async def test_garbage_is_a_bad_reply(crm: Crm) -> None:
    """A proxy's page with status 200."""
    crm.put(only("garbage"))
    async with backend(crm.url, ORDER) as ask:
        assert (await failure(ask(id="1"))).code == Code.BAD_BACKEND_REPLY


NOT_JSON = {
    "cut off": b'{"v": ',
    "two values": b"{} {}",
    "NaN": b'{"v": NaN}',
    "a lone surrogate": b'{"v": "\\ud800"}',
    "nested too deeply": b"[" * 100_000,
}
NO_ANSWER = {
    "empty": b"",
    "without the required": b'{"w": 1}',
    "null for the required": b'{"v": null}',
    "not an object": b'["v"]',
    "in another charset": b'{"v": "\xff"}',
    "with ten thousand digits": b'{"v": ' + b"1" * 10_000 + b"}",
}


@pytest.mark.parametrize(
    ("body", "transient"),
    [*((body, True) for body in NOT_JSON.values()), *((body, False) for body in NO_ANSWER.values())],
    ids=[*NOT_JSON, *NO_ANSWER],
)
async def test_a_reply_that_is_no_answer_is_bad(body: bytes, transient: bool) -> None:  # noqa: FBT001
    """With status 200 and the right content type only the body shows it."""
    handler = answering(body, headers={"Content-Type": "application/json"})
    async with serving(handler) as url, backend(url, ANY + 'required = ["v"]') as ask:
        error = await failure(ask())
    assert (error.code, error.transient) == (Code.BAD_BACKEND_REPLY, transient)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/vnd.api+json; charset=latin-1", "nonsense"]
)
async def test_json_is_json_whatever_its_content_type(content_type: str) -> None:
    """Half of the CRMs in the world get it wrong."""
    async with (
        serving(answering('{"v": "é"}'.encode(), headers={"Content-Type": content_type})) as url,
        backend(url) as ask,
    ):
        assert await ask() == {"v": "é"}


@pytest.mark.parametrize(
    ("declared", "more", "content_type", "body", "value"),
    [
        ("", "", "text/html;charset=GBK", '{"v":"客户"}'.encode("gbk"), "客户"),
        ("", "", "application/json;charset=GBK", bytes.fromhex("7b2276223a22caafd2bb227d"), "石一"),
        ("charset = 'GBK'", "", "application/json", bytes.fromhex("7b2276223a22caafd2bb227d"), "石一"),
        ("", "", "application/json", '{"v":"客户"}'.encode("utf-8-sig"), "客户"),
        ("", "", "application/json", '{"v":29.90}'.encode("utf-16"), "29.90"),
        ("", "reply = 'xml'", "text/xml", b"<?xml version='1.0' encoding='GBK'?><v>\xbf\xcd</v>", "客"),
        ("", "reply = 'xml'\nforce_list = ['v']", "text/xml", b"<v>7</v>", '["7"]'),
        ("", "reply = 'form'", "text/plain", b"v=29.90&w=2", "29.90"),
    ],
)
async def test_a_reply_is_read_in_its_charset_and_format(
    declared: str, more: str, content_type: str, body: bytes, value: str
) -> None:
    """From the bytes on the wire to the variable."""
    accepted = []

    async def handle(request: web.BaseRequest) -> web.Response:
        accepted.append(request.headers["Accept"])
        return web.Response(body=body, headers={"Content-Type": content_type})

    async with serving(handle) as url, backend(url, ANY + more, declared) as ask:
        assert await ask() == {"v": value}
    (accept,) = accepted
    assert ("xml" if "xml" in more else "form" if "form" in more else "json") in accept


@pytest.mark.parametrize(
    ("body", "requests"),
    [('{"v":"客户"}'.encode("gbk"), 1), (b'{"v":', 2), ("<html>Wartung für Sie".encode("latin-1"), 2)],
    ids=["in another charset", "cut short", "a page"],
)
async def test_a_reply_is_asked_for_again_only_if_the_next_may_be_better(body: bytes, requests: int) -> None:
    """Two more requests for the same letters help nobody."""
    seen = itertools.count()

    async def handle(_: web.BaseRequest) -> web.Response:
        next(seen)
        return web.Response(body=body, headers={"Content-Type": "application/json"})

    async with serving(handle) as url, backend(url) as ask:
        with pytest.raises(BadBackendReply):
            await stack(limits(3, 5.0))(Call(ask, time.monotonic() + 60.0))
    assert next(seen) == requests


async def test_plain_text_is_a_variable() -> None:
    """``@`` reads it."""
    lookup = (
        'request = { path = "/", headers = { Accept = "text/csv" } }\nvariables = { v = "@" }\nreply = "text"'
    )
    accepted = []

    async def handle(request: web.BaseRequest) -> web.Response:
        accepted.append(request.headers["Accept"])
        return web.Response(body=b"shipped\r\n")

    async with serving(handle) as url, backend(url, lookup) as ask:
        assert await ask() == {"v": "shipped"}
    assert accepted == ["text/csv"]


async def test_a_reply_may_be_as_large_as_max_reply_and_no_larger(crm: Crm) -> None:
    """A reply of 50 MB would be the end of a worker's memory."""
    whole = b'{"v":"' + b"x" * 1016 + b'"}'
    assert len(whole) == 1024
    for body, fits in ((whole, True), (whole + b" ", False)):
        async with serving(answering(body)) as url, backend(url, ANY, 'max_reply = "1KiB"') as ask:
            if fits:
                assert await ask() == {"v": "x" * 1016}
            else:
                assert (await failure(ask())).code == Code.BAD_BACKEND_REPLY
    crm.put(only("huge"))
    async with backend(crm.url, ORDER) as ask:
        assert (await failure(ask(id="1"))).code == Code.BAD_BACKEND_REPLY


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_reply_is_read(encoding: str) -> None:
    """Most servers compress when they are allowed to."""
    body = gzip.compress(b'{"v": 1}') if encoding == "gzip" else zlib.compress(b'{"v": 1}')
    async with serving(answering(body, headers={"Content-Encoding": encoding})) as url, backend(url) as ask:
        assert await ask() == {"v": "1"}


async def test_a_reply_that_cannot_be_unpacked_is_a_bad_reply() -> None:
    """The backend is there and answers; that the answer is garbled is another thing than that it is away."""
    headers = {"Content-Encoding": "gzip"}
    async with serving(answering(b"no gzip at all", headers=headers)) as url, backend(url) as ask:
        error = await failure(ask())
        assert error.code == Code.BAD_BACKEND_REPLY
        assert error.transient


@pytest.mark.parametrize(
    "lookup",
    [
        'request = { path = "/" }\nreply = "text"\nvariables = { v = "@" }',
        'request = { path = "/" }\nreply = "form"\nvariables = { v = "v" }',
        'request = { path = "/" }\nvariables = { v = "@" }',
    ],
    ids=["text", "form", "a number"],
)
@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "br", "gzip, br"])
async def test_a_compressed_reply_that_is_cut_short_is_no_answer(encoding: str, lookup: str) -> None:
    """Its framing says that it is whole, and what can be unpacked reads like one: a balance of 1234."""
    whole = b"v=12345678901234567890" if "form" in lookup else b"12345678901234567890"
    packed = zlib.compress(whole) if encoding == "deflate" else gzip.compress(whole)
    for cut in (1, 8, 12, 14) if encoding == "gzip" else (8,):
        headers = {"Content-Encoding": encoding}
        async with serving(answering(packed[:-cut], headers=headers)) as url, backend(url, lookup) as ask:
            error = await failure(ask())
            assert (error.code, error.transient) == (Code.BAD_BACKEND_REPLY, True)


async def test_a_reply_of_several_members_is_read_whole() -> None:
    """As servers send it that compress each piece by itself; and some name codings that are none."""
    body = gzip.compress(b'{"v": "Lin ') + gzip.compress(b'Xia"}')
    headers = {"Content-Encoding": "utf-8, gzip"}
    async with serving(answering(body, headers=headers)) as url, backend(url) as ask:
        assert await ask() == {"v": "Lin Xia"}


async def test_a_reply_of_a_thousand_layers_is_a_bad_reply() -> None:
    """A header holds ten thousand codings, and each layer costs a copy: ten seconds for one reply."""
    body = b'{"v": 1}'
    for _ in range(MOST_CODINGS):
        body = gzip.compress(body)
    headers = {"Content-Encoding": ", ".join(["gzip"] * MOST_CODINGS)}
    async with serving(answering(body, headers=headers)) as url, backend(url) as ask:
        assert await ask() == {"v": "1"}
    headers["Content-Encoding"] += ", gzip"
    async with serving(answering(gzip.compress(body), headers=headers)) as url, backend(url) as ask:
        error = await failure(ask())
    assert (error.code, error.transient) == (Code.BAD_BACKEND_REPLY, False)


async def test_a_compressed_bomb_is_a_bad_reply_before_it_fills_the_memory() -> None:
    """100 MB fit into 100 KB; the limit counts what comes out."""
    bomb = gzip.compress(b'{"v":"' + bytes(100_000_000) + b'"}', compresslevel=9)
    assert len(bomb) < 200_000
    async with serving(answering(bomb, headers={"Content-Encoding": "gzip"})) as url, backend(url) as ask:
        tracemalloc.start()
        try:
            assert (await failure(ask())).code == Code.BAD_BACKEND_REPLY
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 16_000_000


async def test_a_large_reply_is_read_while_others_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of ``<b/>`` takes a second, and as long would every other lookup of the process wait."""
    began, went_on = threading.Event(), threading.Event()

    def read(lookup: Lookup, response: Response, now: float) -> Finding:
        began.set()
        assert went_on.wait(5.0), "the loop stands still"
        return interpret(lookup, response, now)

    monkeypatch.setattr("gateway.lookups.http.interpret", read)
    body = json.dumps({"v": "1", "more": "x" * LARGE_REPLY}).encode()
    async with serving(answering(body)) as url, backend(url) as ask:
        asked = asyncio.ensure_future(ask())
        await when(lambda: began.is_set() or asked.done())
        went_on.set()
        assert await asked == {"v": "1"}


@pytest.mark.parametrize("kind", ["hang", "drip"])
async def test_a_backend_that_takes_too_long_is_a_timeout(kind: str, crm: Crm) -> None:
    """Whether nothing comes or a byte a second: the attempt timeout is the limit of it all."""
    crm.put(only(kind))
    attempts = itertools.count()
    began = time.monotonic()
    async with backend(crm.url, ORDER) as ask:

        async def attempt() -> Mapping[str, str]:
            next(attempts)
            return await ask(id="1")

        with pytest.raises(TimedOut) as caught:
            await stack(limits(2, 0.05))(Call(attempt, began + 60.0))
    assert caught.value.code == Code.TIMEOUT
    assert time.monotonic() - began < 10.0
    assert next(attempts) == 2


async def test_no_failure_shows_a_credential_or_the_reply() -> None:
    """It is logged by the worker and travels in the answer."""
    page = json.dumps({"error": "secret page"}).encode()
    for status in (200, 302, 403, 404, 500):
        handler = answering(page, status)
        declared = 'auth = { type = "bearer", token = "t0k" }'
        async with serving(handler) as url, backend(url, ANY + 'required = ["v"]', declared) as ask:
            error = await failure(ask())
        assert "t0k" not in f"{error} {error!r}"
        assert "secret" not in f"{error} {error!r}"
