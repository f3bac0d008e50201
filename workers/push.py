"""PushWorker: an arq worker that is woken by tokens in Redis instead of polling for jobs.

arq's sorted set stays the truth and its ``run_job`` runs the job; only the waiting is replaced, and the round
trips around it: a claim answers arq's first question beforehand, and a job's own finish leaves arq nothing to
clear. A token that is lost costs at most :data:`SWEEP_EVERY` seconds: that often the set itself is looked at.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self, cast

import structlog
from arq import Worker
from arq.connections import ArqRedis
from redis.asyncio.connection import Connection

from gateway.core.errors import QueueUnavailable
from gateway.store.connection import OUTAGE, backoff, connect, dedicated_connection, hang_up
from gateway.store.link import Script
from workers.jobs import Claim, Lane, claim

log = structlog.get_logger("deskgate.worker")

SWEEP_EVERY = 1.25
_SCAN = 1000
_PATIENCE = 2.0
_INSIST_EVERY = 0.1
_CLAIM = Script("claim")

_unasked: ContextVar[Claim | None] = ContextVar("_unasked", default=None)


@dataclass(frozen=True, slots=True)
class _AnsweredPipeline:
    """What arq's ``run_job`` asks first (job, try, expiry), answered by the claim."""

    claim: Claim

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        _unasked.set(None)

    def get(self, _: str) -> None:
        """The job's body."""

    def incr(self, _: str) -> None:
        """The number of this try."""

    def expire(self, _: str, __: int) -> None:
        """The claim has set it."""

    async def execute(self) -> tuple[bytes, int, bool]:
        """Return what the three commands would."""
        return self.claim.body, self.claim.job_try, True


class _ClaimedPool:
    """Stands for arq's pool during ``run_job``, until its first pipeline has been answered."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim

    def pipeline(self, *, transaction: bool) -> _AnsweredPipeline:
        """Return the pipeline that needs no round trip."""
        assert transaction  # noqa: S101 - arq's first pipeline is one
        return _AnsweredPipeline(self._claim)


class PushWorker(Worker):
    """Runs the jobs of one lane, at most ``max_jobs`` at a time, from the moment that they are enqueued."""

    lane: Lane
    """The lane whose jobs it runs; set it before :meth:`main` runs."""

    @property
    def pool(self) -> ArqRedis:
        """The pool of arq, or what answers in its place at the beginning of a claimed job."""
        unasked = _unasked.get()
        return super().pool if unasked is None else cast("ArqRedis", _ClaimedPool(unasked))

    async def main(self) -> None:
        """Pick and run jobs until cancelled, through any outage of Redis."""
        self.ctx["redis"] = self.pool
        self._slot_freed = asyncio.Event()
        self._swept = 0.0
        attempt = 0
        while True:
            connection = dedicated_connection(self.lane.link.redis)
            try:
                await connect(connection, _PATIENCE)
                while True:
                    await self._pick(connection)
                    attempt = 0
            except (*OUTAGE, QueueUnavailable):
                await asyncio.sleep(backoff(attempt))  # the link has logged the loss
                attempt += 1
            finally:
                await hang_up(connection)

    async def drain(self, grace: float) -> int:
        """Take no new job and wait ``grace`` seconds for those that run; return how many had to be left.

        A job that is left stays queued, for another worker.
        """
        # Once is not enough: redis-py's wait_for() can swallow a cancellation before Python 3.12 (gh-86296).
        while self.main_task is not None and not self.main_task.done():
            self.main_task.cancel()
            await asyncio.wait([self.main_task], timeout=_INSIST_EVERY)
        if self.tasks:
            await asyncio.wait(self.tasks.values(), timeout=grace)
        left = [task for task in self.tasks.values() if not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return len(left)

    async def finish_job(self, job_id: str, finish: bool, *rest: Any) -> None:  # noqa: ANN401, FBT001 - arq's own
        """Clear a job that did not come to its own end; one that did has left nothing to clear."""
        if not finish or not claim.get().finished:
            await super().finish_job(job_id, finish, *rest)

    async def _pick(self, connection: Connection) -> None:
        """Start what the next tokens, or a sweep that is due, show."""
        while self.job_counter >= self.max_jobs:
            self._slot_freed.clear()
            try:
                async with asyncio.timeout(SWEEP_EVERY):
                    await self._slot_freed.wait()
            except TimeoutError:
                await self.heart_beat()  # busy, not dead
        room = self.max_jobs - self.job_counter
        until_sweep = self._swept + SWEEP_EVERY - self.loop.time()
        tokens = await self._tokens(connection, room, until_sweep) if until_sweep > 0 else []
        if tokens:
            await self._claim(tokens, room)
        else:
            self._swept = self.loop.time()
            await self._claim([], room)
            await self.heart_beat()

    async def _tokens(self, connection: Connection, room: int, patience: float) -> Sequence[bytes]:
        """Return the next tokens, at most ``room``; none after ``patience`` seconds."""
        timeout = max(patience, 0.001)
        async with asyncio.timeout(timeout + _PATIENCE):
            ready = self.lane.keys.ready(self.lane.name)
            await connection.send_command("BLMPOP", f"{timeout:.3f}", 1, ready, "LEFT", "COUNT", room)
            popped = await connection.read_response()
        return popped[1] if popped else ()

    async def _claim(self, tokens: Sequence[bytes], room: int) -> None:
        """Claim jobs in one round trip and start them."""
        lapse = int(self.in_progress_timeout_s * 1000)
        reply = await self.lane.link.run(_CLAIM, [self.queue_name], [room, lapse, _SCAN, *tokens])
        at = time.monotonic()
        for job_id, score, body, job_try in _rows(reply[1:]):
            self._start(job_id.decode(), int(float(score)), Claim(body, job_try, float(reply[0]), at))

    def _start(self, job_id: str, score: int, claimed: Claim) -> None:
        self.job_counter += 1
        claim.set(claimed)
        _unasked.set(claimed)
        task = self.tasks[job_id] = self.loop.create_task(self.run_job(job_id, score))
        _unasked.set(None)
        task.add_done_callback(lambda done: self._ended(job_id, done))

    def _ended(self, job_id: str, task: "asyncio.Task[None]") -> None:
        """Free the slot; a job whose own end failed is claimed anew when its claim lapses."""
        self.job_counter -= 1
        self.tasks.pop(job_id, None)
        self._slot_freed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("job.unfinished", job=job_id, error=type(error).__name__)


def _rows(flat: Sequence[Any]) -> Iterable[tuple[bytes, bytes, bytes, int]]:
    """Return the claimed jobs of claim.lua: id, score, body, try."""
    return zip(flat[::4], flat[1::4], flat[2::4], flat[3::4], strict=True)
