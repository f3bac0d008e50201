"""A worker process: a PushWorker for each lane, all drained together."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from arq.connections import ArqRedis
from arq.worker import func

from gateway.declared.catalog import Catalog
from gateway.declared.reading import ConfigFaults, Fault
from gateway.declared.values import Address
from gateway.fleet.board import FleetBoard
from gateway.fleet.reloading import ReloadWishes
from gateway.history.recorder import recorder
from gateway.lookups.build import open_backend
from gateway.process.background import Background
from gateway.process.config_file import ConfigFile
from gateway.process.following import follow
from gateway.process.garbage import tune_collector
from gateway.process.log_choice import choose_lines
from gateway.process.release import RELEASE
from gateway.process.signals import Signals
from gateway.process.supervisor import Supervisor
from gateway.process.vital import raise_if_failed
from gateway.queue.jobs import JOB_KEPT, RUN_LOOKUP, deserialize_job, serialize_job
from gateway.resilience.board import Board
from gateway.telemetry import events
from gateway.telemetry.tally import tally
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink
from workers.admin import admin_port
from workers.jobs import MAX_TRIES, Lane, run_lookup
from workers.push import PushWorker

REDIS_TIMEOUT = 5.0
"""Timeout of a worker's Redis call, in seconds. No callback waits for such a call."""

HEALTH_EVERY = 5.0
_PATIENCE = 2.0


def arq_settings(most: int, longest_job: float) -> dict[str, Any]:
    """Return what arq's Worker gets for a lane, pushed or polled.

    Take the most jobs at one time, and the seconds that a job may run before its answer is given back.
    """
    return {
        "functions": [func(run_lookup, name=RUN_LOOKUP)],
        "max_jobs": most,
        "job_timeout": longest_job + JOB_KEPT,
        "keep_result": 0,
        "max_tries": MAX_TRIES,
        "health_check_interval": HEALTH_EVERY,
        "job_serializer": serialize_job,
        "job_deserializer": deserialize_job,
        "log_results": False,
    }


def push_worker(lane: Lane) -> PushWorker:
    """Return the worker that runs a lane's jobs, not yet started."""
    worker = PushWorker(
        queue_name=lane.keys.lane(lane.name),
        redis_pool=ArqRedis(lane.link.redis.connection_pool, serialize_job, deserialize_job),
        handle_signals=False,
        ctx={"lane": lane},
        **arq_settings(lane.backend.concurrency, lane.longest_job),
    )
    worker.prepare(lane)
    return worker


def open_lane(catalog: Catalog, name: str, link: RedisLink, board: Board) -> Lane:
    """Return a lane with its backend open. The caller closes the backend. Raise ImportError."""
    backend = open_backend(catalog, name, board, bulkhead=False)
    return Lane(backend, link, Keys(catalog.settings.redis.prefix), catalog.settings.gateway.budget, board)


@asynccontextmanager
async def workers(
    catalog: Catalog, names: Sequence[str], grace: float, wishes: ReloadWishes | None = None
) -> AsyncIterator[list[PushWorker]]:
    """Run the workers of the named lanes for the length of the block, then drain them for ``grace`` seconds.

    Somebody's wish for a reload is heard by ``wishes``.

    The end of each part is registered before the part starts, so that a failed or cancelled start leaves
    nothing behind. Raise ImportError for a Python lookup that cannot be imported.
    """
    redis = catalog.settings.redis
    async with AsyncExitStack() as stack:
        link = RedisLink(redis.url, REDIS_TIMEOUT, redis.connect_timeout, Keys(redis.prefix))
        stack.push_async_callback(link.close)
        board = FleetBoard(link, Keys(redis.prefix))
        stack.push_async_callback(board.close)
        lanes = []
        for name in names:
            lanes.append(open_lane(catalog, name, link, board))
            stack.push_async_callback(lanes[-1].backend.close)
        await link.start()
        await board.start(_PATIENCE)
        if wishes is not None:
            wishes.listen(board)
        for lane in lanes:
            await lane.backend.start()
        await stack.enter_async_context(recorder.recording(catalog, link, Keys(redis.prefix)))
        running = [push_worker(lane) for lane in lanes]
        stack.push_async_callback(_drain, running, grace)
        for worker in running:
            worker.start()
        with suppress(TimeoutError):  # without Redis a worker starts, too, and goes on trying
            async with asyncio.timeout(_PATIENCE):
                await asyncio.gather(*(worker.registered.wait() for worker in running))
        yield running


async def _drain(running: Sequence[PushWorker], grace: float) -> None:
    left = await asyncio.gather(*(worker.drain(grace) for worker in running))
    events.worker_drained(jobs_left=sum(left))


class WorkerProcess:
    """The workers of one process, which a new configuration replaces."""

    def __init__(self, catalog: Catalog, wanted: Sequence[str], grace: float, wishes: ReloadWishes) -> None:
        """Take the configuration, the seconds that jobs get to finish, and what hears wishes for a reload.

        ``wanted`` names lanes, none for all of them.
        """
        self.catalog = catalog
        self._wishes = wishes
        self._wanted, self._grace = wanted, grace
        self._parts = AsyncExitStack()
        self._retired = Background()
        self._news = asyncio.Event()
        self.running: list[PushWorker] = []

    async def run_by(self, catalog: Catalog) -> None:
        """Take jobs by ``catalog`` from now on; the jobs in hand are finished by the one before.

        Raise ConfigFaults for a wanted lane that it does not have, or a change that needs a new process, and
        ImportError: then all stays as it was.
        """
        if catalog.settings.worker != self.catalog.settings.worker:
            message = "a running worker keeps its port; restart it for this change"
            raise ConfigFaults([Fault("worker.admin", message)])
        names = lanes_of(catalog, self._wanted)
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(workers(catalog, names, self._grace, self._wishes))
            parts = stack.pop_all()
        self._retired.start(self._parts.aclose())
        self._parts, self.running, self.catalog = parts, running, catalog
        self._news.set()
        tally.expect((), (), names)
        choose_lines(catalog.logs)
        events.worker_started(
            lanes=names,
            missing=[] if all(worker.registered.is_set() for worker in running) else ["redis"],
            concurrency={worker.lane.name: worker.lane.backend.concurrency for worker in running},
            pid=os.getpid(),
            version=RELEASE,
            config=catalog.digest,
        )

    async def watch(self) -> None:
        """Wait until a worker fails, and raise its exception."""
        while True:
            self._news.clear()
            mains = [worker.main_task for worker in self.running if worker.main_task is not None]
            news = asyncio.ensure_future(self._news.wait())
            try:
                await asyncio.wait([news, *mains], return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()
            if not self._news.is_set():
                for main in mains:
                    if main.done():
                        main.result()

    async def close(self) -> None:
        """Finish the jobs in hand, and stop."""
        await self._parts.aclose()
        await self._retired.close(self._grace)


def lanes_of(catalog: Catalog, wanted: Sequence[str]) -> Sequence[str]:
    """Return the wanted lanes, by default all; raise ConfigFaults for one that no lookup uses."""
    if unknown := sorted(set(wanted) - set(catalog.lanes)):
        message = f"no lookup uses the lane {', '.join(unknown)}; known lanes: {', '.join(catalog.lanes)}"
        raise ConfigFaults([Fault("lookups", message)])
    return wanted or catalog.lanes


async def run(file: ConfigFile, wanted: Sequence[str], grace: float, admin: Address | None) -> None:
    """Run workers until SIGTERM or SIGINT. If one fails, raise its exception.

    ``admin`` is where they are watched, in the place of the configuration's address. Raise OSError if it is
    taken.
    """
    signals, supervisor = Signals(), Supervisor()
    async with AsyncExitStack() as stack:
        process = WorkerProcess(file.catalog, wanted, grace, ReloadWishes(signals.reload.set))
        if address := admin or file.catalog.settings.worker.admin:
            await stack.enter_async_context(admin_port(process, signals, address))
        stack.push_async_callback(process.close)
        await signals.unless_stopped(process.run_by(file.catalog))
        if signals.stop.is_set():
            raise_if_failed()
            return
        tune_collector()
        file.on_change(process.run_by)
        work = Background()
        stack.push_async_callback(work.close)
        work.start(follow([file], signals.reload))
        work.start(supervisor.ping())
        supervisor.ready()
        stop, failed = work.start(signals.stop.wait()), work.start(process.watch())
        await asyncio.wait([stop, failed], return_when=asyncio.FIRST_COMPLETED)
        supervisor.stopping()
        if failed.done():
            failed.result()
    raise_if_failed()
