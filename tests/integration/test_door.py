"""The callback port under hostile and sloppy clients: honest callbacks are answered all the same."""

import asyncio
import gzip
import json
import resource
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Iterator, MutableMapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.front.app import Gateway, gateway
from gateway.front.dialects.desk import sign
from tests.desk import APP, Place, when
from tests.tls import self_signed
from workers.main import workers

SIGNED_APP = 1400000003
COMMAND = {"CallbackCommand": "Chatbot.InterfaceInvocation"}
BODY = json.dumps(COMMAND | {"Body": {"SystemSessionID": "s1", "node": "nowhere"}}).encode()
ORDER = json.dumps(COMMAND | {"Body": {"SystemSessionID": "s1", "node": "order", "orderId": "7"}}).encode()


def request(
    body: bytes = BODY, *headers: str, target: str = f"/?SdkAppid={APP}", version: str = "1.1"
) -> bytes:
    """Return a callback as bytes."""
    lines = [f"POST {target} HTTP/{version}", "Host: x", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(chunks: list[bytes], *headers: str, target: str = f"/?SdkAppid={APP}") -> bytes:
    """Return a callback with its body in chunks."""
    lines = [f"POST {target} HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", *headers, "", ""]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return "\r\n".join(lines).encode() + framed + b"0\r\n\r\n"


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return status, envelope and headers of the next answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.split("\r\n")[:-2]
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    envelope = json.loads(await reader.readexactly(int(fields["content-length"])))
    return int(first.split()[1]), envelope, fields


async def talk(running: Gateway, sent: bytes, *, closes: bool = False) -> tuple[list[tuple[int, int]], bool]:
    """Send bytes; return status and code of each answer, and whether the gateway closed the connection.

    What comes behind the first answer is awaited for a moment, or for long if the gateway ``closes``.
    """
    reader, writer = await asyncio.open_connection(*running.callbacks)
    answers: list[tuple[int, int]] = []
    closed = False
    with suppress(ConnectionError):
        writer.write(sent)
        await writer.drain()
    try:
        while True:
            async with asyncio.timeout(0.2 if answers and not closes else 5):
                status, envelope, _ = await answer(reader)
            answers.append((status, envelope["ErrorCode"]))
    except (asyncio.IncompleteReadError, ConnectionError):
        closed = True
    except TimeoutError:
        pass
    writer.close()
    return answers, closed


@asynccontextmanager
async def opened(place: Place, **settings: object) -> AsyncIterator[Gateway]:
    """Run a gateway with these settings."""
    changes = {f"gateway.{name}": value for name, value in settings.items()}
    async with gateway(place.catalog(changes)) as running:
        yield running


@contextmanager
def few_files(most: int) -> Iterator[None]:
    """Let this process have few files open, as a shell with ``ulimit -n`` does."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


NO_ROUTE = (200, int(Code.NO_ROUTE))
GZIP = "Content-Encoding: gzip"
BEGUN = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("first", "drips"),
    [(b"", False), (b"P", False), (b"\r\n\r\n", False), (BEGUN, False), (BEGUN, True)],
)
async def test_unfinished_head_is_cut(place: Place, first: bytes, drips: bool) -> None:  # noqa: FBT001
    """A client that sends a byte now and then would hold its connection for as long as it likes."""
    async with opened(place, header_timeout="300ms") as running:
        reader, writer = await asyncio.open_connection(*running.callbacks)
        begun = time.monotonic()
        writer.write(first)

        async def drip() -> None:
            with suppress(ConnectionError):
                while drips:
                    await asyncio.sleep(0.05)
                    writer.write(b"a")

        task = asyncio.create_task(drip())
        with suppress(ConnectionError):
            assert await reader.read() == b""
        assert 0.25 < time.monotonic() - begun < 1.5
        task.cancel()
        writer.close()


async def test_head_that_comes_slowly_on_a_kept_connection_is_cut(place: Place) -> None:
    """The first request of a connection buys no patience for the second one."""
    async with opened(place, header_timeout="300ms", idle_timeout="1h") as running:
        reader, writer = await asyncio.open_connection(*running.callbacks)
        writer.write(request())
        assert (await answer(reader))[0] == 200
        writer.write(b"POST / HT")
        assert await reader.read() == b""
        writer.close()


async def test_idle_connection_is_closed_and_a_working_one_is_not(place: Place) -> None:
    """75 s by default: longer than Desk or a proxy keeps it."""
    async with opened(place, idle_timeout="400ms", header_timeout="300ms") as running:
        reader, writer = await asyncio.open_connection(*running.callbacks)
        for _ in range(6):
            writer.write(request())
            assert (await answer(reader))[0] == 200
            await asyncio.sleep(0.15)
        begun = time.monotonic()
        assert await reader.read() == b""
        assert time.monotonic() - begun < 1.5
        writer.close()


async def test_silent_handshake_is_cut(place: Place, tmp_path: Path) -> None:
    """A connection that never begins TLS costs a descriptor like any other."""
    cert, key = await self_signed(tmp_path)
    tls = {"cert": str(cert), "key": str(key)}
    async with opened(place, header_timeout="300ms", tls=tls) as running:
        reader, writer = await asyncio.open_connection(*running.callbacks)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
async def test_silent_connections_keep_nobody_out(
    place: Place,
    tmp_path: Path,
    encrypted: bool,  # noqa: FBT001
) -> None:
    """The longest silent ones go first. So 300 of them do no harm where 100 may be open."""
    cert, key = await self_signed(tmp_path)
    settings = {"tls": {"cert": str(cert), "key": str(key)}} if encrypted else {}
    async with opened(place, max_connections=100, **settings) as running:
        with capture_logs() as lines:
            silent = [await asyncio.open_connection(*running.callbacks) for _ in range(300)]
            context = ssl.create_default_context(cafile=str(cert)) if encrypted else None
            reader, writer = await asyncio.open_connection(*running.callbacks, ssl=context)
            writer.write(request())
            assert (await answer(reader))[1]["ErrorCode"] == Code.NO_ROUTE
        assert [line["event"] for line in lines if line["log_level"] == "warning"] == [
            "connections.full",
            "callback.refused",
        ]
        for _, one in [*silent, (reader, writer)]:
            one.close()


async def test_connection_with_a_callback_in_hand_is_never_closed_for_another(place: Place) -> None:
    """It may be the oldest of all: its lookup takes its time."""
    catalog = place.catalog({"gateway.max_connections": 4})
    async with gateway(catalog) as running:
        reader, writer = await asyncio.open_connection(*running.callbacks)
        half = request(ORDER)
        writer.write(half[:-3])  # its body is still to come, so it is in hand
        await when(lambda: any(one.in_hand for one in running.connections))
        silent = [await asyncio.open_connection(*running.callbacks) for _ in range(20)]
        writer.write(half[-3:])
        assert (await answer(reader))[0] == 200
        for _, one in [*silent, (reader, writer)]:
            one.close()


async def test_connection_of_a_stranger_goes_before_one_of_an_app(place: Place) -> None:
    """Strangers that each sent one GET must not drive out Desk's kept connections, nor a slow newcomer."""
    async with opened(place, max_connections=40) as running:
        desk_reader, desk = await asyncio.open_connection(*running.callbacks)
        desk.write(request())
        assert (await answer(desk_reader))[0] == 200
        strangers = []
        for _ in range(30):
            reader, writer = await asyncio.open_connection(*running.callbacks)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await answer(reader))[0] == 405
            strangers.append(writer)
        slow_reader, slow = await asyncio.open_connection(*running.callbacks)
        slow.write(request()[:10])
        strangers += [(await asyncio.open_connection(*running.callbacks))[1] for _ in range(25)]
        slow.write(request()[10:])
        assert (await answer(slow_reader))[0] == 200
        desk.write(request())
        assert (await answer(desk_reader))[0] == 200
        for writer in (*strangers, slow, desk):
            writer.close()


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
async def test_newcomers_that_come_together_are_heard_though_all_places_are_kept(
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    encrypted: bool,  # noqa: FBT001
) -> None:
    """Desk's kept connections are idle: some make room. Of 20 newcomers, each drove out the one before."""
    monkeypatch.setattr("gateway.edge.listener.HEARD_FIRST_TLS", 5.0)  # this machine may be busy
    cert, key = await self_signed(tmp_path)
    settings = {"tls": {"cert": str(cert), "key": str(key)}} if encrypted else {}
    context = ssl.create_default_context(cafile=str(cert)) if encrypted else None
    async with opened(place, max_connections=40, **settings) as running:

        async def call() -> asyncio.StreamWriter:
            reader, writer = await asyncio.open_connection(*running.callbacks, ssl=context)
            writer.write(request())
            assert (await answer(reader))[0] == 200
            return writer

        kept = [await call() for _ in range(40)]
        kept += await asyncio.gather(*(call() for _ in range(20)))
        await when(lambda: len(running.connections) <= 40)
        for writer in kept:
            writer.close()


async def test_limit_on_files_is_raised_and_running_out_of_them_is_survived(place: Place) -> None:
    """``ulimit -n`` of a shell is 1,024, often; the limit that a process may set is higher."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with few_files(256):
        async with opened(place, max_connections=100_000):
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard


@pytest.mark.parametrize("token", ["h2c", "websocket", "tcp", "h2c, websocket", "foo"])
async def test_offer_to_upgrade_is_ignored(place: Place, token: str) -> None:
    """Java's client offers h2c with its first request. A body stays a body, whatever it looks like."""
    offer = (
        "Connection: Upgrade, HTTP2-Settings",
        f"Upgrade: {token}",
        "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
    )
    hidden = request(b"x" * 10_000_000)[:200]
    async with opened(place) as running:
        with capture_logs() as lines:
            assert await talk(running, request(BODY, *offer), closes=True) == ([NO_ROUTE], True)
            inner = request()
            answers, closed = await talk(running, request(inner, *offer), closes=True)
            assert answers == [(400, int(Code.BAD_REQUEST))]  # the two requests in it are no JSON
            assert closed
            answers, _ = await talk(running, request(BODY, *offer) + hidden)
            assert answers[0] == NO_ROUTE
        assert "edge.failed" not in {line["event"] for line in lines}
        assert "library.logged" not in {line["event"] for line in lines}


@pytest.mark.parametrize("half", [True, False])
async def test_client_that_sends_no_more_gets_its_answer(
    place: Place,
    half: bool,  # noqa: FBT001
) -> None:
    """``nc -N`` and some old clients close their side behind the request (RFC 9112, 9.6)."""
    catalog = place.catalog()
    async with gateway(catalog) as running, workers(catalog, catalog.lanes, grace=0):
        reader, writer = await asyncio.open_connection(*running.callbacks)
        writer.write(request(ORDER) + request(ORDER))
        if half:
            writer.write_eof()
        for _ in range(2):
            assert (await answer(reader))[1]["Body"]["order_id"] == "7"
        if half:
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(BODY)),
        ("gzip", gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])),
        ("x-gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY)[2:-4]),
        ("identity", BODY),
    ],
    ids=["gzip", "two-members", "x-gzip", "upper-case", "zlib", "raw-deflate", "identity"],
)
async def test_packed_body_is_taken(place: Place, encoding: str, packed: bytes) -> None:
    """A proxy in between may pack what it passes on."""
    async with opened(place) as running:
        sent = request(packed, f"Content-Encoding: {encoding}")
        assert (await talk(running, sent))[0] == [NO_ROUTE]


@pytest.mark.parametrize(
    ("encoding", "packed", "code", "status"),
    [
        ("gzip", b"\xff" * 20, Code.BAD_REQUEST, 400),
        ("gzip", gzip.compress(BODY)[:-5], Code.BAD_REQUEST, 400),
        ("gzip", gzip.compress(BODY) + b"more", Code.BAD_REQUEST, 400),
        ("deflate", b"\xff" * 20, Code.BAD_REQUEST, 400),
        ("br", b"anything", Code.BAD_REQUEST, 400),
        ("gzip, gzip", gzip.compress(gzip.compress(BODY)), Code.BAD_REQUEST, 400),
        ("gzip", gzip.compress(bytes(60_000_000)), Code.TOO_LARGE, 413),
        ("deflate", zlib.compress(bytes(1_000_000)), Code.TOO_LARGE, 413),
    ],
    ids=["junk", "cut", "more", "no-deflate", "br", "twice", "bomb", "deflate-bomb"],
)
async def test_body_that_cannot_be_unpacked_is_one_warning(
    place: Place, encoding: str, packed: bytes, code: Code, status: int
) -> None:
    """Junk that says gzip is a client's fault, and told in one line."""
    async with opened(place) as running:
        with capture_logs() as lines:
            sent = request(packed, f"Content-Encoding: {encoding}")
            assert (await talk(running, sent))[0] == [(status, int(code))]
        (line,) = [line for line in lines if line["log_level"] != "info"]
        assert (line["event"], line["log_level"]) == ("callback.refused", "warning")


async def test_body_behind_a_wrong_signature_is_neither_unpacked_nor_awaited(place: Place) -> None:
    """20 a second of these took seconds from the honest callbacks."""
    bomb = gzip.compress(bytes(60_000_000))
    now = int(time.time())
    target = f"/?SdkAppid={SIGNED_APP}&RequestTime={now}&Sign={sign('wrong', str(now))}"
    endless = request(b"", GZIP, target=target).replace(b"Content-Length: 0", b"Content-Length: 99999999")
    async with opened(place) as running:
        begun = time.process_time()
        for _ in range(20):
            reader, writer = await asyncio.open_connection(*running.callbacks)
            writer.write(request(bomb, GZIP, target=target))
            assert (await answer(reader))[0] == 401
            writer.close()
        assert (time.process_time() - begun) / 20 < 0.02  # unpacking one of them takes 75 ms
        answers, closed = await talk(running, endless + bomb, closes=True)
        assert (answers, closed) == ([(401, 120101)], True)


async def test_framing_of_a_body_counts_as_body(place: Place) -> None:
    """400,000 chunks of a byte, or a chunk extension without an end, are as large as they are."""
    async with opened(place, max_body="64KiB") as running:
        many = chunked([b" "] * 400_000)
        begun = time.monotonic()
        assert (await talk(running, many))[0] == [(413, int(Code.TOO_LARGE))]
        extended = chunked([]).replace(b"0\r\n\r\n", b"1;" + b"x" * 2_000_000)
        answers, _ = await talk(running, extended)
        assert answers[0][0] in {400, 413}
        assert time.monotonic() - begun < 3
        assert (await talk(running, chunked([BODY[:10], BODY[10:]])))[0] == [NO_ROUTE]


@pytest.mark.parametrize("version", ["2.0", "3.0", "1.2", "0.9"])
async def test_other_version_of_http_is_answered_in_1_1_or_refused(place: Place, version: str) -> None:
    """``HTTP/2.0 200 OK`` is no status line of any protocol."""
    async with opened(place) as running:
        reader, writer = await asyncio.open_connection(*running.callbacks)
        writer.write(request(version=version))
        head = await reader.readuntil(b"\r\n")
        assert head.startswith(b"HTTP/1.1 ")
        assert b"Connection: close" in await reader.read()
        writer.close()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_look_at_the_callback_port_is_a_quiet_405(place: Place, method: str) -> None:
    """Browsers and balancers look at it. They need an answer, and no operator needs a line for each."""
    async with opened(place) as running:
        with capture_logs() as lines:
            reader, writer = await asyncio.open_connection(*running.callbacks)
            writer.write(f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            writer.close()
        assert head.startswith(b"HTTP/1.1 405 ")
        assert b"\r\nAllow: POST\r\n" in head
        assert lines == []


def answered(lines: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    """Return the lines of callbacks."""
    return [line for line in lines if line["event"] == "callback.answered"]


async def test_line_says_when_the_connection_was_new(place: Place) -> None:
    """From far away, a new TLS connection takes three more round trips than a kept one."""
    catalog = place.catalog()
    async with gateway(catalog) as running:
        reader, writer = await asyncio.open_connection(*running.callbacks)
        with capture_logs() as lines:
            for _ in range(2):
                writer.write(request(ORDER))
                await answer(reader)
            await when(lambda: len(answered(lines)) == 2)
        assert [line.get("connection") for line in answered(lines)] == ["new", None]
        writer.close()


async def test_client_that_reads_no_answers_is_cut(place: Place) -> None:
    """Its answers would take memory for ever."""
    async with opened(place, idle_timeout="500ms", header_timeout="300ms") as running:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)  # noqa: FBT003
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, running.callbacks)
        with capture_logs(), suppress(ConnectionError, TimeoutError):
            while True:
                async with asyncio.timeout(1):
                    await loop.sock_sendall(client, request() * 100)
        await when(lambda: not running.connections)
        client.close()
