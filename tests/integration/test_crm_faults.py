"""The faults of the flaky CRM as a client sees them on the wire; ``hang`` is in test_crm_server."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest
import uvloop

from gateway.crm import Crm
from gateway.crm.data import order


def only(kind: str, more: str = "") -> str:
    """Return a script that gives every call the same fate."""
    return f"[[rules]]\nshares = {{ {kind} = 1 }}\n{more}"


@asynccontextmanager
async def get(path: str, script: str = "", seed: int = 7) -> AsyncIterator[aiohttp.ClientResponse]:
    """Yield what a CRM of its own answers to one GET."""
    async with (
        Crm(seed=seed, script=script) as crm,
        aiohttp.ClientSession(crm.url) as session,
        session.get(path) as got,
    ):
        yield got


async def test_an_ok_call_gets_the_customer_data() -> None:
    """The CRM is of use only when its answers can be checked."""
    async with get("/orders/17", seed=3) as got:
        assert (got.status, got.content_type) == (200, "application/json")
        assert await got.json() == msgspec.to_builtins(order(3, "17"))


async def test_a_search_is_posted_and_a_missing_customer_is_not_found() -> None:
    """Lookups with a JSON body and lookups that end in a 404 need a backend too."""
    async with Crm() as crm, aiohttp.ClientSession(crm.url) as session:
        for customer, status in (("42", 200), ("missing-42", 404)):
            async with session.post("/orders/search", json={"customer": customer}) as got:
                assert got.status == status
                assert customer in (await got.json()).values()


async def test_an_id_comes_back_as_it_was_before_percent_encoding() -> None:
    """Lookups encode what users type; what comes back shows whether they did it well."""
    async with get("/customers/Zo%C3%AB%20%2F%3F%25?verbose=1") as got:
        assert (await got.json())["id"] == "Zoë /?%"


async def test_an_error_has_the_status_of_its_rule_and_a_json_body() -> None:
    """Retries and breakers distinguish a 503 from a 429."""
    async with get("/orders/1", only("error", "status = 429")) as got:
        assert got.status == 429
        assert await got.json() == {"error": "scripted", "status": 429}


async def test_latency_passes_before_the_answer() -> None:
    """A backend that is always slow by the same amount."""
    script = only("ok", 'latency = { fixed = "80ms" }')
    async with Crm(script=script) as crm, aiohttp.ClientSession(crm.url) as session:
        began = time.monotonic()
        async with session.get("/orders/1") as got:
            assert got.status == 200
        assert time.monotonic() - began >= 0.08


@pytest.mark.parametrize("run_loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_reset_cuts_the_connection_in_the_middle_of_the_body(run_loop: Callable[..., bytes]) -> None:
    """The worst moment: the status said 200 and the rest never comes. Both loops must get that far."""

    async def provoke() -> bytes:
        async with Crm(script=only("reset")) as crm:
            return await asyncio.to_thread(_receive_until_reset, crm.url)

    received = run_loop(provoke())
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    whole = msgspec.json.encode(order(7, "1"))
    assert body == whole[: len(whole) // 2]
    assert f"Content-Length: {len(whole)}".encode() in head


def _receive_until_reset(url: str) -> bytes:
    address = urlsplit(url)
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(b"GET /orders/1 HTTP/1.1\r\nHost: crm\r\n\r\n")
        while True:
            try:
                chunk = connection.recv(65_536)
            except ConnectionResetError:
                return received
            assert chunk, "closed in an orderly way"
            received += chunk


async def test_garbage_claims_to_be_json() -> None:
    """A proxy's error page with status 200 must not become variables."""
    async with get("/orders/1", only("garbage")) as got:
        assert (got.status, got.content_type) == (200, "application/json")
        body = await got.read()
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(body)


async def test_a_drip_sends_a_byte_a_second() -> None:
    """A connection that is never idle defeats every timeout between two reads."""
    began = time.monotonic()
    async with get("/orders/1", only("drip")) as got:
        first = await got.content.readany()
        second = await got.content.readany()
    assert time.monotonic() - began >= 1
    whole = msgspec.json.encode(order(7, "1"))
    assert (first, second) == (whole[:1], whole[1:2])
    assert got.content_length == len(whole)


async def test_huge_is_fifty_megabytes_of_json() -> None:
    """A client that reads a reply without a limit has a problem now."""
    async with get("/orders/1", only("huge")) as got:
        assert got.status == 200
        body = await got.read()
    assert len(body) == 50_000_000
    assert msgspec.json.decode(body, type=dict[str, str]).keys() == {"blob"}


async def test_the_same_script_gives_the_same_faults_however_calls_interleave() -> None:
    """A run that failed under load can be repeated call by call."""
    script = "[[rules]]\nshares = { ok = 1, error = 1 }"
    paths = ["/orders/1", "/orders/2"]
    async with Crm(script=script) as one, Crm(script=script) as other, aiohttp.ClientSession() as session:

        async def status(url: str) -> int:
            async with session.get(url) as got:
                return got.status

        in_turn = {path: [await status(one.url + path) for _ in range(20)] for path in paths}
        mixed: dict[str, list[int]] = {path: [] for path in paths}
        for _ in range(20):
            both = await asyncio.gather(*(status(other.url + path) for path in reversed(paths)))
            for path, code in zip(reversed(paths), both, strict=True):
                mixed[path].append(code)
    assert mixed == in_turn
    assert set(in_turn["/orders/1"]) == {200, 503}


@pytest.mark.parametrize(
    ("script", "status", "body"),
    [
        (only("expired"), 200, b'{"errcode":42001,"errmsg":"access_token expired","data":null}'),
        (only("ingress"), 404, b"default backend - 404"),
        (only("empty"), 204, b""),
        (only("promise"), 202, b'{"status":"processing"}'),
        (only("throttled", 'headers = { Retry-After = "7" }'), 429, b'{"error": "too many requests"}'),
        (
            only("reply", 'status = 200\nbody = \'{"name": "客户"}\'\ncharset = "GBK"'),
            200,
            '{"name": "客户"}'.encode("gbk"),
        ),
        (only("reply", 'status = 503\nbody = ""\nheaders = { Retry-After = "7" }'), 503, b""),
    ],
)
async def test_a_canned_reply_is_what_real_crms_and_their_proxies_say(
    script: str, status: int, body: bytes
) -> None:
    """A client that looks at the status alone takes some of them for answers."""
    async with get("/orders/1", script) as got:
        assert (got.status, await got.read()) == (status, body)
        assert got.headers.get("Retry-After") == ("7" if "Retry-After" in script else None)


async def test_a_reply_without_a_body_of_its_own_is_the_healthy_answer() -> None:
    """With another status, other headers, or in another charset."""
    async with get("/orders/1", only("reply", "status = 500")) as got:
        assert (got.status, (await got.json())["id"]) == (500, "1")


async def heard_on(kind: str, more: str = "") -> tuple[bytes, bytes]:
    """Return what a raw client hears: the answer's body as it is long, and all that comes behind it."""
    async with Crm(script=only(kind, more)) as crm:
        address = urlsplit(crm.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(b"GET /orders/1 HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"close" not in head.lower()
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        behind = b"" if kind == "closing" else await reader.readuntil(b"}")
        if kind == "closing":
            behind = await reader.read()
        writer.close()
    return body, behind


@pytest.mark.parametrize("more", ["", 'lag = "20ms"'])
async def test_an_answer_too_many_comes_behind_the_answer(more: str) -> None:
    """It is about somebody else: whoever takes it for an answer can be told by it."""
    body, behind = await heard_on("unasked", more)
    assert b'"id":"1"' in body
    assert behind.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Somebody Else" in behind


async def test_a_connection_is_closed_behind_the_answer_without_a_word() -> None:
    """The next request on it meets a dead connection."""
    assert (await heard_on("closing"))[1] == b""


async def test_a_body_is_longer_than_it_says() -> None:
    """The rest comes on the idle connection."""
    body, behind = await heard_on("longer")
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(body)
    assert msgspec.json.decode(body + behind)["id"] == "1"
