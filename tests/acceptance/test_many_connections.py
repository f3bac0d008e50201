"""A gateway as a shell starts it, with few open files allowed: silent connections keep nobody out."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.desk import Desk, Place
from tests.processes import Process

SOFT = 256

pytestmark = pytest.mark.timeout(60)


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
