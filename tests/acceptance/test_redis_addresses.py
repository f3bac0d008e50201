"""Every way in which README says that Redis can be reached carries callbacks to workers and back."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from itertools import count
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from subprocess import DEVNULL, Popen
from urllib.parse import quote
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.front.app import gateway
from gateway.tools.processes import Valkey, _binary, spawn, stop
from tests.between import Between
from tests.desk import Desk, Place
from tests.documents import MANUAL
from tests.tls import self_signed
from workers.main import workers

pytestmark = pytest.mark.timeout(60)


async def serves(url: str, crm: Crm, desk: Desk, prefix: str = "") -> None:
    """Send callbacks through a gateway and a worker that reach Redis at ``url``: one live, one fresh."""
    catalog = Place(url, prefix or f"t{uuid4().hex[:12]}", crm.url).catalog()
    with capture_logs() as lines:
        async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as first:
            live = await desk.at(first.callbacks).call(node="order", orderId="1")
            async with gateway(catalog) as second:  # with nothing in memory
                fresh = await desk.at(second.callbacks).call(node="order", orderId="1")
    assert (live.code, live.variables["order_id"]) == (0, "1"), lines
    assert (fresh.code, fresh.variables) == (0, live.variables)
    assert crm.stats.report()["total"] == 1
    assert not [line for line in lines if line["log_level"] in {"warning", "error"}]


async def test_user_with_the_documented_rights_is_enough(shared_valkey: Valkey, crm: Crm, desk: Desk) -> None:
    """Where Redis is shared, nobody gets more than is needed; a password may have any characters."""
    (rights,) = re.findall(r"A user of its own \(ACL\) needs `([^`]+)`", MANUAL)
    prefix, password = f"t{uuid4().hex[:12]}", "p@ss/w:rd%?#"
    async with Redis.from_url(shared_valkey.url) as redis:
        rules = rights.replace("PREFIX", prefix).split()
        await redis.execute_command("ACL", "SETUSER", prefix, "on", f">{password}", *rules)
        path = shared_valkey.url.removeprefix("unix://")
        await serves(f"unix://{prefix}:{quote(password, safe='')}@{path}", crm, desk, prefix)
        await redis.execute_command("ACL", "DELUSER", prefix)


@asynccontextmanager
async def tls_in_front(path: str, cert: Path, key: Path) -> AsyncIterator[int]:
    """Give the port of a TLS end in front of a unix socket, as stunnel is where a server has no TLS."""
    talks: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(path)
        both = pass_on(reader, inner_writer), pass_on(inner_reader, writer)
        talks.update(tasks := [asyncio.create_task(way) for way in both])
        await asyncio.gather(*tasks, return_exceptions=True)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
        for task in talks:
            task.cancel()


async def test_tls_is_spoken_and_the_certificate_checked(
    shared_valkey: Valkey, crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """Redis holds variables in plain; on the way to it nobody may read them, or pass for it."""
    cert, key = await self_signed(tmp_path)
    path = shared_valkey.url.removeprefix("unix://")
    async with tls_in_front(path, cert, key) as port:
        await serves(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={cert}", crm, desk)
        stranger = Place(f"rediss://127.0.0.1:{port}/0", "none", crm.url).catalog()
        async with gateway(stranger) as running:
            heard = await desk.at(running.callbacks).call(node="order", orderId="1")
        assert heard.code == Code.QUEUE_UNAVAILABLE


@contextmanager
def server(
    directory: Path, *directives: str, mode: str = "", port: int = 0, dump: bytes = b""
) -> Iterator[tuple[int, Popen[bytes]]]:
    """Run a Valkey on a port of the loopback address; give the port and the process.

    ``port`` 0 is any port. ``dump`` is what it loads.
    """
    if not port:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
    directory.mkdir()
    if dump:
        (directory / "dump.rdb").write_bytes(dump)
    config = directory / "valkey.conf"
    config.write_text("\n".join((f"port {port}", "bind 127.0.0.1", f"dir {directory}", *directives)))
    process = spawn([_binary(), str(config), *filter(None, [mode])], output=DEVNULL)
    try:
        yield port, process
    finally:
        stop(process)


async def says(port: int, what: str, *command: str) -> None:
    """Return as soon as the server on a port answers a command with what contains ``what``."""
    async with Redis(port=port, decode_responses=True) as redis:
        while True:
            with suppress(RedisError, OSError):
                if what in str(await redis.execute_command(*command)):  # type: ignore[no-untyped-call]
                    return
            await asyncio.sleep(0.01)


async def test_failover_behind_sentinel_is_followed(crm: Crm, desk: Desk, tmp_path: Path) -> None:
    """The master dies, a replica takes its place; gateway and worker find it by themselves."""
    with ExitStack() as servers:
        plain = ('save ""', "repl-diskless-sync-delay 0")
        port, master = servers.enter_context(server(tmp_path / "master", *plain))
        replica, _ = servers.enter_context(
            server(tmp_path / "replica", *plain, f"replicaof 127.0.0.1 {port}")
        )
        await says(replica, "'master_link_status': 'up'", "INFO", "replication")
        watch = (
            f"monitor crm 127.0.0.1 {port} 1",
            "down-after-milliseconds crm 300",
            "failover-timeout crm 2000",
        )
        sentinel, _ = servers.enter_context(
            server(tmp_path / "sentinel", *(f"sentinel {rule}" for rule in watch), mode="--sentinel")
        )
        await says(sentinel, "'num-slaves', '1'", "SENTINEL", "MASTER", "crm")
        catalog = Place(f"redis+sentinel://127.0.0.1:{sentinel}/crm/0", "t", crm.url).catalog()
        with capture_logs() as lines:
            async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
                here = desk.at(running.callbacks)
                assert (await here.call(node="order", orderId="1")).code == 0
                master.kill()
                while (await here.call(node="order", orderId="2")).code:  # noqa: ASYNC110 - nobody else can tell
                    await asyncio.sleep(0.05)
        assert "redis.restored" in [line["event"] for line in lines]
        async with Redis(port=replica) as redis:
            assert [key async for key in redis.scan_iter("t:record:*")]


async def test_orderly_failover_behind_one_address_is_followed(crm: Crm, desk: Desk, tmp_path: Path) -> None:
    """The old master lives on as a replica and keeps its connections: listeners on it would hear nothing."""
    with ExitStack() as servers:
        plain = ('save ""', "repl-diskless-sync-delay 0")
        port, _ = servers.enter_context(server(tmp_path / "master", *plain))
        replica, _ = servers.enter_context(
            server(tmp_path / "replica", *plain, f"replicaof 127.0.0.1 {port}")
        )
        await says(replica, "'master_link_status': 'up'", "INFO", "replication")
        async with Between(port).serve() as address:
            catalog = Place(f"redis://127.0.0.1:{address.port}/0", "t", crm.url).catalog()
            async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
                here = desk.at(running.callbacks)
                assert (await here.call(node="order", orderId="1")).code == 0
                address.lead_to(replica)
                async with Redis(port=port) as redis:
                    await redis.execute_command("FAILOVER")  # type: ignore[no-untyped-call]
                sessions = (f"s{number}" for number in count(2))  # each one new: no record answers it
                while (await here.call(next(sessions), node="order", orderId="2")).code:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)


async def test_sentinels_with_a_password_are_asked_past_one_that_hangs(
    crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """Each sentinel has its share of the time to connect; theirs is another password than the master's."""
    master_password, sentinel_password = "m#st/r", "s@nt:nel"
    with ExitStack() as servers:
        port, _ = servers.enter_context(
            server(tmp_path / "master", 'save ""', f'requirepass "{master_password}"')
        )
        watch = (
            f"sentinel monitor crm 127.0.0.1 {port} 2",
            f'sentinel auth-pass crm "{master_password}"',
            f'requirepass "{sentinel_password}"',
        )
        sentinels = [
            servers.enter_context(server(tmp_path / f"sentinel{number}", *watch, mode="--sentinel"))
            for number in range(3)
        ]
        for number, _ in sentinels:
            async with Redis(port=number, password=sentinel_password) as redis:
                while True:
                    with suppress(RedisError, OSError):
                        await redis.ping()
                        break
                    await asyncio.sleep(0.01)
        sentinels[0][1].send_signal(SIGSTOP)
        try:
            hosts = ",".join(f"127.0.0.1:{number}" for number, _ in sentinels)
            credentials = f":{quote(master_password, safe='')}"
            options = f"sentinel_password={quote(sentinel_password, safe='')}"
            url = f"redis+sentinel://{credentials}@{hosts}/crm/0?{options}"
            begun = asyncio.get_running_loop().time()
            await serves(url, crm, desk)
            assert asyncio.get_running_loop().time() - begun < 10  # four processes' parts connect, in turn
        finally:
            sentinels[0][1].send_signal(SIGCONT)
