"""How the deployment stands: what ``deskgate status`` sees, with five minutes of charts."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from gateway.console.charts import Chart, Charts
from gateway.console.sight import Sight
from gateway.core.errors import QueueUnavailable
from gateway.declared.catalog import Catalog
from gateway.process.release import RELEASE
from gateway.resilience.shut import Gates
from gateway.tools.status.look import LaneStatus, RedisStatus, Status, Watch

LOOK_EVERY = 2.0
"""Seconds between two looks; all who watch share them."""


class BackendSeen(msgspec.Struct, frozen=True):
    """A backend: its lane, what keeps it from being asked, its chart, its lookups.

    ``rate`` is what it may be asked a second, where one is declared.
    """

    name: str
    kind: str
    health: str
    lane: LaneStatus | None
    gates: Gates | None
    chart: Chart
    rate: float | None
    lookups: list[str]


class Seen(msgspec.Struct, frozen=True):
    """The deployment. ``history`` is the level: without one there are no charts."""

    at: float
    release: str
    config: str
    history: str
    redis: RedisStatus
    gateways: int | None
    gateways_differ: int
    callbacks: Chart
    backends: list[BackendSeen]


class Overview:
    """Looks at the deployment, for everybody who asks."""

    def __init__(self, sight: Sight, clock: Callable[[], float] = time.time) -> None:
        """Take the connection to Redis. ``clock`` returns Unix time."""
        self._sight, self._clock = sight, clock
        self._charts = Charts()
        self._looking = asyncio.Lock()
        self._seen: Seen | None = None
        self._at = -LOOK_EVERY
        self._catalog: Catalog | None = None

    async def look(self) -> Seen:
        """Return how it stands; what was seen less than a look ago is seen still."""
        async with self._looking:
            now = time.monotonic()
            catalog = self._sight.service().catalog
            if self._seen is None or now - self._at >= LOOK_EVERY / 2 or catalog is not self._catalog:
                self._seen = await self._look()
                self._at, self._catalog = now, catalog
            return self._seen

    def forget(self) -> None:
        """Look anew the next time: something has been changed."""
        self._seen = None

    async def _look(self) -> Seen:
        service, link = self._sight.service(), await self._sight.link()
        catalog, now = service.catalog, self._clock()
        status = await Watch(catalog, link, service.keys, service.board).look()
        if status.redis.up:
            with suppress(QueueUnavailable):  # it has gone since
                await self._charts.read(link, service.keys, now)
        lanes = {lane.lane: lane for lane in status.lanes}
        backends = [self._backend(catalog, name, lanes.get(name), status, now) for name in catalog.backends]
        return Seen(
            now,
            RELEASE,
            catalog.digest,
            catalog.settings.history.level,
            status.redis,
            status.gateways,
            status.gateways_differ,
            self._charts.callbacks(now),
            backends,
        )

    def _backend(
        self, catalog: Catalog, name: str, lane: LaneStatus | None, status: Status, now: float
    ) -> BackendSeen:
        lookups = [one.name for one in catalog.lookups.values() if one.lane == name]
        settings = catalog.backend(name)
        health = lane.health if lane is not None else "unknown" if lookups else "unused"
        rate: Any = settings.rate
        return BackendSeen(
            name,
            settings.speaks,
            health,
            lane,
            status.backends.get(name),
            self._charts.backend(name, now),
            None if rate is None else float(rate),
            lookups,
        )
