"""Bad input gets the envelope with its code, and one log line. Nothing is enqueued. The connection stays."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from traceback import extract_tb

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.front.app import Gateway, gateway
from gateway.front.dialects.desk import sign
from gateway.front.flow import Flow
from gateway.process.release import RELEASE
from tests.desk import APP, Desk, Place, when
from tests.tls import self_signed

BODY = json.dumps(
    {"CallbackCommand": "Chatbot.InterfaceInvocation", "Body": {"SystemSessionID": "s1"}, "EventTime": 1}
).encode()


@pytest_asyncio.fixture
async def running(place: Place) -> AsyncIterator[Gateway]:
    """A gateway without a worker: what it refuses needs none."""
    async with gateway(place.catalog()) as running:
        yield running


def body(**fields: object) -> bytes:
    """Return a callback's JSON with some of its fields replaced."""
    whole = {"CallbackCommand": "Chatbot.InterfaceInvocation", "Body": {"SystemSessionID": "s1"}} | fields
    return json.dumps(whole).encode()


MALFORMED = {
    "empty": (b"", Code.BAD_REQUEST, 400),
    "not JSON": (b"{", Code.BAD_REQUEST, 400),
    "not an object": (b"[]", Code.BAD_REQUEST, 400),
    "wrong types": (body(CallbackCommand=7), Code.BAD_REQUEST, 400),
    "Body is text": (body(Body="x"), Code.BAD_REQUEST, 400),
    "no Body": (b'{"CallbackCommand": "Chatbot.InterfaceInvocation"}', Code.BAD_REQUEST, 400),
    "no session": (body(Body={"staticKey": "x"}), Code.BAD_REQUEST, 400),
    "empty session": (body(Body={"SystemSessionID": ""}), Code.BAD_REQUEST, 400),
    "10 MB": (b" " * 10_000_000, Code.TOO_LARGE, 413),
    "deep nesting": (b'{"Body":' + b"[" * 30_000 + b"]" * 30_000 + b"}", Code.BAD_REQUEST, 400),
    "invalid UTF-8": (b'{"CallbackCommand": "\xff"}', Code.BAD_REQUEST, 400),
    "lone surrogate": (b'{"CallbackCommand": "\\ud800", "Body": {}}', Code.BAD_REQUEST, 400),
    "other command": (body(CallbackCommand="Bot.Unheard"), Code.BAD_REQUEST, 400),
    "no route": (BODY, Code.NO_ROUTE, 200),
}


@pytest.mark.parametrize("kind", MALFORMED)
async def test_malformed_callback_gets_its_code_and_leaves_the_connection_usable(
    kind: str, running: Gateway, place: Place, desk: Desk
) -> None:
    """Desk always gets JSON it can read, and the same connection serves the next callback."""
    data, code, status = MALFORMED[kind]
    here = desk.at(running.callbacks)
    with capture_logs() as lines:
        heard = await here.send(data)
    refused = [line for line in lines if line["event"] == "callback.refused"]
    assert (heard.code, heard.status) == (code, status)
    assert [line["code"] for line in refused] == [code]
    assert "Body" not in heard.envelope
    again = await here.send(BODY)
    assert again.code == Code.NO_ROUTE
    async with Redis.from_url(place.redis_url) as redis:
        kinds = {key.split(b":")[1] async for key in redis.scan_iter(f"{place.prefix}:*")}
    assert kinds <= {b"history", b"histories", b"series"}  # of the callback that could be read


QUERIES = {
    "no SdkAppid": ("CallbackCommand=Chatbot.InterfaceInvocation", Code.UNKNOWN_APP, 403),
    "empty query": ("", Code.UNKNOWN_APP, 403),
    "another app": ("SdkAppid=1", Code.UNKNOWN_APP, 403),
    "not a number": ("SdkAppid=1400000001x", Code.UNKNOWN_APP, 403),
    "other digits": ("SdkAppid=%D9%A1", Code.UNKNOWN_APP, 403),
    "one name, two values": (f"SdkAppid={APP}&SdkAppid=1400000002", Code.BAD_REQUEST, 400),
    "two values in another case": (f"SdkAppid={APP}&sdkappid=1400000002", Code.BAD_REQUEST, 400),
    "the same twice": (f"SdkAppid={APP}&sdkappid={APP}", Code.NO_ROUTE, 200),
    "a second question mark": (f"env=prod?SdkAppid={APP}", Code.UNKNOWN_APP, 403),
    "invalid UTF-8": (f"SdkAppid={APP}&x=%FF", Code.BAD_REQUEST, 400),
    "other command": (f"SdkAppid={APP}&CallbackCommand=Desk.SessionEventNotify", Code.BAD_REQUEST, 400),
    "LiveKit's spelling": (f"SdkAppId={APP}", Code.NO_ROUTE, 200),
    "unknown names": (f"SdkAppid={APP}&new=1&", Code.NO_ROUTE, 200),
    "unsigned": ("SdkAppid=1400000003", Code.UNAUTHENTICATED, 401),
}


@pytest.mark.parametrize("kind", QUERIES)
async def test_query_decides_who_calls(kind: str, running: Gateway, desk: Desk) -> None:
    """The SdkAppid must be one of ours. Its name may be spelled in any case."""
    query, code, status = QUERIES[kind]
    heard = await desk.at(running.callbacks).send(BODY, query)
    assert (heard.code, heard.status) == (code, status)


async def test_command_that_is_not_handled_says_so(running: Gateway, desk: Desk) -> None:
    """An unknown command gets a well-formed reply with a non-zero code, never an HTML page."""
    heard = await desk.at(running.callbacks).send(body(CallbackCommand="Bot.Unheard"), f"SdkAppid={APP}")
    assert (heard.code, heard.status) == (Code.UNKNOWN_COMMAND, 200)


@pytest.mark.parametrize(
    ("token", "age", "code"),
    [
        ("xxxxyyyy", 0, Code.NO_ROUTE),
        ("newer", 0, Code.NO_ROUTE),
        ("other", 0, Code.UNAUTHENTICATED),
        ("xxxxyyyy", 75, Code.UNAUTHENTICATED),
        ("xxxxyyyy", -75, Code.UNAUTHENTICATED),
    ],
)
async def test_signature_opens_the_door_for_a_minute(
    token: str, age: int, code: Code, running: Gateway, desk: Desk
) -> None:
    """Any of the app's tokens signs; an old pair of Sign and RequestTime does not."""
    request_time = str(int(time.time()) - age)
    query = {"SdkAppid": "1400000003", "RequestTime": request_time, "Sign": sign(token, request_time)}
    heard = await desk.at(running.callbacks).send(BODY, query)
    assert heard.code == code


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods_are_refused(method: str, running: Gateway, desk: Desk) -> None:
    """Callbacks are POSTed; the rest gets 405 in the same envelope."""
    heard = await desk.at(running.callbacks).send(BODY, method=method)
    assert (heard.code, heard.status) == (Code.WRONG_METHOD, 405)


@pytest.mark.parametrize("path", ["/", "/order", "/a/b/c", "/%00", "/..%2f"])
async def test_any_path_takes_callbacks(path: str, running: Gateway, desk: Desk) -> None:
    """The flow's author chooses the path."""
    assert (await desk.at(running.callbacks).send(BODY, path=path)).code == Code.NO_ROUTE


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        max_leaves=9,
    ).map(lambda value: json.dumps(value).encode())
)
async def test_never_anything_but_an_envelope_comes_out(data: bytes, running: Gateway, desk: Desk) -> None:
    """Random bytes and random JSON alike."""
    heard = await desk.at(running.callbacks).send(data)
    assert heard.code != 0


async def raw(address: tuple[str, int], data: bytes) -> bytes:
    """Send bytes over a connection of their own and return all that comes back until it closes."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(data)
    await writer.drain()
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("data", [b"\x16\x03\x01 TLS?\r\n\r\n", b"POST\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
async def test_what_is_not_http_gets_the_envelope_too(data: bytes, running: Gateway) -> None:
    """Even the error pages of the HTTP layer are ours."""
    with capture_logs() as lines:
        head, _, envelope = (await raw(running.callbacks, data)).partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert json.loads(envelope)["ErrorCode"] == Code.BAD_REQUEST
    assert [line["event"] for line in lines] == ["callback.refused"]


async def test_one_connection_serves_callback_after_callback(running: Gateway) -> None:
    """Desk keeps its connections; a refusal does not end them, unless a body is still to come."""
    good = f"POST /?SdkAppid={APP} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    huge = (
        f"POST /?SdkAppid={APP} HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n".encode()
        + b" " * 900_000
    )
    wrong = good.replace(b"POST", b"PUT", 1)
    reader, writer = await asyncio.open_connection(*running.callbacks)
    statuses, head = [], b""
    for request in (good, wrong, good.replace(str(APP).encode(), b"7", 1), good, huge):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert json.loads(await reader.readexactly(length))["ActionStatus"] == "FAIL"
        statuses.append(int(head.split()[1]))
    assert b"Connection: close" in head
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert statuses == [200, 405, 403, 200, 413]


@pytest.mark.parametrize(
    ("version", "header", "closes"),
    [
        ("1.1", "", False),
        ("1.1", "Connection: close\r\n", True),
        ("1.0", "", True),
        ("1.0", "Connection: keep-alive\r\n", False),
    ],
)
async def test_response_keeps_to_http(version: str, header: str, closes: bool, running: Gateway) -> None:  # noqa: FBT001
    """Our own head says as much as aiohttp's: length, date (RFC 9110, 6.6.1), whether to go on."""
    reader, writer = await asyncio.open_connection(*running.callbacks)
    request = (
        f"POST /?SdkAppid={APP} HTTP/{version}\r\nHost: x\r\n{header}Content-Length: {len(BODY)}\r\n\r\n"
    )
    writer.write(request.encode() + BODY)
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
    assert head.startswith("HTTP/1.1 200 OK\r\n")  # a server says what it speaks (RFC 9110, 6.2)
    assert fields["Content-Type"] == "application/json"
    assert abs(parsedate_to_datetime(fields["Date"]).timestamp() - time.time()) < 60
    envelope = json.loads(await reader.readexactly(int(fields["Content-Length"])))
    assert envelope["ErrorCode"] == Code.NO_ROUTE
    if closes:
        assert await reader.read() == b""
    else:
        writer.write(request.encode() + BODY)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()


async def test_head_gets_a_head_alone(running: Gateway) -> None:
    """A body behind it would be taken for the next answer on the connection."""
    reader, writer = await asyncio.open_connection(*running.callbacks)
    for _ in range(2):
        writer.write(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 405")
    writer.close()
    await writer.wait_closed()


def broken_at_once(*_: object) -> None:
    """Fail before anything is awaited."""
    msg = "secret detail"
    raise RuntimeError(msg)


async def broken_later(*_: object) -> None:
    """Fail where a callback has been awaited."""
    await asyncio.sleep(0)
    broken_at_once()


@pytest.mark.parametrize("broken", [broken_at_once, broken_later], ids=["at once", "later"])
async def test_bug_is_answered_with_the_envelope_and_logged_with_its_trace(
    broken: Callable[..., object], running: Gateway, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Desk must be able to read even our bugs. One is put in by hand, since none is known."""
    monkeypatch.setattr(Flow, "answer", broken)
    with capture_logs() as lines:
        heard = await desk.at(running.callbacks).send(BODY)
    assert (heard.status, heard.code) == (500, Code.INTERNAL)
    assert "secret" not in repr(heard.envelope)
    (failed,) = lines
    assert (failed["event"], repr(failed["exc_info"])) == ("callback.failed", "RuntimeError('secret detail')")
    assert extract_tb(failed["exc_info"].__traceback__)[-1].name == "broken_at_once"
    assert failed["trace_id"]


async def test_client_that_asks_first_is_told_to_continue(running: Gateway) -> None:
    """Curl sends ``Expect: 100-continue`` before a large body and would wait a second for its answer."""
    head = (
        f"POST /?SdkAppid={APP} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Expect: 100-continue\r\nContent-Length: {len(BODY)}\r\n\r\n"
    ).encode()
    reader, writer = await asyncio.open_connection(*running.callbacks)
    writer.write(head)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(BODY)
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()


async def test_client_of_http_1_0_is_not_told_to_continue(running: Gateway) -> None:
    """It knows one response to a request: the first one."""
    head = f"POST /?SdkAppid={APP} HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: {len(BODY)}\r\n\r\n"
    reader, writer = await asyncio.open_connection(*running.callbacks)
    writer.write(head.encode())
    await when(lambda: any(one.in_hand for one in running.connections))
    writer.write(BODY)
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()


async def test_body_that_does_not_arrive_is_answered_within_the_budget(place: Place) -> None:
    """A slow sender must not hold a callback open."""
    async with gateway(place.catalog(budget="200ms")) as running:
        head = f"POST /?SdkAppid={APP} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n".encode()
        reader, writer = await asyncio.open_connection(*running.callbacks)
        writer.write(head + b"{")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400")
        writer.close()
        await writer.wait_closed()


async def test_admin_port_tells_live_and_ready_and_answers_json_everywhere(
    running: Gateway, desk: Desk
) -> None:
    """Supervisors ask there, and never on the callback port."""
    base = f"http://127.0.0.1:{running.admin[1]}"
    seen = {}
    for path in ("/live", "/ready", "/nothing"):
        async with desk.http.get(base + path) as response:
            seen[path] = (response.status, await response.json())
    assert seen["/live"] == (200, {"status": "live"})
    status, ready = seen["/ready"]
    assert (status, ready["status"], ready["degraded"]) == (200, "degraded", ["lane:crm"])
    assert (ready["version"], ready["config"]) == (RELEASE, running.service.catalog.digest)
    assert seen["/nothing"][0] == 404


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_port_without_a_host_is_on_every_interface(place: Place, host: str) -> None:
    """By IPv6 and IPv4, and a client of IPv4 is logged as one."""
    async with gateway(place.catalog({"gateway.listen": ":0"})) as running:
        with capture_logs() as lines:
            reader, writer = await asyncio.open_connection(host, running.callbacks[1])
            writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 405")
            writer.close()
        assert [line["remote"] for line in lines if line["event"] == "callback.refused"] == [host]


async def test_callbacks_over_tls(place: Place, desk: Desk, tmp_path: Path) -> None:
    """Desk calls HTTPS where no proxy ends it."""
    cert, key = await self_signed(tmp_path)
    async with gateway(place.catalog({"gateway.tls": {"cert": str(cert), "key": str(key)}})) as running:
        context = ssl.create_default_context(cafile=str(cert))
        url = f"https://127.0.0.1:{running.callbacks[1]}/?SdkAppid={APP}"
        async with desk.http.post(url, data=BODY, ssl=context) as response:
            assert (await response.json())["ErrorCode"] == Code.NO_ROUTE
