"""Real outages: Redis, workers and gateways are killed, stopped and started again."""

import asyncio
import signal
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.front.app import gateway
from gateway.tools.processes import Valkey
from tests.desk import DESK_PATIENCE, Desk, Heard, Place, when
from tests.processes import GatewayProcess, WorkerProcess

pytestmark = pytest.mark.timeout(60)

HANGING = "seed = 1\n[[rules]]\nshares = { hang = 1 }\n"


@pytest.fixture
def own_place(valkey: Valkey, crm: Crm) -> Place:
    """Where this test's parts live: on a Valkey that it may kill."""
    return Place(valkey.url, f"t{uuid4().hex[:12]}", crm.url)


def written(tmp_path: Path, place: Place, **knobs: str) -> Path:
    """Return the test configuration as a file."""
    path = tmp_path / "deskgate.toml"
    path.write_text(place.config(**knobs))
    return path


async def until(desk: Desk, code: int, **variables: str) -> Heard:
    """Send callbacks until one has ``code``; the test's time limit ends it."""
    while True:
        heard = await desk.call(node="order", **variables)
        if heard.code == code:
            return heard
        await asyncio.sleep(0.01)


async def test_gateway_starts_without_redis_and_serves_when_it_comes(
    own_place: Place, valkey: Valkey, desk: Desk, tmp_path: Path
) -> None:
    """The order in which machines come up is nobody's to choose."""
    valkey.stop()
    catalog = own_place.catalog()
    with capture_logs() as lines:
        async with gateway(catalog) as running, WorkerProcess(written(tmp_path, own_place), own_place):
            here = desk.at(running.callbacks)
            heard = await here.call(node="order", orderId="1")
            assert (heard.code, heard.variables) == (Code.QUEUE_UNAVAILABLE, {"order_id": "unknown"})
            assert await running.service.readiness.missing() == ["redis"]
            await asyncio.to_thread(valkey.start)
            assert (await until(here, 0, orderId="1")).variables["order_id"] == "1"
            assert await running.service.readiness.missing() == []
    assert [line["event"] for line in lines].count("redis.lost") == 1


@pytest.mark.parametrize("way", ["killed", "hanging"])
async def test_lost_redis_leaves_the_records_in_memory(
    way: str, own_place: Place, valkey: Valkey, desk: Desk, tmp_path: Path
) -> None:
    """Callbacks go on being answered, in time, with what this process has seen; the loss is logged once."""
    catalog = own_place.catalog(fresh="0s", redis_timeout="500ms")
    config = written(tmp_path, own_place, fresh="0s")
    async with gateway(catalog) as running, WorkerProcess(config, own_place):
        here = desk.at(running.callbacks)
        first = await here.call(node="order", orderId="1")
        assert first.code == 0
        with capture_logs() as lines:
            if way == "killed":
                valkey.kill()
            else:
                valkey.signal(signal.SIGSTOP)
            lost = await until(here, Code.QUEUE_UNAVAILABLE, orderId="1")
            assert lost.variables == first.variables
            assert lost.took < DESK_PATIENCE
            for _ in range(20):
                assert (await here.call(node="order", orderId="1")).took < DESK_PATIENCE
            if way == "killed":
                await asyncio.to_thread(valkey.start)
            else:
                valkey.signal(signal.SIGCONT)
            assert (await until(here, 0, orderId="1")).variables == first.variables
        events = [line["event"] for line in lines]
        assert (events.count("redis.lost"), events.count("redis.restored")) == (1, 1)


async def test_killed_worker_costs_callbacks_their_live_answers_and_nothing_else(
    own_place: Place, desk: Desk, tmp_path: Path
) -> None:
    """With the only worker gone the last known variables go out; with another one all is well again."""
    config = written(tmp_path, own_place, fresh="0s", budget="400ms")
    async with gateway(own_place.catalog(fresh="0s", budget="400ms")) as running:
        here = desk.at(running.callbacks)
        async with WorkerProcess(config, own_place) as worker:
            first = await here.call(node="order", orderId="1")
            assert first.code == 0
            await worker.kill()
        without = await here.call(node="order", orderId="1")
        assert (without.code, without.variables) == (Code.NO_WORKERS, first.variables)
        assert without.took < DESK_PATIENCE
        async with WorkerProcess(config, own_place):
            assert (await until(here, 0, orderId="1")).variables == first.variables


async def test_late_answer_is_kept_even_if_its_gateway_has_died(
    own_place: Place, crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """The worker writes the record itself; another gateway serves it."""
    knobs = {"budget": "3s", "attempt_timeout": "3s"}
    config = written(tmp_path, own_place, **knobs)
    crm.put('seed = 1\n[[rules]]\nlatency = { fixed = "500ms" }\nshares = { ok = 1 }\n')
    async with WorkerProcess(config, own_place) as worker:
        async with GatewayProcess(config, own_place) as doomed:
            calling = asyncio.create_task(desk.at(await doomed.address()).call(node="order", orderId="1"))
            await when(lambda: crm.stats.report()["in_flight"])
            await doomed.kill()
            await asyncio.gather(calling, return_exceptions=True)
        await worker.event("lookup.finished")
        async with gateway(own_place.catalog(**knobs)) as running:
            with capture_logs() as lines:
                heard = await desk.at(running.callbacks).call(node="order", orderId="1")
    assert (heard.code, heard.variables["order_id"]) == (0, "1")
    answered = next(line for line in lines if line["event"] == "callback.answered")
    assert answered["lookups"]["order"]["source"] == "fresh"
    assert crm.stats.report()["total"] == 1


async def test_worker_killed_in_mid_job_leaves_the_job_to_another(
    own_place: Place, crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """The waiter is answered at its deadline; the next callback is not held up by a dead job."""
    knobs = {"budget": "300ms", "attempt_timeout": "200ms"}
    config = written(tmp_path, own_place, **knobs)
    crm.put(HANGING)
    async with gateway(own_place.catalog(**knobs)) as running:
        here = desk.at(running.callbacks)
        async with WorkerProcess(config, own_place) as worker:
            calling = asyncio.create_task(here.call(node="order", orderId="1"))
            await when(lambda: crm.stats.report()["in_flight"])
            await worker.kill()
            heard = await calling
        assert (heard.code, heard.variables) == (Code.TIMEOUT, {"order_id": "unknown"})
        assert heard.took < DESK_PATIENCE
        crm.put("")
        async with WorkerProcess(config, own_place):
            assert (await until(here, 0, orderId="1")).variables["order_id"] == "1"


async def test_callback_of_a_killed_worker_is_answered_live_by_another(
    own_place: Place, crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """A worker that is killed costs time, and of that no more than the budget has."""
    config = written(tmp_path, own_place, budget="1.6s")
    roomy = tmp_path / "roomy.toml"  # the worker with the most free slots gets the job
    roomy.write_text(own_place.config({"backends.crm.concurrency": 50}, budget="1.6s"))
    crm.put(HANGING)
    async with (
        gateway(own_place.catalog(budget="1.6s")) as running,
        WorkerProcess(config, own_place),
        WorkerProcess(roomy, own_place) as doomed,
    ):
        calling = asyncio.create_task(desk.at(running.callbacks).call(node="order", orderId="1"))
        await when(lambda: crm.stats.report()["in_flight"])
        crm.put("")
        await doomed.kill()
        heard = await calling
    assert (heard.code, heard.variables["order_id"]) == (0, "1")
    assert heard.took < DESK_PATIENCE


async def test_sigterm_drains_gateway_and_worker(
    own_place: Place, crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """A deploy in the middle of a callback loses nothing: both finish what they have and exit 0."""
    config = written(tmp_path, own_place, budget="5s")
    crm.put('seed = 1\n[[rules]]\nlatency = { fixed = "300ms" }\nshares = { ok = 1 }\n')
    async with GatewayProcess(config, own_place) as front, WorkerProcess(config, own_place) as worker:
        calling = asyncio.create_task(desk.at(await front.address()).call(node="order", orderId="1"))
        await when(lambda: crm.stats.report()["in_flight"])
        front_code, worker_code = await asyncio.gather(front.end(), worker.end())
        heard = await calling
    assert (front_code, worker_code) == (0, 0)
    assert (heard.code, heard.variables["order_id"]) == (0, "1")
    assert worker.events("worker.drained")[0]["jobs_left"] == 0
