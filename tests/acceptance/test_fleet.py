"""A fleet of real workers asks one backend as one: breaker, pause and rate are of all of them together."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.declared.catalog import Catalog
from gateway.front.app import gateway
from tests.desk import Desk, Heard, Place, when
from tests.processes import WorkerProcess

pytestmark = pytest.mark.timeout(120)

WORKERS = 2
DOWN = "seed = 1\n[[rules]]\nshares = { error = 1 }\n"
THROTTLED = 'seed = 1\n[[rules]]\nshares = { error = 1 }\nstatus = 429\nheaders = { Retry-After = "2" }\n'


@asynccontextmanager
async def fleet(
    place: Place, tmp_path: Path, desk: Desk, changes: Mapping[str, object]
) -> AsyncIterator[tuple[Desk, list[WorkerProcess], Catalog]]:
    """A gateway and two worker processes, each of which knows of the other one."""
    settings = {**changes, "backends.crm.idle_before_reuse": "0s"}
    catalog = place.catalog(settings, fresh="0s")
    config = tmp_path / "deskgate.toml"
    config.write_text(place.config(settings, fresh="0s"))
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(WorkerProcess(config, place)) for _ in range(WORKERS)]
        running = await stack.enter_async_context(gateway(catalog))
        yield desk.at(running.callbacks), workers, catalog


def made(crm: Crm) -> int:
    """Return how many calls the CRM got so far."""
    return sum(crm.stats.calls.values())


async def ask(here: Desk, number: int) -> Heard:
    """Ask for an order in a session of its own."""
    return await here.call(f"s{number % 20}", node="order", orderId=str(number % 5))


async def counted(workers: list[WorkerProcess], event: str) -> int:
    """Return how often an event is in the logs of all workers."""
    return sum(len(worker.events(event)) for worker in workers)


async def test_backend_that_is_down_is_asked_by_a_probe_alone_until_it_is_well(
    place: Place, crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """Callbacks hear their last known answer at once, and nobody waits for a call that cannot succeed."""
    changes = {"backends.crm.breaker": {"break_duration": "1s"}}
    async with fleet(place, tmp_path, desk, changes) as (here, workers, _):
        for number in range(20):
            assert (await ask(here, number)).code == 0
        crm.put(DOWN)
        codes: list[int] = []
        while Code.CIRCUIT_OPEN not in codes[-20:] or codes[-20:].count(Code.CIRCUIT_OPEN) < 20:
            heard = await asyncio.gather(*(ask(here, number) for number in range(20)))
            codes += [one.code for one in heard]
            assert all(one.variables["order_id"] != "unknown" for one in heard)
        assert set(codes) <= {Code.BACKEND_UNAVAILABLE, Code.CIRCUIT_OPEN}
        before, begun = made(crm), time.monotonic()
        slowest = 0.0
        while time.monotonic() - begun < 3.5:
            slowest = max(slowest, *[(await ask(here, number)).took for number in range(20)])
        probes = made(crm) - before
        assert 1 <= probes <= 5  # after 1 s, 3 s, 7 s; and calls that were under way
        assert slowest < 1.0
        crm.put("")
        while (await ask(here, 1)).code:
            pass
        await when(lambda: any(worker.events("breaker.closed") for worker in workers))
        assert [(await ask(here, number)).code for number in range(20)] == [0] * 20
        opened, closed = await counted(workers, "breaker.opened"), await counted(workers, "breaker.closed")
    assert opened >= 2
    assert closed == 1


async def test_backend_that_asks_for_a_pause_gets_it_from_all_workers(
    place: Place, crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """For as long as it says; callbacks hear at once that it wants none."""
    async with fleet(place, tmp_path, desk, {}) as (here, workers, _):
        for number in range(20):
            assert (await ask(here, number)).code == 0
        crm.put(THROTTLED)
        before, begun = made(crm), time.monotonic()
        codes = set()
        while time.monotonic() - begun < 5.0:
            heard = await asyncio.gather(*(ask(here, number) for number in range(20)))
            codes |= {one.code for one in heard}
            assert all(one.variables["order_id"] != "unknown" for one in heard)
        calls = made(crm) - before
        paused = await counted(workers, "lane.paused")
        crm.put("")
        while (await ask(here, 1)).code:
            pass
        await when(lambda: any(worker.events("lane.resumed") for worker in workers))
    assert codes == {Code.BACKEND_THROTTLED}
    assert calls <= 20 + 3, "the calls under way when it began, and a probe after each pause"
    assert paused >= 2


async def test_rate_is_of_all_workers_together(place: Place, crm: Crm, desk: Desk, tmp_path: Path) -> None:
    """Each keeps to its share, without a word to the others."""
    changes: dict[str, object] = {"backends.crm.rate": "40/s"}
    async with fleet(place, tmp_path, desk, changes) as (here, workers, _):
        for worker in workers:
            await worker.event("worker.started")
        await asyncio.sleep(3)  # until each has swept, and knows of the other one
        ends = time.monotonic() + 4.0

        async def press(number: int) -> None:
            while time.monotonic() < ends:
                await here.call(f"s{number}", node="order", orderId=str(number))

        pressing = [asyncio.create_task(press(number)) for number in range(40)]
        seen = []
        for second in range(4):
            begun = made(crm)
            await asyncio.sleep(max(0.0, ends - 3 + second - time.monotonic()))
            seen.append(made(crm) - begun)
        await asyncio.gather(*pressing)
    assert all(36 <= calls <= 44 for calls in seen[1:]), seen
