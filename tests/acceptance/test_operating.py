"""An operator's word reaches real processes: a backend is held, and the fleet reloads."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from redis.asyncio import Redis

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.tools.processes import Valkey
from tests.acceptance.test_prefork import written
from tests.desk import APP, Desk, Place
from tests.processes import GatewayProcess, WorkerProcess, told

pytestmark = pytest.mark.timeout(120)

TOKEN = "a token to act with"


async def test_backend_is_held_by_a_command_and_released(
    place: Place, crm: Crm, tmp_path: Path, desk: Desk
) -> None:
    """Gateways and workers hear it at once: nobody asks, and the last known answer goes out."""
    config = written(tmp_path / "deskgate.toml", place.config(fresh="0s"))
    async with GatewayProcess(config, place) as front, WorkerProcess(config, place):
        at = desk.at(await front.address())
        known = await at.call(node="order", orderId="7")
        assert known.code == 0
        hold = ("hold", "crm", "-c", str(config))
        assert await told(place, *hold, "--for", "1m") == (0, "crm is held for 60 s\n")
        calls = crm.stats.report()["total"]
        for order in ("7", "8"):
            held = await at.call(node="order", orderId=order)
            assert held.code == Code.CIRCUIT_OPEN
            assert held.variables == (known.variables if order == "7" else {"order_id": "unknown"})
        assert crm.stats.report()["total"] == calls
        code, output = await told(place, "status", "-c", str(config), "--once")
        assert (code, "held" in output) == (0, True)
        host, port = await front.address()
        asked = ("--app", str(APP), "--session", "s1", "--set", "node=order", "--set", "orderId=8")
        _, output = await told(place, "call", f"http://{host}:{port}/", *asked)
        assert "or is held" in output, "who looks for a failure of the backend finds none"
        assert await told(place, *hold, "--end") == (0, "crm is asked again\n")
        assert (await at.call(node="order", orderId="7")).code == 0


ASKING = """
from gateway.lookup import Ask

async def risk(ask: Ask):
    said = await ask.backend("risks").get("/risk")
    return {"risk": said.status}
"""


async def test_backend_that_python_lookups_alone_ask_is_held_and_seen_too(
    place: Place, crm: Crm, tmp_path: Path, desk: Desk
) -> None:
    """It has no lane. A worker that starts while it is held asks it not even once."""
    (tmp_path / "asking.py").write_text(ASKING)
    changes: dict[str, object] = {
        "backends.risks": {"url": crm.url},
        "lookups.risk": {"python": "asking:risk", "variables": {"risk": "risk"}, "fresh": "0s"},
    }
    route = '[[routes]]\nwhen = { node = "risk" }\nlookups = ["risk"]\n'
    text = place.config(changes).replace("[[routes]]", f"{route}[[routes]]", 1)
    config = written(tmp_path / "deskgate.toml", text)
    hold = ("hold", "risks", "-c", str(config))
    assert await told(place, *hold, "--for", "1m") == (0, "risks is held for 60 s\n")
    async with (
        GatewayProcess(config, place) as front,
        WorkerProcess(config, place, PYTHONPATH=str(tmp_path)),
    ):
        at = desk.at(await front.address())
        assert (await at.call(node="risk")).code == Code.CIRCUIT_OPEN
        assert crm.stats.report()["total"] == 0
        code, output = await told(place, "status", "-c", str(config), "--once")
        assert (code, "held" in output.split("risks")[1].splitlines()[0]) == (0, True), output
        assert await told(place, *hold, "--end") == (0, "risks is asked again\n")
        assert (await at.call(node="risk")).variables == {"risk": "404"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("erp",), "'erp' is not a backend"),
        (("cmr",), "did you mean 'crm'?"),
        (("crm", "--for", "soon"), "--for:"),
        (("crm", "--for", "0s"), "more than 0 s"),
        (("crm", "--for", "2h"), "60 min at most"),
    ],
)
async def test_hold_that_cannot_be_meant_is_refused(
    place: Place, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """With what to write instead."""
    config = written(tmp_path / "deskgate.toml", place.config())
    code, output = await told(place, "hold", *arguments, "-c", str(config))
    assert (code, said in output) == (2, True), output


async def test_hold_without_redis_is_no_hold(valkey: Valkey, place: Place, tmp_path: Path) -> None:
    """Nobody would hear of it."""
    valkey.stop()
    own = Place(valkey.url, place.prefix, place.crm_url)
    config = written(tmp_path / "deskgate.toml", own.config())
    code, output = await told(own, "hold", "crm", "-c", str(config))
    assert (code, "Redis cannot be reached: Error" in output) == (1, True), output
    code, output = await told(own, "explain", "-c", str(config), "--session", "s1")
    assert (code, "Redis cannot be reached: Error" in output) == (1, True), output


@pytest.mark.parametrize("option", ["--for=1m", "--end"])
async def test_hold_that_redis_refuses_is_no_hold(
    valkey: Valkey, place: Place, tmp_path: Path, option: str
) -> None:
    """A full server has not written it down: so nobody hears of it, and the command says why."""
    own = Place(valkey.url, place.prefix, place.crm_url)
    config = written(tmp_path / "deskgate.toml", own.config())
    async with Redis.from_url(valkey.url) as redis:
        await redis.config_set("maxmemory", 1)
    code, output = await told(own, "hold", "crm", option, "-c", str(config))
    assert (code, "Redis refuses: OOM" in output) == (1, True), output


async def test_one_wish_reloads_gateways_and_workers_once(place: Place, tmp_path: Path) -> None:
    """Each reads its own file: one that has not changed is read again, too, as after a SIGHUP."""
    path = tmp_path / "deskgate.toml"
    config = written(path, place.config({"gateway.admin_token": {"act": TOKEN}}))
    async with GatewayProcess(config, place) as front, WorkerProcess(config, place) as back:
        admin = (await front.event("gateway.started"))["admin"]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            for number in (1, 2):
                async with http.post(f"http://{admin}/console/api/actions/reload", json={}) as response:
                    assert response.status == 200
                for process in (front, back):
                    await process.event("config.reloaded", number)
            async with http.get(f"http://{admin}/console/api/me") as response:
                assert (await response.json())["right"] == "act"  # the new service answers
            line = await front.event("console.acted")
            assert (line["action"], line["remote"]) == ("reload", "127.0.0.1")
            watching = await http.get(f"http://{admin}/console/api/events/overview")
            await watching.content.readline()
            async with asyncio.timeout(8):  # a browser that watches holds up no rollout
                assert await front.end() == await back.end() == 0
            watching.close()
    assert [len(process.events("config.reloaded")) for process in (front, back)] == [2, 2]
