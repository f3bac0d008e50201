"""Metrics of real processes: each callback counted once, by whichever process, and scraped by Prometheus."""

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.crm.server import Crm
from gateway.front.app import gateway
from gateway.tools.processes import Valkey
from tests.acceptance.family import children_of, gone
from tests.acceptance.test_prefork import Gateways, call, written
from tests.desk import Desk, Place
from tests.processes import GatewayProcess, Process, WorkerProcess
from tests.prometheus import Prometheus, needs_prometheus, promtool

pytestmark = pytest.mark.timeout(120)

FAILING = "seed = 1\n[[rules]]\nshares = { error = 1 }\nstatus = 500\n"


class Watched(WorkerProcess):
    """A worker with an admin port of its own."""

    def __init__(self, config: Path, place: Place, admin: str) -> None:
        """Take the configuration, and the address of the port."""
        super().__init__(config, place)
        self._command = (*self._command, "--admin", admin)


def free_port() -> int:
    """Return a port that nobody listens on."""
    import socket  # noqa: PLC0415 - for this alone

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def scrape(admin: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the samples of a scrape, over a connection of its own."""
    async with aiohttp.ClientSession() as http, http.get(f"http://{admin}/metrics") as response:
        assert response.status == 200
        page = await response.text()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def total(
    samples: Mapping[tuple[str, tuple[tuple[str, str], ...]], float], name: str, **labels: str
) -> float:
    """Return the sum of a metric's samples that have these labels."""
    return sum(
        value
        for (found, its), value in samples.items()
        if found == name and labels.items() <= dict(its).items()
    )


async def admin_of(front: Process) -> str:
    """Return the address of a gateway's admin port."""
    return str((await front.event("gateway.started"))["admin"])


async def test_gateway_and_worker_count_what_they_do(
    place: Place, crm: Crm, tmp_path: Path, desk: Desk
) -> None:
    """The figures that one would look for in the log."""
    config = written(tmp_path / "deskgate.toml", place.config(attempt_timeout="1s", budget="2s"))
    worker_admin = f"127.0.0.1:{free_port()}"
    async with GatewayProcess(config, place) as front, Watched(config, place, worker_admin) as worker:
        desk = desk.at(await front.address())
        await desk.call("s1", node="order", orderId="1")
        await desk.call("s1", node="order", orderId="1")
        crm.put(FAILING)
        assert (await desk.call("s2", node="order", orderId="2")).code == 120002
        assert (await desk.call("s2", node="nowhere")).code == 120103
        await worker.event("lookup.finished", 2)
        front_told, worker_told = await scrape(await admin_of(front)), await scrape(worker_admin)
        async with desk.http.get(f"http://{worker_admin}/ready") as response:
            assert (response.status, (await response.json())["status"]) == (200, "ready")
    callbacks = "deskgate_callbacks_total"
    assert total(front_told, callbacks, code_name="OK") == 2
    assert total(front_told, callbacks, code_name="BACKEND_UNAVAILABLE") == 1
    assert total(front_told, "deskgate_callbacks_refused_total", code_name="NO_ROUTE") == 1
    for source in ("live", "fresh", "fallback"):
        assert total(front_told, "deskgate_lookup_answers_total", lookup="order", source=source) == 1
    assert total(front_told, "deskgate_callback_seconds_count") == 3
    assert total(front_told, "deskgate_workers", lane="crm") == 1
    assert total(front_told, "deskgate_redis_up") == total(worker_told, "deskgate_redis_up") == 1
    assert total(front_told, "deskgate_breaker_state", backend="crm", state="closed") == 1
    attempts = "deskgate_backend_attempts_total"
    assert total(worker_told, attempts, backend="crm", outcome="OK") == 1
    assert total(worker_told, attempts, backend="crm", outcome="BACKEND_UNAVAILABLE") == 3
    assert total(worker_told, "deskgate_backend_seconds_count", backend="crm") == 4
    assert total(worker_told, "deskgate_lane_wait_seconds_count", lane="crm") == 2
    assert total(worker_told, "process_resident_memory_bytes") > 0


async def test_processes_of_one_address_are_counted_together(
    place: Place, tmp_path: Path, desk: Desk
) -> None:
    """Whichever is asked, also when some have been replaced, and one was killed. The count never falls."""
    config = written(tmp_path / "deskgate.toml", place.config())
    async with Gateways(config, place) as front, WorkerProcess(config, place):
        await front.addresses()
        desk, admin = desk.at(await front.address()), await admin_of(front)
        seen = [0.0]

        async def counted() -> float:
            for _ in range(8):  # by chance these reach both
                seen.append(total(await scrape(admin), "deskgate_callbacks_total"))
                assert seen[-1] >= seen[-2]
            return seen[-1]

        await asyncio.gather(*(call(desk, f"s{number}") for number in range(40)))
        while await counted() < 40:  # the line of the last one may come after its answer
            pass
        assert seen[-1] == 40
        front.signal(signal.SIGHUP)
        await front.event("gateway.drained", 2)
        await front.event("gateway.started", 4)
        assert await counted() == 40
        await asyncio.gather(*(call(desk, f"t{number}") for number in range(40)))
        while await counted() < 80:
            pass
        killed = children_of(front.pid)[:1]
        killed[0].kill()
        await gone(killed)
        await front.event("gateway.started", 5)
        assert await counted() == 80
        assert total(await scrape(admin), "deskgate_redis_up") == 1


async def test_scrape_is_answered_without_redis(crm: Crm, valkey: Valkey) -> None:
    """When one looks, it may be Redis that is gone."""
    place = Place(valkey.url, "lost", crm.url)
    async with gateway(place.catalog(redis_timeout="200ms")) as running:
        valkey.stop()
        admin = f"127.0.0.1:{running.admin[1]}"
        told = await scrape(admin)
        while total(told, "deskgate_redis_up"):
            told = await scrape(admin)
        assert total(told, "deskgate_workers") == 0
        assert ("deskgate_redis_up", ()) in told


async def test_worker_whose_admin_port_is_taken_says_so(place: Place, tmp_path: Path) -> None:
    """Two workers on one machine: the second one needs another port."""
    config = written(tmp_path / "deskgate.toml", place.config())
    admin = f"127.0.0.1:{free_port()}"
    async with Watched(config, place, admin):
        second = Process(
            *("-m", "gateway", "worker", "-c", str(config), "--admin", admin), environ=place.environ
        )
        async with second:
            assert await second.ended() == 2
            assert "cannot listen" in second.lines[-1]["text"]
        wrong = Process(
            *("-m", "gateway", "worker", "-c", str(config), "--admin", "x"), environ=place.environ
        )
        async with wrong:
            assert await wrong.ended() == 2
            assert "is not host:port" in wrong.lines[-1]["text"]


async def test_worker_keeps_its_port_until_a_restart(place: Place, tmp_path: Path) -> None:
    """A new address in the file is refused, and the old one goes on."""
    before = {"worker.admin": f"127.0.0.1:{free_port()}"}
    config = written(tmp_path / "deskgate.toml", place.config(before))
    async with WorkerProcess(config, place) as worker:
        assert await scrape(before["worker.admin"])
        written(config, place.config({"worker.admin": f"127.0.0.1:{free_port()}"}))
        worker.signal(signal.SIGHUP)
        refused = await worker.event("config.refused")
        assert "keeps its port" in str(refused["faults"])
        told = await scrape(before["worker.admin"])
        assert total(told, "deskgate_config_last_reload_successful") == 0
        written(config, place.config(before))
        await worker.event("config.reloaded")
        told = await scrape(before["worker.admin"])
        assert total(told, "deskgate_config_last_reload_successful") == 1, "the alert would never end"


@needs_prometheus
async def test_prometheus_scrapes_both_and_finds_no_fault(place: Place, tmp_path: Path, desk: Desk) -> None:
    """Its own linter, and its own reading."""
    config = written(tmp_path / "deskgate.toml", place.config())
    admin = f"127.0.0.1:{free_port()}"
    async with GatewayProcess(config, place) as front, Watched(config, place, admin):
        desk = desk.at(await front.address())
        await desk.call("s1", node="order", orderId="1")
        for one in (await admin_of(front), admin):
            async with desk.http.get(f"http://{one}/metrics") as response:
                page = await response.read()
            promtool("check", "metrics", given=page)
        targets = {"gateway": [await admin_of(front)], "worker": [admin]}
        async with Prometheus(tmp_path, targets) as prometheus:
            await prometheus.until('sum(deskgate_callbacks_total{code="0"}) == 1')
            await prometheus.until('deskgate_backend_attempts_total{job="worker",outcome="OK"} == 1')
            assert await prometheus.value("min(up)") == 1
            await prometheus.until(
                "histogram_quantile(0.99, sum by (le) (deskgate_callback_seconds_bucket)) > 0"
            )
