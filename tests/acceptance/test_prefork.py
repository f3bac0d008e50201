"""Several gateway processes on one port: each takes callbacks, and none that goes is missed by anybody."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from gateway.tools.gateways import member
from tests.acceptance.family import children_of, gone
from tests.desk import ROOT, Desk, Heard, Place, when
from tests.processes import GatewayProcess, Process, WorkerProcess

pytestmark = pytest.mark.timeout(120)

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


async def call_until(done: Callable[[], bool], desk: Desk) -> list[Heard]:
    """Send callbacks one after the other, on new and on kept connections, until ``done``."""

    async def kept() -> None:
        while not done():
            heard.append(await desk.call("kept", node="order", orderId="1"))

    async def new() -> None:
        while not done():
            heard.append(await call(desk, "new"))

    heard: list[Heard] = []
    await asyncio.gather(kept(), kept(), new(), new())
    return heard


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
    # Jobs are named by it: two processes that named two jobs alike would mix up their answers.
    assert len({line["trace_id"] for line in front.events("callback.answered")}) == ENOUGH


async def test_login_of_one_process_is_good_for_the_others(place: Place, tmp_path: Path) -> None:
    """A browser's next connection may lead to another one, or to the one after a rollout."""
    text = place.config({"gateway.admin_token": {"act": "a token to act with"}})
    async with Gateways(written(tmp_path / "deskgate.toml", text), place) as front:
        await front.addresses()
        api = f"http://{(await front.event('gateway.started'))['admin']}/console/api"
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            origin = {"Origin": api.removesuffix("/console/api")}
            given = {"token": "a token to act with"}
            async with http.post(f"{api}/login", json=given, headers=origin) as answered:
                cookie = answered.headers["Set-Cookie"].partition(";")[0]

        async def me() -> int:
            headers = {"Cookie": cookie}
            async with aiohttp.ClientSession(headers=headers) as http, http.get(f"{api}/me") as answered:
                return answered.status

        assert {await me() for _ in range(ENOUGH)} == {200}
        front.signal(signal.SIGHUP)
        await front.event("gateway.replaced", 2)
        assert {await me() for _ in range(ENOUGH)} == {200}


async def test_killed_process_is_replaced_while_the_others_answer(
    config: Path, place: Place, desk: Desk
) -> None:
    """One that runs out of memory must not take the others with it, nor stay away."""
    async with Gateways(config, place) as front, WorkerProcess(config, place):
        await front.addresses()
        here = desk.at(await front.address())
        children_of(front.pid)[0].kill()
        died = await front.event("gateway.died")
        assert (died["signal"], died["exit_code"], died["hung"]) == ("SIGKILL", None, False)
        heard = await asyncio.gather(*(call(here, f"s{n}") for n in range(ENOUGH)))
        assert {one.code for one in heard} == {0}
        await front.event("gateway.started", 3)
        assert len(await front.addresses()) == 1
        family = children_of(front.pid)
        await front.kill()
        await gone(family)


async def test_process_that_cannot_be_replaced_leaves_all_connections_to_the_others(
    config: Path, place: Place, desk: Desk
) -> None:
    """The file is faulty since the day before, and a process runs out of memory.

    Half of all connections waited in its socket, for ever.
    """
    async with Gateways(config, place) as front, WorkerProcess(config, place):
        await front.addresses()
        here = desk.at(await front.address())
        written(config, "nonsense")
        children_of(front.pid)[0].kill()
        for count in (1, 2):  # the second one is a successor that has not started
            await front.event("gateway.died", count)
            heard = await asyncio.gather(*(call(here, f"s{n}") for n in range(ENOUGH)))
            assert {one.code for one in heard} == {0}
        written(config, place.config())
        await front.event("gateway.started", 3)
        os.kill(children_of(front.pid)[0].pid, signal.SIGKILL)
        await front.event("gateway.died", len(front.events("gateway.died")) + 1)
        heard = await asyncio.gather(*(call(here, f"t{n}") for n in range(ENOUGH)))
        assert {one.code for one in heard} == {0}
        assert await front.end(signal.SIGINT) == 0


async def test_sighup_replaces_one_process_after_the_other_and_loses_no_callback(
    config: Path, place: Place, desk: Desk
) -> None:
    """A deploy in place: new code and new settings, and nobody notices."""
    written(config, place.config(drain="2s"))
    async with Gateways(config, place) as front, WorkerProcess(config, place):
        await front.addresses()
        before = {child.pid for child in children_of(front.pid)}
        here = desk.at(await front.address())
        calling = asyncio.create_task(call_until(lambda: len(front.events("gateway.drained")) == 2, here))
        front.signal(signal.SIGHUP)
        heard = await calling
        assert {one.code for one in heard} == {0}
        assert max(one.took for one in heard) < 1.0
        assert {line["pid"] for line in front.events("gateway.replaced")} == before
        await when(lambda: not before & {child.pid for child in children_of(front.pid)})
        after = {child.pid for child in children_of(front.pid)}
        assert {line["by"] for line in front.events("gateway.replaced")} == after
        assert await front.end(signal.SIGINT) == 0


async def test_process_that_cannot_start_leaves_those_that_serve_alone(
    config: Path, place: Place, desk: Desk
) -> None:
    """A faulty file met by SIGHUP: the old ones go on, and say once what is wrong."""
    async with Gateways(config, place) as front, WorkerProcess(config, place):
        await front.addresses()
        family = {child.pid for child in children_of(front.pid)}
        written(config, "nonsense")
        front.signal(signal.SIGHUP)
        kept = await front.event("gateway.not_replaced")
        assert kept["pid"] in family
        assert kept["reason"] == "exit code 2"
        assert {child.pid for child in children_of(front.pid)} == family
        assert (await call(desk.at(await front.address()), "s1")).code == 0
        written(config, place.config())
        front.signal(signal.SIGHUP)
        await front.event("gateway.replaced", 2)
        assert await front.end() == 0


async def test_successor_that_dies_at_once_is_missed_while_the_one_before_drains(
    config: Path, place: Place, desk: Desk
) -> None:
    """A release that falls at its first callback: its share of the connections goes to the others."""
    written(config, place.config(drain="20s"))
    async with Gateways(config, place) as front, WorkerProcess(config, place):
        await front.addresses()
        here = desk.at(await front.address())
        front.signal(signal.SIGHUP)
        replaced = await front.event("gateway.replaced")
        os.kill(replaced["by"], signal.SIGKILL)
        assert (await front.event("gateway.died"))["pid"] == replaced["by"]
        heard = await asyncio.gather(*(call(here, f"s{n}") for n in range(ENOUGH)))
        assert {one.code for one in heard} == {0}
        assert not front.events("gateway.drained")
        assert await front.end(signal.SIGINT) == 0


async def test_machine_without_room_for_another_process_keeps_those_that_serve(
    config: Path, place: Place, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or a limit on processes: a SIGHUP ended all of them, and so did one that died."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    async with Gateways(config, place) as front, WorkerProcess(config, place):
        await front.addresses()
        (inside,) = folder.iterdir()
        aside = inside.rename(tmp_path / "aside")
        front.signal(signal.SIGHUP)
        assert "no process can be started" in (await front.event("gateway.not_replaced"))["reason"]
        here = desk.at(await front.address())
        children_of(front.pid)[0].kill()
        await front.event("gateway.not_replaced", 2)
        heard = await asyncio.gather(*(call(here, f"s{n}") for n in range(ENOUGH)))
        assert {one.code for one in heard} == {0}
        aside.rename(inside)
        await front.event("gateway.started", 3)
        assert await front.end(signal.SIGINT) == 0


async def test_process_that_hangs_is_killed_and_replaced(config: Path, place: Place, desk: Desk) -> None:
    """A third of all new connections would wait for it for ever."""
    async with Gateways(config, place) as front, WorkerProcess(config, place):
        await front.addresses()
        hung = children_of(front.pid)[0]
        os.kill(hung.pid, signal.SIGSTOP)
        died = await front.event("gateway.died")
        assert (died["pid"], died["hung"]) == (hung.pid, True)
        await front.event("gateway.started", 3)
        here = desk.at(await front.address())
        heard = await asyncio.gather(*(call(here, f"s{n}") for n in range(ENOUGH)))
        assert {one.code for one in heard} == {0}


async def test_other_children_of_its_process_do_not_count(config: Path, place: Place, desk: Desk) -> None:
    """A shell that has begun something else before ``exec`` leaves us its children."""
    command = f'{sys.executable} -m gateway gateway -c "{config}" --processes 2'
    line = f"(exit 3) & (sleep 0.2; exit 3) & exec {command}"
    async with Shell(line, environ=place.environ) as front, WorkerProcess(config, place):
        started = await front.event("gateway.started", 2)
        await when(lambda: not front.strangers())
        host, _, port = started["listen"].rpartition(":")
        assert (await call(desk.at((host, int(port))), "s1")).code == 0
        assert front.running
        assert not front.events("gateway.died")
        assert await front.end() == 0


async def test_taken_port_ends_them_all_with_a_reason(config: Path, place: Place) -> None:
    """Two gateways that share a port by mistake would each get half of the callbacks."""
    async with Gateways(config, place) as front:
        (taken,) = await front.addresses()
        same = place.config({"gateway.listen": taken})
        async with Gateways(written(config.with_name("other.toml"), same), place) as other:
            assert await other.ended() == 2
            assert any("in use" in line.get("text", "") for line in other.lines)
            assert front.running


async def test_gateways_that_cannot_start_end_with_the_reason(config: Path, place: Place) -> None:
    """A supervisor must see that it is of no use to wait."""
    churn = {"python": "nowhere:churn", "variables": {"churn_risk": "risk"}}
    changes = {"apps.1400000001.redis_lost": "direct", "routes": None, "lookups": {"churn": churn}}
    written(config, place.config(changes))
    async with Gateways(config, place) as front:
        assert await front.ended() == 2
        assert any("nowhere:churn" in line.get("text", "") for line in front.lines)


async def test_process_that_hangs_at_its_start_is_killed_at_last(
    config: Path, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its successor, and the next SIGHUP, would wait for it for ever."""
    (tmp_path / "hanging.py").write_text("import time\ntime.sleep(1000)\n")
    churn = {"python": "hanging:churn", "variables": {"churn_risk": "risk"}}
    changes = {"apps.1400000001.redis_lost": "direct", "routes": None, "lookups": {"churn": churn}}
    written(config, place.config(changes))
    monkeypatch.setattr(member, "START_WITHIN", 2.0)
    for name, value in {**place.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"}.items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        hanging = member.Member(config, (one, two), tmp_path / "1", None)
        await hanging.start()
        with pytest.raises(member.Ended, match="SIGKILL"):
            await hanging.wait_until_ready()
        await hanging.forget()
    assert hanging.process.returncode == -signal.SIGKILL


class Shell(Process):
    """A line of shell that ends in ``exec``."""

    def __init__(self, line: str, environ: dict[str, str]) -> None:
        """Take the line, and what to add to the environment."""
        super().__init__("-c", f"import os; os.execv('/bin/sh', ['sh', '-c', {line!r}])", environ=environ)

    def strangers(self) -> list[object]:
        """Return its children that are no gateways."""
        return [child for child in children_of(self.pid) if child.runs and "gateway" not in child.command]
