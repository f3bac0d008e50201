"""``deskgate status``: what somebody on call sees first, of real processes."""

import asyncio
import json
import os
import pty
import sys
from dataclasses import replace
from pathlib import Path
from signal import SIGHUP
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from gateway.crm.server import Crm
from gateway.resilience.gate import Gate
from gateway.tools.processes import Valkey
from tests.acceptance.test_prefork import written
from tests.desk import Desk, Place, when
from tests.processes import GatewayProcess, Process, WorkerProcess, told

pytestmark = pytest.mark.timeout(120)

HANGING = "seed = 1\n[[rules]]\nshares = { hang = 1 }\n"


async def status(config: Path, place: Place, *options: str) -> tuple[int, str]:
    """Return the exit code and the output of the command."""
    return await told(place, "status", "-c", str(config), *options)


async def seen(config: Path, place: Place) -> tuple[int, dict[str, Any]]:
    """Return the exit code, and what the JSON says."""
    code, output = await status(config, place, "--json")
    return code, json.loads(output)


async def test_a_deployment_that_works_is_fine(place: Place, tmp_path: Path, desk: Desk) -> None:
    """Exit 0, each part counted."""
    config = written(tmp_path / "deskgate.toml", place.config())
    async with GatewayProcess(config, place) as front, WorkerProcess(config, place) as worker:
        await desk.at(await front.address()).call(node="order", orderId="1")
        await worker.event("lookup.finished")
        code, found = await seen(config, place)
        assert (code, found["redis"]["up"], found["gateways"]) == (0, True, 1)
        (lane,) = found["lanes"]
        assert (lane["lane"], lane["workers"], lane["free_slots"], lane["breaker"]) == (
            "crm",
            1,
            20,
            "closed",
        )
        assert found["config"] == (await front.event("gateway.started"))["config"]
        code, text = await status(config, place)
        assert code == 0
        assert [line.split()[0] for line in text.splitlines() if line] == [
            *("redis", "gateways", "seen", "lane", "crm")
        ]
        async with Process(
            "-m", "workers", "-c", str(config), environ={**place.environ}
        ) as second:  # a further worker is one more
            await second.event("worker.started")
            assert (await seen(config, place))[1]["lanes"][0]["workers"] == 2


async def test_prefix_with_signs_of_patterns_hides_no_gateway(place: Place, tmp_path: Path) -> None:
    """Redis takes the names of channels for patterns when it is asked which there are."""
    place = replace(place, prefix=f"{place.prefix}[1]*")
    config = written(tmp_path / "deskgate.toml", place.config())
    async with GatewayProcess(config, place) as front, WorkerProcess(config, place) as worker:
        await front.event("gateway.started")
        await worker.event("worker.started")
        code, found = await seen(config, place)
    assert (code, found["gateways"]) == (0, 1)


async def test_a_rollout_that_is_half_done_is_told(place: Place, tmp_path: Path) -> None:
    """Against our file: a comment makes another content of it, and the same lookups."""
    old = written(tmp_path / "old.toml", place.config())
    new = written(tmp_path / "new.toml", place.config({"lookups.order.variables.order_id": "number"}))
    remarked = tmp_path / "remarked.toml"
    remarked.write_text(old.read_text("utf-8") + "# as agreed\n", encoding="utf-8")
    async with (
        GatewayProcess(old, place) as front,
        WorkerProcess(old, place) as worker,
        Process("-m", "workers", "-c", str(new), environ={**place.environ}) as other,
    ):
        await front.address()
        await asyncio.gather(worker.event("worker.started"), other.event("worker.started"))

        async def differ(config: Path) -> tuple[int, int, int]:
            code, found = await seen(config, place)
            return code, found["gateways_differ"], found["lanes"][0]["workers_differ"]

        assert await differ(old) == (0, 0, 1)
        assert await differ(new) == (0, 1, 1)
        assert await differ(remarked) == (0, 1, 1)
        _, text = await status(new, place)
    assert "1 of 1 gateways, 1 of 2 workers of crm run another configuration than this file" in text


async def test_a_process_that_has_reloaded_is_one(place: Place, tmp_path: Path) -> None:
    """It hears the answers to its last callbacks for half a minute more, under the name that it had."""
    config = written(tmp_path / "deskgate.toml", place.config())
    async with GatewayProcess(config, place) as front, WorkerProcess(config, place) as worker:
        await front.address()
        for number in (1, 2):
            written(config, place.config(budget=f"{number}s"))
            for process in (front, worker):
                process.signal(SIGHUP)
                await process.event("config.reloaded", number)
        code, found = await seen(config, place)
    assert (code, found["gateways"], found["gateways_differ"]) == (0, 1, 0)
    assert (found["lanes"][0]["workers"], found["lanes"][0]["workers_differ"]) == (1, 0)


async def test_jobs_that_wait_are_shown_with_their_age(
    place: Place, crm: Crm, tmp_path: Path, desk: Desk
) -> None:
    """Workers that do not suffice: one reads it off the oldest job."""
    changes = {"backends.crm.concurrency": 2}
    config = written(tmp_path / "deskgate.toml", place.config(changes, attempt_timeout="30s", budget="20s"))
    crm.put(HANGING)
    async with GatewayProcess(config, place) as front, WorkerProcess(config, place):
        desk = desk.at(await front.address())
        calls = [
            asyncio.create_task(desk.call(f"s{number}", node="order", orderId=str(number)))
            for number in range(5)
        ]
        await when(lambda: crm.stats.report()["total"] == 2)
        while True:
            code, found = await seen(config, place)
            (lane,) = found["lanes"]
            if lane["waiting"] == 3 and lane["oldest_s"] > 1.0:
                break
        assert (code, lane["claimed"], lane["free_slots"]) == (1, 2, 0)
        for one in calls:
            one.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_breaker_and_pause_are_those_of_the_fleet(place: Place, tmp_path: Path) -> None:
    """Read off the board, without a process of the deployment."""
    config = written(tmp_path / "deskgate.toml", place.config())
    redis = Redis.from_url(place.redis_url)
    seconds, micros = await redis.time()
    now = seconds + micros / 1e6
    for entry, length in (("breaker", 60.0), ("pause", 30.0)):
        gate = msgspec.msgpack.encode((1.0, Gate(now + length, length)))
        await redis.set(f"{place.prefix}:board:{entry}:crm", gate)
    await redis.aclose()
    code, found = await seen(config, place)
    (lane,) = found["lanes"]
    assert (code, lane["workers"], found["gateways"]) == (1, 0, 0)
    assert lane["breaker"] == "open"
    assert 25 < lane["paused_s"] <= 30


async def test_redis_that_is_away_is_a_finding(tmp_path: Path, crm: Crm, valkey: Valkey) -> None:
    """The output is still JSON, with the reason."""
    place = Place(valkey.url, "lost", crm.url)
    config = written(tmp_path / "deskgate.toml", place.config())
    valkey.stop()
    code, found = await seen(config, place)
    assert (code, found["redis"]["up"], found["gateways"], found["lanes"]) == (1, False, None, [])
    assert found["redis"]["error"]
    code, text = await status(config, place)
    assert (code, "cannot be reached" in text) == (1, True)


async def test_redis_that_is_silent_has_a_reason_too(tmp_path: Path, place: Place) -> None:
    """A server without TLS says nothing to a greeting of TLS; an error without words was shown as none."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.append(writer)

    gone = list[asyncio.StreamWriter]()
    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        url = f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        away = Place(url, place.prefix, place.crm_url)
        config = written(tmp_path / "deskgate.toml", away.config())
        code, found = await seen(config, away)
        assert (code, found["redis"]["error"]) == (
            1,
            "no answer in time; does it speak TLS, if the url says so?",
        )
        code, text = await told(away, "explain", "-c", str(config), "--session", "s1")
        assert (code, "Redis cannot be reached: no answer in time" in text) == (1, True), text
        await when(lambda: len(gone) > 1)


async def test_redis_that_is_full_is_told_and_not_the_workers_alone(
    tmp_path: Path, crm: Crm, valkey: Valkey
) -> None:
    """Workers cannot write that they live: "no worker runs" would send somebody to restart them."""
    place = Place(valkey.url, "full", crm.url)
    config = written(tmp_path / "deskgate.toml", place.config())
    async with Redis.from_url(valkey.url) as redis:
        await redis.config_set("maxmemory", 1)
    code, found = await seen(config, place)
    assert (code, found["redis"]["up"], found["redis"]["refuses"][:3]) == (1, True, "OOM")
    code, text = await status(config, place)
    assert (code, "takes no writes" in text) == (1, True)
    code, text = await told(place, "health", "-c", str(config))
    assert (code, "no worker runs for crm: Redis refuses: OOM" in text) == (1, True), text


async def test_user_who_may_not_ask_for_much_sees_the_lanes(tmp_path: Path, crm: Crm, valkey: Valkey) -> None:
    """README's rights for a user of deskgate's own leave out INFO."""
    redis = Redis.from_url(valkey.url)
    rights = ("~narrow:*", "~arq:*", "&narrow:*", "+@all", "-@dangerous")
    await redis.execute_command("ACL", "SETUSER", "narrow", "on", ">secret", *rights)
    await redis.aclose()
    url = valkey.url.replace("unix://", "unix://narrow:secret@")
    place = Place(url, "narrow", crm.url)
    config = written(tmp_path / "deskgate.toml", place.config())
    async with GatewayProcess(config, place) as front, WorkerProcess(config, place) as worker:
        await front.event("gateway.started")
        await worker.event("worker.started")
        code, found = await seen(config, place)
    assert (code, found["redis"]["version"], found["lanes"][0]["workers"]) == (0, None, 1)


async def test_on_a_terminal_it_is_refreshed(place: Place, tmp_path: Path) -> None:
    """Until Ctrl-C."""
    config = written(tmp_path / "deskgate.toml", place.config())
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "status", "-c", str(config)),
        env={**os.environ, **place.environ, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    heard = b""
    while heard.count(b"seen") < 2:
        heard += await asyncio.to_thread(os.read, ours, 4096)
    assert b"none" in heard
    process.terminate()
    await process.wait()
    os.close(ours)
