"""Redis gone with all it held: scripts, jobs, registrations; normal service is back at once."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.front.app import gateway
from gateway.tools.processes import Valkey
from tests.desk import DESK_PATIENCE, Desk, Heard, Place, when
from tests.processes import GatewayProcess, WorkerProcess
from workers.main import workers

pytestmark = pytest.mark.timeout(60)

OUTAGE = {"fresh": "0s", "redis_timeout": "100ms", "budget": "600ms", "attempt_timeout": "5s"}
HANGING = "seed = 1\n[[rules]]\nshares = { hang = 1 }\n"
RETURNED = 3.0
"""Seconds after Redis' return until all is well: one, and slack for a busy machine."""


def written(tmp_path: Path, text: str) -> Path:
    """Return a configuration as a file."""
    path = tmp_path / "deskgate.toml"
    path.write_text(text)
    return path


async def until_answered(here: Desk, **variables: str) -> Heard:
    """Send callbacks of ever new sessions until one is answered; the test's time limit ends it."""
    while True:
        heard = await here.call(f"s{uuid4().hex[:8]}", node="order", **variables)
        if heard.code == 0:
            return heard
        await asyncio.sleep(0.01)


async def test_redis_that_comes_back_empty_is_forgotten_within_a_second(
    valkey: Valkey, crm: Crm, desk: Desk, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Scripts, jobs and registrations are gone with it; each process makes its own anew."""
    place = Place(valkey.url, f"t{uuid4().hex[:12]}", crm.url)
    config = written(tmp_path, place.config(**OUTAGE))
    async with GatewayProcess(config, place) as front, WorkerProcess(config, place) as worker:
        here = desk.at(await front.address())
        await until_answered(here, orderId="1")
        known = await here.call(node="order", orderId="1")
        assert known.code == 0
        crm.put(HANGING)
        in_hand = [asyncio.create_task(here.call(node="order", orderId="1"))]
        in_hand += [asyncio.create_task(here.call(f"s{n}", node="order", orderId="2")) for n in range(9)]
        await when(lambda: crm.stats.report()["in_flight"] == len(in_hand))
        valkey.kill()
        for heard in await asyncio.gather(*in_hand):
            assert heard.code in {Code.TIMEOUT, Code.QUEUE_UNAVAILABLE}
            assert heard.took < DESK_PATIENCE
        assert in_hand[0].result().variables == known.variables
        gone = await here.call(node="order", orderId="1")
        assert (gone.code, gone.variables) == (Code.QUEUE_UNAVAILABLE, known.variables)
        crm.put("")
        await asyncio.to_thread(valkey.start)
        returned = time.monotonic()
        await until_answered(here, orderId="3")
        took = time.monotonic() - returned
        assert took < RETURNED
        record_property("seconds until normal service", round(took, 3))
        for process in (front, worker):
            assert await process.event("redis.restored")
        assert (await here.call(node="order", orderId="1")).variables == known.variables


async def test_flushed_redis_is_in_normal_service_after_a_sweep(
    place: Place, valkey: Valkey, crm: Crm, desk: Desk
) -> None:
    """Somebody will type FLUSHALL, and no connection breaks to show it."""
    own = Place(valkey.url, place.prefix, crm.url)
    catalog = own.catalog(fresh="0s")
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        await until_answered(here, orderId="1")
        async with Redis.from_url(valkey.url) as redis:
            await redis.flushall()
            await redis.script_flush()
        began = time.monotonic()
        await until_answered(here, orderId="1")
        assert time.monotonic() - began < 2 * RETURNED
