"""A Redis that cannot save, one that loads its data, one that is far away: what callbacks get meanwhile."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, ConnectionError, ResponseError  # noqa: A004
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.front.app import gateway
from tests.acceptance.test_redis_addresses import says, server, tls_in_front
from tests.desk import Desk, Place
from tests.tls import self_signed
from workers.main import workers

pytestmark = pytest.mark.timeout(60)


async def test_server_that_cannot_save_costs_no_fresh_answer(crm: Crm, desk: Desk, tmp_path: Path) -> None:
    """Its disk is full, so it refuses writes (MISCONF). It is told once, and its records are read."""
    folder = tmp_path / "redis"
    with server(folder, 'save "3600 1"', "stop-writes-on-bgsave-error yes") as (port, _):
        await says(port, "True", "PING")
        place = Place(f"redis://127.0.0.1:{port}/0", "t", crm.url)
        catalog = place.catalog()
        async with Redis(port=port) as redis, workers(catalog, catalog.lanes, grace=0):
            async with gateway(catalog) as running:
                assert (await desk.at(running.callbacks).call("s1", node="order", orderId="1")).code == 0
            async with gateway(catalog) as running:
                here = desk.at(running.callbacks)
                shutil.rmtree(folder)
                await redis.bgsave()
                await says(port, "'rdb_last_bgsave_status': 'err'", "INFO", "persistence")
                with pytest.raises(ResponseError, match="MISCONF"):
                    await redis.set("x", "y")
                with capture_logs() as lines:
                    known = await here.call("s1", node="order", orderId="1")
                    new = await here.call("s2", node="order", orderId="2")
                    await here.call("s3", node="order", orderId="3")
                assert (known.code, known.variables["order_id"]) == (0, "1")
                assert (new.code, new.variables) == (Code.QUEUE_UNAVAILABLE, {"order_id": "unknown"})
                assert [line["kind"] for line in lines if line["event"] == "redis.refused"] == ["MISCONF"]
                folder.mkdir()
                await redis.config_set("stop-writes-on-bgsave-error", "no")
                async with asyncio.timeout(20):
                    while (await here.call("s2", node="order", orderId="2")).code:
                        pass


async def test_server_that_loads_its_data_is_away_once(crm: Crm, desk: Desk, tmp_path: Path) -> None:
    """For seconds it answers LOADING: one line when it goes, one when it is back, no storm of connections."""
    folder = tmp_path / "redis"
    with server(folder, 'save "3600 1"') as (port, _):
        await says(port, "True", "PING")
        async with Redis(port=port) as redis:
            await redis.mset({f"key{number}": "x" * 100 for number in range(2000)})
            await redis.save()
    kept = folder / "dump.rdb"
    data = kept.read_bytes()
    shutil.rmtree(folder)
    place = Place(f"redis://127.0.0.1:{port}/0", "t", crm.url)
    catalog = place.catalog()
    with capture_logs() as lines:
        async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
            here = desk.at(running.callbacks)
            assert (await here.call("s1", node="order", orderId="1")).code == Code.QUEUE_UNAVAILABLE
            slow = ("key-load-delay 2000", "loading-process-events-interval-bytes 1024")
            with server(folder, 'save ""', *slow, port=port, dump=data):
                await loads(port)
                heard = [await here.call("s1", node="order", orderId="1") for _ in range(20)]
                assert {one.code for one in heard} == {Code.QUEUE_UNAVAILABLE}
                assert max(one.took for one in heard) < 1.0
                async with asyncio.timeout(30):
                    while (await here.call("s2", node="order", orderId="2")).code:
                        pass
                loading = [line for line in lines if line["event"] in {"redis.lost", "redis.restored"}]
    assert [line["event"] for line in loading].count("redis.restored") <= 2  # gateway and worker
    assert [line["event"] for line in loading].count("redis.lost") <= 2


async def loads(port: int) -> None:
    """Return as soon as a server says that it loads its data."""
    async with Redis(port=port) as redis:
        while True:
            try:
                await redis.ping()
                pytest.fail("it has loaded them")
            except BusyLoadingError:
                return
            except (ConnectionError, OSError):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def far(port: int, seconds: float) -> AsyncIterator[int]:
    """Give a port from which bytes take so long to another port, and back."""
    loop = asyncio.get_running_loop()
    talks: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                loop.call_later(seconds, _write, writer, data)
        await asyncio.sleep(seconds)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there = await asyncio.open_connection("127.0.0.1", port)
        both = pass_on(reader, there), pass_on(there_reader, writer)
        talks.update(tasks := [asyncio.create_task(way) for way in both])
        await asyncio.gather(*tasks)

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as listening:
        yield int(listening.sockets[0].getsockname()[1])
        await asyncio.gather(*talks)  # its callers have hung up by now


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)


async def test_server_behind_tls_and_far_away_is_reached_within_the_usual_timeout(
    crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """15 ms each way, a password, another database: to connect takes longer than a call may."""
    cert, key = await self_signed(tmp_path)
    with server(tmp_path / "redis", 'save ""', f"unixsocket {tmp_path}/s", "requirepass secret") as (port, _):
        async with Redis(port=port, password="secret") as redis:
            while True:
                with suppress(ConnectionError, OSError):
                    if await redis.ping():
                        break
                await asyncio.sleep(0.01)
        async with tls_in_front(f"{tmp_path}/s", cert, key) as tls, far(tls, 0.015) as outside:
            url = f"rediss://:secret@127.0.0.1:{outside}/1?ssl_ca_certs={cert}"
            catalog = Place(url, "t", crm.url).catalog(redis_timeout="100ms")
            with capture_logs() as lines:
                async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
                    here = desk.at(running.callbacks)
                    for number in range(5):
                        heard = await here.call("s1", node="order", orderId=str(number))
                        assert heard.code == 0
                        assert heard.took < 0.5
        assert not [line for line in lines if line["event"] == "redis.lost"]
