"""A gateway as a shell starts it, with few open files allowed: silent connections keep nobody out."""

import asyncio
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.acceptance.test_metrics import admin_of, scrape, total
from tests.desk import APP, Desk, Place
from tests.processes import GatewayProcess, Process

SOFT = 256

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("hard", [SOFT, 4096])
async def test_silent_connections_keep_no_callback_out(
    place: Place, desk: Desk, tmp_path: Path, hard: int, processes: int
) -> None:
    """Where the limit cannot be raised, room is made; where it can, it is."""
    config = tmp_path / "deskgate.toml"
    config.write_text(place.config())
    limits = f"import resource, os, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({SOFT}, {hard})); "
    start = f"{limits}os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    arguments = ("-m", "gateway", "gateway", "-c", str(config), "--processes", str(processes))
    async with Process("-c", start, *arguments, environ=place.environ) as front:
        started = await front.event("gateway.started", processes)
        host, _, port = started["listen"].rpartition(":")
        here = desk.at((host, int(port)))
        with ExitStack() as stack:
            for _ in range(600):
                _, writer = await asyncio.open_connection(host, int(port))
                stack.callback(writer.close)
            for number in range(20):
                heard = await here.call(f"s{number}", node="order", orderId="1")
                assert heard.took < 1
        assert await front.end() == 0
    assert bool(front.events("connections.full")) == (hard == SOFT)
    assert not front.events("library.logged")


async def test_connection_that_makes_room_while_it_opens_is_gone_for_good(
    place: Place, tmp_path: Path
) -> None:
    """Uvloop tells nobody of its end: it counted for ever, and its request ended in a trace of aiohttp's."""
    config = tmp_path / "deskgate.toml"
    config.write_text(place.config({"gateway.max_connections": 50}))
    head = f"POST /?SdkAppid={APP} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode()

    async def come(host: str, port: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        with suppress(ConnectionError):
            writer.write(head)
            await reader.read(100)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async with GatewayProcess(config, place) as front:
        host, port = await front.address()
        admin = await admin_of(front)
        for _ in range(8):
            await asyncio.gather(*(come(host, port) for _ in range(400)))
        await front.event("connections.full")
        while total(await scrape(admin), "deskgate_connections"):
            pass
        assert await front.end() == 0
    assert not front.events("library.logged")
