"""Several gateway processes on one port: each takes callbacks, one that is killed is missed by nobody."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance.family import children_of, gone
from tests.desk import Desk, Heard, Place
from tests.processes import GatewayProcess, WorkerProcess

pytestmark = pytest.mark.timeout(30)

ENOUGH = 64
"""Connections of which, as good as certainly, each of two processes gets some."""


class Gateways(GatewayProcess):
    """``deskgate gateway --processes 2``."""

    def __init__(self, config: Path, place: Place) -> None:
        """Take the configuration file, and where its parts live."""
        super().__init__(config, place)
        self._command = (*self._command, "--processes", "2")

    async def addresses(self) -> set[str]:
        """Return where they take callbacks, once both do."""
        await self.event("gateway.started", 2)
        return {line["listen"] for line in self.events("gateway.started")}


@pytest.fixture
def config(place: Place, tmp_path: Path) -> Path:
    """The test configuration as a file."""
    return written(tmp_path / "deskgate.toml", place.config())


def written(path: Path, text: str) -> Path:
    """Return a file with this text."""
    path.write_text(text)
    return path


async def call(desk: Desk, session: str) -> Heard:
    """Send a callback over a connection of its own."""
    async with aiohttp.ClientSession() as http:
        return await Desk(http, desk.url, desk.query).call(session, node="order", orderId="1")


async def test_processes_share_a_port_and_drain_together(config: Path, place: Place, desk: Desk) -> None:
    """Every core answers; a deploy ends them all, and loses nothing."""
    async with Gateways(config, place) as front, WorkerProcess(config, place):
        assert len(await front.addresses()) == 1
        here = desk.at(await front.address())
        heard = await asyncio.gather(*(call(here, f"s{n}") for n in range(ENOUGH)))
        assert {(one.code, one.variables["order_id"]) for one in heard} == {(0, "1")}
        family = children_of(front.pid)
        assert len(family) == 2
        assert await front.end() == 0
        await gone(family)
    assert len(front.events("gateway.drained")) == 2
    assert len(front.events("callback.answered")) == ENOUGH
    # Jobs are named by it: two forked processes that named two jobs alike would mix up their answers.
    assert len({line["trace_id"] for line in front.events("callback.answered")}) == ENOUGH


async def test_killed_process_is_replaced_while_the_others_answer(
    config: Path, place: Place, desk: Desk
) -> None:
    """One that runs out of memory must not take the others with it, nor stay away."""
    async with Gateways(config, place) as front, WorkerProcess(config, place):
        await front.addresses()
        here = desk.at(await front.address())
        children_of(front.pid)[0].kill()
        died = await front.event("gateway.died")
        assert died["signal"] == "SIGKILL"
        assert (await call(here, "s1")).code == 0
        await front.event("gateway.started", 3)
        assert len(await front.addresses()) == 1
        heard = await asyncio.gather(*(call(here, f"s{n}") for n in range(ENOUGH)))
        assert {one.code for one in heard} == {0}
        family = children_of(front.pid)
        await front.kill()
        await gone(family)


async def test_taken_port_ends_them_all_with_a_reason(config: Path, place: Place) -> None:
    """Two gateways that share a port by mistake would each get half of the callbacks."""
    async with Gateways(config, place) as front:
        (taken,) = await front.addresses()
        same = place.config({"gateway.listen": taken})
        async with Gateways(written(config.with_name("other.toml"), same), place) as other:
            await other._process.wait()
            await other._reader
            assert other._process.returncode == 1
            assert any("in use" in line.get("text", "") for line in other.lines)
            assert front.running
