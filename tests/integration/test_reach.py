"""How a backend is reached: its own authority, a client certificate, another name, and a proxy."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from gateway.core.errors import BackendUnavailable, BackendUntrusted, NoAnswer
from gateway.declared.backend import Backend
from gateway.declared.reading import ConfigFaults, Secret
from gateway.declared.tls import BackendTls
from gateway.declared.tokens import OAuth2Auth
from gateway.lookups.credentials.grants import open_grant
from gateway.lookups.reach import Reach, find_reach_fault
from tests.asking import backend, failure
from tests.desk import Place
from tests.integration.test_tls_and_names import signed
from tests.integration.test_unasked import ELSE, GET, Raw, turns
from workers.main import workers

ANY = 'request = { path = "/v" }\nvariables = { v = "v" }\n'


@asynccontextmanager
async def server(cert: Path, ca: Path | None = None) -> AsyncIterator[str]:
    """Yield the address of a TLS server; with ``ca`` it wants a certificate of that authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert)
    if ca is not None:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED

    async def handle(_: web.BaseRequest) -> web.Response:
        return web.json_response({"v": "1"})

    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def tls(**names: object) -> str:
    """Return the table of a backend's certificates."""
    return "tls = { " + ", ".join(f'{name} = "{value}"' for name, value in names.items()) + " }"


async def test_own_authority_is_trusted_and_a_client_certificate_is_shown(tmp_path: Path) -> None:
    """Mutual TLS; without the certificate the server hangs up."""
    cert = await asyncio.to_thread(signed, tmp_path, "IP:127.0.0.1", "9")
    ca = tmp_path / "ca.pem"
    async with server(cert, ca) as url:
        async with backend(url, ANY, tls(ca=ca, cert=cert, key=cert)) as ask:
            assert await ask() == {"v": "1"}
        async with backend(url, ANY, tls(ca=ca)) as ask:
            assert isinstance(await failure(ask()), BackendUnavailable)
        async with backend(url, ANY) as ask:
            assert isinstance(await failure(ask()), BackendUntrusted)


async def test_name_of_the_server_may_be_another_than_its_address(tmp_path: Path) -> None:
    """Behind a private address there is a public certificate."""
    cert = await asyncio.to_thread(signed, tmp_path, "DNS:crm.example", "9")
    ca = tmp_path / "ca.pem"
    async with server(cert) as url:
        async with backend(url, ANY, tls(ca=ca, server_name="crm.example")) as ask:
            assert await ask() == {"v": "1"}
        async with backend(url, ANY, tls(ca=ca)) as ask:
            assert "for another host" in str(await failure(ask()))


@pytest.mark.parametrize(
    ("url", "names"), [("https://crm.internal", "IP:127.0.0.1"), ("https://127.0.0.1", "DNS:crm.example")]
)
async def test_name_of_the_server_is_not_asked_of_a_token_endpoint_elsewhere(
    tmp_path: Path, url: str, names: str
) -> None:
    """A vendor's login has a certificate of its own; one on the backend's host has the backend's."""
    cert = await asyncio.to_thread(signed, tmp_path, names, "9")
    own = BackendTls(ca=str(tmp_path / "ca.pem"), server_name="crm.example")
    declared = Backend(url=url, tls=own)
    async with server(cert) as login:
        auth = OAuth2Auth(token_url=f"{login}/token", client_id="c", client_secret=Secret("s"), token="v")
        assert (await open_grant(auth, declared, "crm", Reach(declared)).ask()).text == "1"


async def test_renewed_files_are_used_and_half_a_pair_changes_nothing(tmp_path: Path) -> None:
    """A restart each ninety days would be one too many."""
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    cert = await asyncio.to_thread(signed, old, "IP:127.0.0.1", "9")
    other = await asyncio.to_thread(signed, new, "IP:127.0.0.1", "9")
    ca = tmp_path / "trusted.pem"
    ca.write_bytes((old / "ca.pem").read_bytes())
    reach = Reach(Backend(url="https://x", tls=BackendTls(ca=str(ca))))
    before = reach.arguments["ssl"]
    with capture_logs() as lines:
        ca.write_bytes(b"-----BEGIN CERTIFICATE-----\nhalf")
        await reach.look(asked=True)
        assert reach.arguments["ssl"] is before
        ca.write_bytes((new / "ca.pem").read_bytes())
        await reach.look(asked=True)
    assert reach.arguments["ssl"] is not before
    assert [line["event"] for line in lines] == ["certificate.refused", "certificate.reloaded"]
    assert reach.changes
    assert other != cert


async def test_file_that_cannot_be_used_keeps_a_worker_from_its_start(place: Place, tmp_path: Path) -> None:
    """With one line that names the setting."""
    bad = tmp_path / "bad.pem"
    bad.write_text("s3cret")
    catalog = place.catalog({"backends.crm.url": "https://crm", "backends.crm.tls": {"ca": str(bad)}})
    with pytest.raises(ConfigFaults, match=r"backends\.crm\.tls: not a certificate"):
        async with workers(catalog, catalog.lanes, grace=0):
            pytest.fail("it has started")


def test_file_that_cannot_be_used_is_a_fault_of_check(tmp_path: Path) -> None:
    """One that is not there is a warning: it may be on the worker's machine."""
    bad = tmp_path / "bad.pem"
    bad.write_text("s3cret")
    faults = [
        find_reach_fault(Backend(url="https://x", tls=BackendTls(ca=str(path))), "crm")
        for path in (bad, tmp_path / "none.pem")
    ]
    assert [fault and (fault.path, fault.warning) for fault in faults] == [
        ("backends.crm.tls", False),
        ("backends.crm.tls", True),
    ]
    assert "s3cret" not in str(faults)
    assert find_reach_fault(Backend(url="https://x"), "crm") is None


class Proxy:
    """An HTTP proxy: CONNECT, and requests with a whole address. It wants credentials, if it has some."""

    def __init__(self, credentials: str = "") -> None:
        """Take ``user:password``, or nothing."""
        self.wanted = "Basic " + base64.b64encode(credentials.encode()).decode() if credentials else ""
        self.seen: list[str] = []
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Listen; yield host and port."""
        listening = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        async with listening:
            try:
                yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            finally:
                for writer in self._writers:
                    writer.transport.abort()
                await turns()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.split("\r\n")[0].split()
            self.seen.append(f"{method} {target}")
            shown = [line.split(": ", 1)[1] for line in head.split("\r\n") if line.startswith("Proxy-Auth")]
            if self.wanted and shown != [self.wanted]:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
            else:
                host, _, port = target.removeprefix("http://").partition("/")[0].rpartition(":")
                far_reader, far_writer = await asyncio.open_connection(host, int(port))
                self._writers.append(far_writer)
                if method == "CONNECT":
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    path = target.removeprefix(f"http://{host}:{port}")
                    far_writer.write(head.replace(target, path, 1).encode())
                await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_proxy_is_used_for_http_and_https(tmp_path: Path) -> None:
    """With its credentials, of which any character may be one."""
    cert = await asyncio.to_thread(signed, tmp_path, "IP:127.0.0.1", "9")
    proxy = Proxy("me:p@ss:ü")
    async with proxy.serve() as at, server(cert) as url, Raw().serve() as raw:
        through = f'proxy = "http://me:p%40ss%3A%C3%BC@{at}"'
        async with backend(url, ANY, tls(ca=tmp_path / "ca.pem") + "\n" + through) as ask:
            assert await ask() == {"v": "1"}
        async with backend(raw.url, GET, through) as ask:
            assert await ask(id="u1") == {"name": "u1"}
    host = url.removeprefix("https://")
    assert proxy.seen == [f"CONNECT {host}", f"GET {raw.url}/u1"]


async def test_proxy_that_refuses_or_is_gone_is_named(tmp_path: Path) -> None:
    """On call, one wants to know that it is not the backend. The password stays unsaid."""
    cert = await asyncio.to_thread(signed, tmp_path, "IP:127.0.0.1", "9")
    async with Proxy("me:right").serve() as at, server(cert) as url, Raw().serve() as raw:
        for target, said in ((url, "the proxy answered 407"), (raw.url, "the backend answered 407")):
            more = f'proxy = "http://me:s3cret@{at}"'
            if target is url:
                more += "\n" + tls(ca=tmp_path / "ca.pem")
            async with backend(target, GET, more) as ask:
                error = await failure(ask(id="u1"))
            assert isinstance(error, BackendUnavailable)
            assert said in str(error)
            assert "s3cret" not in str(error)
        async with backend(raw.url, GET, 'proxy = "http://127.0.0.1:1"') as ask:
            assert str(await failure(ask(id="u1"))) == "no connection to the proxy"
        async with backend(raw.url, GET, 'proxy = "http://no-such-proxy.invalid:1"') as ask:
            assert str(await failure(ask(id="u1"))) == "no connection: the proxy's name has no address"


async def test_proxies_of_the_environment_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the machine's, and a backend's address is the configuration's."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with Raw().serve() as raw, backend(raw.url, GET) as ask:
        assert await ask(id="u1") == {"name": "u1"}


async def test_connection_through_a_proxy_is_used_only_while_it_is_silent() -> None:
    """The next user must not hear what somebody else was told."""
    heard: list[object] = []
    async with (
        Proxy().serve() as at,
        Raw().serve() as raw,
        backend(raw.url, GET, f'proxy = "http://{at}"') as ask,
    ):
        assert await ask(id="u1") == {"name": "u1"}
        raw.with_next = ELSE
        for number in range(2, 6):
            try:
                heard.append(await ask(id=f"u{number}"))
            except NoAnswer as error:
                heard.append(error)
    for number, one in enumerate(heard, 2):
        assert isinstance(one, NoAnswer) or str(one).endswith(f"u{number}'}}")
    assert not isinstance(heard[-1], NoAnswer)
