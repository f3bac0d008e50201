"""PushWorker: an arq worker that gets its jobs pushed, instead of polling for them.

arq's sorted set stays the truth; only the waiting is replaced. The worker notes the number of its free slots
in Redis. begin.lua publishes a job straight to the worker. finish.lua gives it the next job of the lane. A
sweep finds the jobs that these two miss.
"""

import asyncio
from collections import deque
from contextlib import suppress

from arq import Worker

from gateway.core.errors import QueueUnavailable
from gateway.core.packing import UNREADABLE
from gateway.process.background import Background, end
from gateway.process.backoff import Backoff
from gateway.queue.finish import LAST, handed
from gateway.queue.jobs import CLAIM_MARGIN, Taken
from gateway.telemetry import events
from gateway.wire.connection import OUTAGE
from gateway.wire.subscription import Subscription
from workers.jobs import Lane, run

SWEEP_EVERY = 2.5
_PATIENCE = 2.0


class PushWorker(Worker):
    """Runs the jobs of one lane, at most ``max_jobs`` at a time, as soon as they are enqueued."""

    def prepare(self, lane: Lane) -> None:
        """Take the lane. Call it before :meth:`start`."""
        self.lane = lane
        self.in_progress_timeout_s = lane.longest_job + CLAIM_MARGIN
        self.registered = asyncio.Event()
        self._due = asyncio.Event()
        self._draining = self._stayed = False  # stayed: Redis was away when it left
        self._last = asyncio.Event()
        self._slots = Background()
        self._at_work: set[str] = set()
        self._backlog: deque[Taken] = deque()
        self._ended: set[str] | None = None
        self._subscriptions = 0
        self._connected: tuple[int, float] | None = None
        self._handed = Subscription(lane.link, lane.channel, self._receive, self._listening)
        lane.link.losses.append(self._due.set)  # it sweeps as soon as Redis is back

    def start(self) -> None:
        """Run :meth:`main`, until :meth:`drain`."""
        self.main_task = asyncio.create_task(self.main())

    async def main(self) -> None:
        """Take and run jobs until cancelled, through any outage of Redis."""
        self.ctx["redis"] = self.pool
        backoff = Backoff()
        try:
            await self._handed.start(_PATIENCE)
            while True:
                await self._handed.present.wait()
                await self.lane.link.present.wait()
                self._due.clear()
                try:
                    await self._sweep()
                    self.registered.set()
                    await self.heart_beat()
                    backoff.reset()
                except (*OUTAGE, QueueUnavailable) as error:  # the link has logged the loss
                    if "WRONGTYPE" in str(error.__cause__):
                        await self._set_aside()
                    await backoff.pause()
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(SWEEP_EVERY):
                        await self._due.wait()
        finally:
            await self._handed.close()

    async def drain(self, grace: float) -> int:
        """Take no new job and wait ``grace`` seconds for the jobs that run; return the number of jobs left.

        A job that is left stays queued, for another worker. A job that was handed over just before is one
        that runs.
        """
        self._draining = self._stayed = True
        with suppress(QueueUnavailable, TimeoutError):
            await self.lane.queue.leave()
            self._stayed = False
            if await self.lane.queue.send_last():
                async with asyncio.timeout(_PATIENCE):
                    await self._last.wait()
        left = await self._slots.close(grace)
        if self.main_task is not None:  # not earlier: a worker that does not listen counts as dead
            await end(self.main_task)
        return left

    @property
    def _running(self) -> int:
        """Number of jobs that take a slot. A finishing job takes none: Redis has given it to the next job."""
        return len(self._at_work) - len(self._backlog) - self.lane.queue.finishing

    def _listening(self) -> None:
        self._subscriptions += 1
        self._due.set()

    async def _sweep(self) -> None:
        """Take jobs of the lane and, after a reconnection, jobs that were lost with the old connection."""
        if self._draining:
            if self._stayed:
                await self.lane.queue.leave()
                self._stayed = False
            return
        connected = self._subscriptions, self.lane.link.restored
        has = None if connected == self._connected else tuple(self._at_work)
        running = self._running + len(self._backlog)
        ended: set[str] = set()
        self._ended = ended
        try:
            swept = await self.lane.queue.sweep(self.max_jobs, running, has)
            self.lane.board.note_workers(self.lane.name, self.lane.queue.workers)
        finally:
            self._ended = None
        self._connected = connected
        for taken in swept:
            if taken.job_id not in ended:  # else it came by a push during the sweep, and has run
                self._start(taken)

    async def _set_aside(self) -> None:
        with suppress(QueueUnavailable):
            for key, kind in await self.lane.queue.set_aside():
                events.key_set_aside(key=key, type=kind)

    def _receive(self, message: bytes) -> None:
        if message == LAST:
            self._last.set()
            return
        try:
            jobs = handed(message)
        except UNREADABLE as error:
            events.job_unreadable(lane=self.lane.name, error=error)
        else:
            for taken in jobs:
                self._start(taken)
            if not jobs:
                self._due.set()

    def _start(self, taken: Taken) -> None:
        """Run a job in a free slot, or keep it for the next free one, if Redis has forgotten some claims."""
        if taken.job_id in self._at_work:
            return
        full = self._running >= self.max_jobs
        self._at_work.add(taken.job_id)
        if full:
            self._backlog.append(taken)
            return
        self._slots.start(self._run(taken))

    async def _run(self, taken: Taken) -> None:
        """Run a job, and the jobs that follow it in its slot."""
        following: Taken | None = taken
        while following is not None:
            job_id = following.job_id
            self._at_work.add(job_id)
            following = await self._run_one(following)
            self._at_work.discard(job_id)
            if self._ended is not None:
                self._ended.add(job_id)
            if following is None and self._backlog:
                following = self._backlog.popleft()

    async def _run_one(self, taken: Taken) -> Taken | None:
        """Run a job; return the next job, if Redis gives one. After a failure, a sweep requeues the job."""
        try:
            if taken.envelope is not None:
                wants = not self._draining and not self._backlog
                return await run(self.lane, taken.envelope, taken, wants=wants)
            await self.run_job(taken.job_id, 0)  # not one of ours: as arq would
        except Exception as error:  # noqa: BLE001 - a job that cannot be given back must not end the slot
            events.job_unfinished(job=taken.job_id, error=error)
        return None
