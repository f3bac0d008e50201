"""Certificates that are not trusted, and names that do not resolve: each failure is told for what it is."""

import asyncio
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.core.errors import BackendUnavailable, BackendUntrusted
from gateway.lookups.connector import SilentConnector
from gateway.lookups.failures import failure_of
from gateway.lookups.resolver import FRESH, Names, Resolver
from tests.asking import backend, failure, serving
from tests.clock import ManualClock
from tests.desk import when
from tests.tls import self_signed


def openssl(*words: str) -> None:
    """Run openssl."""
    subprocess.run(["openssl", *words], check=True, capture_output=True)  # noqa: S607 - the system's own


def signed(directory: Path, name: str, days: str) -> Path:
    """Return a certificate and key in one file, signed by the authority ``ca.pem`` of the directory."""
    ca, request, cert, extension = (directory / file for file in ("ca.pem", "r.pem", f"{name}.pem", "e"))
    key = directory / "k.pem"
    if not ca.exists():
        subject = ("-subj", "/CN=authority", "-days", "9", "-keyout", str(directory / "ca.key"))
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, "-out", str(ca))
    openssl(
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=x",
        *("-keyout", str(key), "-out", str(request)),
    )
    extension.write_text(f"subjectAltName={name}")
    by = ("-CA", str(ca), "-CAkey", str(directory / "ca.key"), "-CAcreateserial", "-extfile", str(extension))
    openssl("x509", "-req", "-in", str(request), *by, "-days", days, "-out", str(cert))
    cert.write_bytes(cert.read_bytes() + key.read_bytes())
    return cert


@asynccontextmanager
async def tls_server(cert: Path) -> AsyncIterator[tuple[str, list[int]]]:
    """Yield the address of a server with this certificate, and a list of its handshakes."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert)
    hellos: list[int] = []
    context.sni_callback = lambda *_: hellos.append(1)

    async def handle(_: web.BaseRequest) -> web.Response:
        return web.json_response({"v": 1})

    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}", hellos
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("name", "days", "reason"),
    [
        ("IP:127.0.0.1", "-1", "has expired"),
        ("IP:127.0.0.2", "9", "is for another host"),
        ("DNS:crm.example", "9", "is for another host"),
    ],
)
async def test_a_certificate_that_is_not_trusted_says_why(
    name: str, days: str, reason: str, tmp_path: Path
) -> None:
    """Who is on call at night looks at the date first, and at the host's name then."""
    cert = await asyncio.to_thread(signed, tmp_path, name, days)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    async with (
        tls_server(cert) as (url, _),
        aiohttp.ClientSession(connector=SilentConnector(ssl=trusting)) as http,
    ):
        with pytest.raises(aiohttp.ClientError) as caught:
            await http.get(url)
    failed = failure_of(caught.value)
    assert (type(failed), failed.transient) == (BackendUntrusted, False)
    assert str(failed) == f"the backend's certificate {reason}"


async def test_an_unknown_authority_is_named_and_asked_once(tmp_path: Path) -> None:
    """It was taken for a fault of the inputs."""
    cert, key = await self_signed(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    async with tls_server(both) as (url, hellos), backend(url) as ask:
        error = await failure(ask())
    assert (type(error), error.transient) == (BackendUntrusted, False)
    assert "authority" in str(error)
    assert len(hellos) == 1


async def test_a_backend_without_tls_is_named_as_such() -> None:
    """The url says https:// by mistake."""

    async def handle(_: web.BaseRequest) -> web.Response:
        return web.json_response({})

    async with serving(handle) as url, backend(url.replace("http:", "https:")) as ask:
        error = await failure(ask())
    assert type(error) is BackendUntrusted
    assert "does not speak TLS" in str(error)


async def test_a_handshake_that_breaks_off_is_unavailable() -> None:
    """The next one may succeed."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server, backend(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as ask:
        error = await failure(ask())
    assert (type(error), error.transient) == (BackendUnavailable, True)


@pytest.mark.parametrize(
    ("sent", "lingers", "why"),
    [
        (b"", 0, "Connection reset by peer"),
        (b"", None, "closed before an answer came"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{",
            None,
            "in the midst",
        ),
    ],
)
async def test_a_connection_that_breaks_says_how(sent: bytes, lingers: int | None, why: str) -> None:
    """In the words of the system, which whoever is on call knows: by no class of a library."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        await writer.drain()
        if lingers is not None:
            linger = struct.pack("ii", 1, lingers)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, backend(url) as ask:
        assert str(await failure(ask())).startswith(f"the connection broke: {why}")
    async with backend(url) as ask:
        assert str(await failure(ask())) == "no connection: Connection refused"


class NameServer:
    """A name server for tests: it answers, fails or hangs as it is told."""

    def __init__(self, *addresses: str) -> None:
        """Answer with these addresses."""
        self.addresses: list[str] | None = list(addresses)
        self.asked = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def __call__(self, _: str, port: int, __: int) -> list[tuple[Any, ...]]:
        """Answer as getaddrinfo does."""
        self.asked += 1
        self.may_go_on.wait()
        if self.addresses is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in self.addresses]


async def hosts(names: Names, host: str = "crm.example") -> list[str]:
    """Return the addresses of a host."""
    return [one["host"] for one in await names.resolve(host, 80, 0)]


async def test_equal_look_ups_are_one() -> None:
    """A hundred callers at once cost the name server one question."""
    names = NameServer("127.0.0.1")
    resolver = Names(names)
    assert await asyncio.gather(*(hosts(resolver) for _ in range(100))) == [["127.0.0.1"]] * 100
    assert names.asked == 1


async def test_the_last_addresses_serve_while_the_name_is_asked_for_anew() -> None:
    """Also if the name server hangs, or says that there is no such name."""
    names, clock = NameServer("127.0.0.1"), ManualClock(frozen=True)
    resolver = Names(names, clock)
    await hosts(resolver)
    names.may_go_on.clear()
    names.addresses = ["127.0.0.2"]
    clock.move(FRESH + 1)
    assert await hosts(resolver) == ["127.0.0.1"]
    names.may_go_on.set()
    await when(lambda: not resolver.asking)
    assert await hosts(resolver) == ["127.0.0.2"]
    names.addresses = None
    clock.move(FRESH + 1)
    before = names.asked
    assert await hosts(resolver) == ["127.0.0.2"]
    await when(lambda: names.asked > before and not resolver.asking)
    assert await hosts(resolver) == ["127.0.0.2"]
    assert names.asked == before + 1


async def test_a_name_without_an_address_is_an_error_each_time() -> None:
    """The next attempt may find it."""
    names = NameServer("127.0.0.1")
    for names.addresses in (None, list[str]()):
        with pytest.raises(OSError, match=r"\S"):
            await hosts(Names(names))
    with pytest.raises(OSError, match="UnicodeError"):
        await hosts(Names(unspeakable))


def unspeakable(_: str, __: int, ___: int) -> list[tuple[Any, ...]]:
    """Fail as getaddrinfo does on a label that is too long."""
    msg = "label too long"
    raise UnicodeError(msg)


async def test_names_that_hang_hold_up_nobody_else() -> None:
    """Two backends without an address must not make a third one fail: each look-up has its own thread."""
    stuck = NameServer()
    stuck.may_go_on.clear()
    waiting = [asyncio.ensure_future(hosts(Names(stuck), f"h{number}")) for number in range(40)]
    try:
        async with asyncio.timeout(5):
            assert await hosts(Names(NameServer("127.0.0.1"))) == ["127.0.0.1"]
            assert await asyncio.to_thread(lambda: 1) == 1
    finally:
        stuck.may_go_on.set()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_caller_that_leaves_does_not_end_the_look_up() -> None:
    """Its attempt has timed out; the next one finds the address."""
    names = NameServer("127.0.0.1")
    names.may_go_on.clear()
    resolver = Names(names)
    first = asyncio.ensure_future(hosts(resolver))
    await when(lambda: names.asked)
    first.cancel()
    second = asyncio.ensure_future(hosts(resolver))
    await asyncio.sleep(0)
    names.may_go_on.set()
    assert await second == ["127.0.0.1"]
    assert names.asked == 1


async def test_a_resolver_that_is_closed_waits_for_nobody() -> None:
    """A worker that ends must not wait for a name server."""
    names = NameServer("127.0.0.1")
    names.may_go_on.clear()
    resolver = Names(names)
    waiting = asyncio.ensure_future(hosts(resolver))
    await when(lambda: names.asked)
    resolver.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    names.may_go_on.set()


@pytest.fixture
def black_hole() -> Iterator[tuple[str, int]]:
    """An address at which connections neither succeed nor fail: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(closing(socket.socket()))
        listener.bind(("127.0.0.2", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(closing(socket.socket()))
            filler.setblocking(False)  # noqa: FBT003 - the socket's own
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()


async def test_a_second_address_is_tried_when_the_first_is_silent(black_hole: tuple[str, int]) -> None:
    """Within 300 ms, so that there is time for the question."""

    async def handle(_: web.BaseRequest) -> web.Response:
        return web.json_response({"v": 1})

    host, port = black_hole
    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    connector = SilentConnector(resolver=Resolver(Names(NameServer(host, "127.0.0.1"))), use_dns_cache=False)
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(connector=connector) as http:
        begun = loop.time()
        async with http.get(f"http://crm.example:{port}/") as response:
            assert await response.json() == {"v": 1}
        took = loop.time() - begun
    await runner.cleanup()
    assert 0.2 < took < 0.6
