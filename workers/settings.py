"""Settings for the ``arq`` command: it runs one lane, by arq's own polling."""

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from arq.connections import ArqRedis, RedisSettings

from gateway.core.errors import DeskgateError, QueueUnavailable
from gateway.declared.catalog import Catalog, load
from gateway.declared.environment import CONFIG_VARIABLE, LANE_VARIABLE, environment
from gateway.declared.redis_address import read_address
from gateway.fleet.board import FleetBoard
from gateway.history.recorder import recorder
from gateway.process.background import Background
from gateway.process.log_choice import choose_lines
from gateway.process.tracing import send_traces
from gateway.queue.jobs import WORKER_SILENT, deserialize_job, serialize_job
from gateway.telemetry.logs import configure_logs
from gateway.wire.connection import open_redis
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink
from workers.jobs import Lane
from workers.main import REDIS_TIMEOUT, arq_settings, open_lane

POLL_EVERY = 0.1
_RETRIES = 20


class NoLane(DeskgateError):
    """``DESKGATE_CONFIG`` or ``DESKGATE_LANE`` is missing or wrong."""


def worker_settings() -> dict[str, Any]:
    """Return the keyword arguments of ``arq.Worker``; raise NoLane or ConfigFaults."""
    path = environment(CONFIG_VARIABLE)
    if path is None:
        msg = f"set {CONFIG_VARIABLE} to the path of the configuration file"
        raise NoLane(msg)
    catalog = load(Path(path))
    name = _lane(catalog)
    # arq ends its process on the first call that fails (its issues 435 and 498): this client calls again.
    server = catalog.settings.redis
    redis = open_redis(server.url, REDIS_TIMEOUT, connect_timeout=server.connect_timeout, retries=_RETRIES)

    parts = AsyncExitStack()

    async def start(ctx: dict[str, Any]) -> None:
        configure_logs("worker")
        choose_lines(catalog.logs)
        send_traces("worker")
        link = RedisLink(server.url, REDIS_TIMEOUT, server.connect_timeout, Keys(server.prefix))
        parts.push_async_callback(link.close)
        await link.start()
        board = FleetBoard(link, Keys(server.prefix))
        parts.push_async_callback(board.close)
        await board.start(REDIS_TIMEOUT)
        lane = open_lane(catalog, name, link, board)
        parts.push_async_callback(lane.backend.close)
        await lane.backend.start()
        await parts.enter_async_context(recorder.recording(catalog, link, Keys(server.prefix)))
        presence = Background()
        parts.push_async_callback(presence.close)
        presence.start(_announce_presence(lane))
        ctx["lane"] = lane

    async def stop(_: dict[str, Any]) -> None:
        await parts.aclose()

    backend = catalog.backend(name)
    return {
        "queue_name": Keys(catalog.settings.redis.prefix).lane(name),
        "redis_pool": ArqRedis(redis.connection_pool, serialize_job, deserialize_job),
        "redis_settings": redis_settings(server.url),
        "on_startup": start,
        "on_shutdown": stop,
        "poll_delay": POLL_EVERY,
        "job_completion_wait": 5,
        **arq_settings(backend.concurrency, catalog.settings.gateway.budget + backend.attempt_timeout),
    }


async def _announce_presence(lane: Lane) -> None:
    """Let gateways know that this lane is polled: arq's own worker does not note its free slots."""
    while True:
        with suppress(QueueUnavailable):
            await lane.link.execute("SET", lane.keys.polled(lane.name), 1, "PX", int(WORKER_SILENT * 1000))
        await asyncio.sleep(WORKER_SILENT / 3)


def redis_settings(url: str) -> RedisSettings:
    """Return the server of ``url`` in arq's form, for ``arq --check``."""
    address = read_address(url)
    (first, port), *_ = address.hosts or [("", 6379)]
    return RedisSettings(
        host=[*address.hosts] if address.service else first,
        port=port,
        unix_socket_path=address.path or None,
        database=address.db,
        username=address.username,
        password=address.password,
        ssl=address.tls is not None,
        sentinel=bool(address.service),
        sentinel_master=address.service or "mymaster",
        **(address.tls or {}),
    )


def _lane(catalog: Catalog) -> str:
    name = environment(LANE_VARIABLE)
    if name is None and len(catalog.lanes) == 1:
        return catalog.lanes[0]
    if name not in catalog.lanes:
        msg = f"set {LANE_VARIABLE} to one of the lanes: {', '.join(catalog.lanes)}"
        raise NoLane(msg)
    return name
