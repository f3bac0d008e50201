"""How a deployment stands, as Redis knows it: lanes, backends, gateways, and Redis."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Literal

import msgspec

from gateway.core.errors import QueueUnavailable
from gateway.declared.catalog import Catalog
from gateway.fleet.board import FleetBoard
from gateway.queue.census import LaneCensus, count_lanes
from gateway.resilience.shut import Gates, ShutBackends
from gateway.tools.fleet import reaching
from gateway.wire.keys import Keys, count_configurations, pattern_of
from gateway.wire.link import RedisLink
from gateway.wire.refusals import REFUSES, words_of

Health = Literal["ok", "no worker", "backlog"]
_LATE = 1.0


class LaneStatus(msgspec.Struct, frozen=True):
    """A lane: see :class:`LaneCensus`. It has the :class:`Gates` of its backend, too.

    ``workers_differ`` counts the workers that know other lookups, or other versions of them, than our file.
    """

    lane: str
    waiting: int
    refreshes: int
    claimed: int
    oldest_s: float | None
    workers: int
    free_slots: int
    jobs_per_s: float
    job_s: float | None
    polled_by_arq: bool
    breaker: str | None
    paused_s: float
    held_s: float = 0.0
    workers_differ: int = 0

    @property
    def health(self) -> Health:
        """Return what to look at first."""
        if not self.workers and not self.polled_by_arq:
            return "no worker"
        return "backlog" if self.oldest_s is not None and self.oldest_s > _LATE else "ok"


class RedisStatus(msgspec.Struct, frozen=True):
    """The server: the ms of a round trip, and what it tells of itself; None where it may not.

    ``refuses``: why it takes no writes. Workers cannot say that they live then, so lanes seem to have none.
    """

    up: bool
    ms: float | None = None
    error: str = ""
    refuses: str = ""
    version: str | None = None
    memory: str | None = None
    memory_limit: str | None = None
    clients: int | None = None


class Status(msgspec.Struct, frozen=True):
    """A deployment. ``gateways`` counts gateway processes, None without Redis; ``config`` is our file's.

    ``gateways_differ`` counts those that run another content of the file. ``backends`` are all, also those
    that Python lookups alone ask.
    """

    redis: RedisStatus
    gateways: int | None
    lanes: list[LaneStatus]
    config: str
    gateways_differ: int = 0
    backends: dict[str, Gates] = {}

    @property
    def fine(self) -> bool:
        """True if nothing is wrong that somebody should look at."""
        served = self.redis.up and not self.redis.refuses
        return served and bool(self.gateways) and all(lane.health == "ok" for lane in self.lanes)


class Watch:
    """Looks at a deployment as often as one likes."""

    def __init__(self, catalog: Catalog, link: RedisLink, keys: Keys, board: FleetBoard) -> None:
        """Take what is running, from :func:`watching`."""
        self._catalog, self._link, self._keys, self._board = catalog, link, keys, board
        self._shut = ShutBackends(board, catalog.backends)

    async def look(self) -> Status:
        """Return how it stands now; without Redis there is little to see."""
        try:
            begun = time.perf_counter()
            await self._link.execute("PING")
            ms = (time.perf_counter() - begun) * 1000
            await self._board.read()
            lanes = await count_lanes(self._link, self._keys, self._catalog.lanes)
            channels = await self._link.execute(
                "PUBSUB", "CHANNELS", f"{pattern_of(self._keys.replies(''))}*"
            )
        except QueueUnavailable as error:
            why = self._link.failure or error.__cause__ or error
            return Status(RedisStatus(up=False, error=words_of(why)), None, [], self._catalog.digest)
        gates = self._shut.gates()
        found = [
            _lane(name, one, gates[name], self._catalog.lane_digest(name)) for name, one in lanes.items()
        ]
        ours, gateways = self._catalog.digest, count_configurations(channels)
        differ = _differ(gateways, ours)
        return Status(await self._redis(ms), gateways.total(), found, ours, differ, gates)

    async def _refuses(self) -> str:
        try:
            await self._link.probe(self._keys)
        except QueueUnavailable as error:
            return self._link.why(error).removeprefix(REFUSES)
        return ""

    async def _redis(self, ms: float) -> RedisStatus:
        refuses = await self._refuses()
        try:
            lines = (await self._link.execute("INFO")).decode().splitlines()
        except QueueUnavailable:  # a user of its own may not ask
            return RedisStatus(up=True, ms=ms, refuses=refuses)
        told = {name: value for name, _, value in (line.partition(":") for line in lines)}
        return RedisStatus(
            up=True,
            ms=ms,
            refuses=refuses,
            version=told.get("valkey_version") or told.get("redis_version"),
            memory=told.get("used_memory_human"),
            memory_limit=None if told.get("maxmemory") in {None, "0"} else told.get("maxmemory_human"),
            clients=int(told.get("connected_clients", 0)),
        )


@asynccontextmanager
async def watching(catalog: Catalog, url: str) -> AsyncIterator[Watch]:
    """Connect for the length of the block; a Redis that is away is a finding, no failure."""
    async with reaching(catalog, url) as fleet:
        yield Watch(catalog, fleet.link, fleet.keys, fleet.board)


def _differ(found: Mapping[str, int], ours: str) -> int:
    """Return how many processes run by another digest; an earlier release does not tell its own."""
    return sum(count for digest, count in found.items() if digest not in {"", ours})


def _lane(name: str, one: LaneCensus, gates: Gates, digest: str) -> LaneStatus:
    return LaneStatus(
        name,
        one.waiting,
        one.refreshes,
        one.claimed,
        one.oldest,
        one.workers,
        one.free,
        one.rate,
        one.takes,
        one.polled,
        gates.breaker,
        gates.paused_s,
        gates.held_s,
        _differ(one.configurations, digest),
    )
