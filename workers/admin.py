"""The admin port of a worker process: whether it is live and takes jobs, and what it has counted."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from gateway.declared.catalog import Catalog
from gateway.declared.values import Address
from gateway.edge.admin import Scraped, Status, admin_handler, error_page
from gateway.edge.listener import Limits
from gateway.edge.port import Port
from gateway.process.metrics import Metrics
from gateway.process.release import RELEASE
from gateway.process.signals import Signals
from gateway.resilience.gauges import gauges_of_gates
from gateway.resilience.shut import ShutBackends
from gateway.telemetry.families import INFO, Gauge
from gateway.telemetry.tally import tally
from workers.push import PushWorker

LIMITS = Limits(header_timeout=5.0, idle_timeout=75.0, most=32)


class Watched(Protocol):
    """A worker process, as its admin port sees it."""

    @property
    def catalog(self) -> Catalog:
        """What it runs."""
        ...

    @property
    def running(self) -> Sequence[PushWorker]:
        """Its workers, one for each lane."""
        ...


@asynccontextmanager
async def admin_port(process: Watched, signals: Signals, address: Address) -> AsyncIterator[Port]:
    """Serve the admin port for the length of the block; raise OSError if its address is taken."""
    metrics = Metrics()

    def redis_up() -> bool:
        return bool(process.running) and all(worker.lane.link.present.is_set() for worker in process.running)

    async def status() -> Status:
        absent = [f"lane:{one.lane.name}" for one in process.running if not one.registered.is_set()]
        missing = absent if redis_up() else ["redis"]
        return Status(signals.stop.is_set(), missing, RELEASE, process.catalog.digest)

    async def scrape(accept: str) -> Scraped:
        gauges = [Gauge(INFO, {(RELEASE, process.catalog.digest): 1.0})]
        if process.running:
            board = process.running[0].lane.board
            gauges += gauges_of_gates(ShutBackends(board, process.catalog.backends))
        return Scraped(*await metrics.page(gauges, accept))

    tally.redis_up = redis_up
    async with Port(admin_handler(status, scrape), error_page, address, limits=LIMITS) as port:
        yield port
