"""A worker process: a PushWorker for each lane, all drained together."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from arq.connections import ArqRedis
from arq.worker import func

from gateway.declared.catalog import Catalog
from gateway.lookups.build import open_backend
from gateway.process.garbage import tune_collector
from gateway.queue.jobs import JOB_KEPT, RUN_LOOKUP, deserialize_job, serialize_job
from gateway.telemetry import events
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink
from workers.jobs import MAX_TRIES, Lane, run_lookup
from workers.push import PushWorker

REDIS_TIMEOUT = 5.0
"""Timeout of a worker's Redis call, in seconds. No callback waits for such a call."""

HEALTH_EVERY = 5.0
_PATIENCE = 2.0


def push_worker(lane: Lane) -> PushWorker:
    """Return the worker that runs a lane's jobs, not yet started."""
    worker = PushWorker(
        functions=[func(run_lookup, name=RUN_LOOKUP)],
        queue_name=lane.keys.lane(lane.name),
        redis_pool=ArqRedis(lane.link.redis.connection_pool, serialize_job, deserialize_job),
        handle_signals=False,
        max_jobs=lane.backend.concurrency,
        job_timeout=lane.longest_job + JOB_KEPT,
        keep_result=0,
        max_tries=MAX_TRIES,
        health_check_interval=HEALTH_EVERY,
        ctx={"lane": lane},
        job_serializer=serialize_job,
        job_deserializer=deserialize_job,
        log_results=False,
    )
    worker.prepare(lane)
    return worker


def open_lane(catalog: Catalog, name: str, link: RedisLink) -> Lane:
    """Return a lane with its backend open. The caller closes the backend. Raise ImportError."""
    backend = open_backend(catalog, name, bulkhead=False)
    return Lane(backend, link, Keys(catalog.settings.redis.prefix), catalog.settings.gateway.budget)


@asynccontextmanager
async def workers(catalog: Catalog, names: Sequence[str], grace: float) -> AsyncIterator[list[PushWorker]]:
    """Run the workers of the named lanes for the length of the block, then drain them for ``grace`` seconds.

    The end of each part is registered before the part starts, so that a failed or cancelled start leaves
    nothing behind. Raise ImportError for a Python lookup that cannot be imported.
    """
    async with AsyncExitStack() as stack:
        link = RedisLink(catalog.settings.redis.url, REDIS_TIMEOUT)
        stack.push_async_callback(link.close)
        lanes = []
        for name in names:
            lanes.append(open_lane(catalog, name, link))
            stack.push_async_callback(lanes[-1].backend.close)
        await link.start()
        running = [push_worker(lane) for lane in lanes]
        stack.push_async_callback(_drain, running, grace)
        for worker in running:
            worker.start()
        with suppress(TimeoutError):  # without Redis a worker starts, too, and goes on trying
            async with asyncio.timeout(_PATIENCE):
                await asyncio.gather(*(worker.registered.wait() for worker in running))
        events.worker_started(
            lanes=names, concurrency={lane.name: lane.backend.concurrency for lane in lanes}
        )
        yield running


async def _drain(running: Sequence[PushWorker], grace: float) -> None:
    left = await asyncio.gather(*(worker.drain(grace) for worker in running))
    events.worker_drained(jobs_left=sum(left))


async def run(catalog: Catalog, names: Sequence[str], grace: float) -> None:
    """Run workers until SIGTERM or SIGINT. If one fails, raise its exception."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with workers(catalog, names, grace) as running:
        tune_collector()
        stopped = asyncio.create_task(stop.wait())
        mains = [worker.main_task for worker in running if worker.main_task is not None]
        await asyncio.wait([stopped, *mains], return_when=asyncio.FIRST_COMPLETED)
        for main in mains:
            if main.done():
                main.result()
