"""PushWorker: an arq worker that is woken by tokens in Redis instead of polling for jobs.

arq's sorted set stays the truth and its ``run_job`` runs the job; only the waiting is replaced. A token that
is lost costs at most :data:`SWEEP_EVERY` seconds: that often the sorted set itself is looked at.
"""

import asyncio
from collections.abc import Sequence

import structlog
from arq import Worker
from redis.asyncio.connection import Connection

from gateway.store.connection import OUTAGE, Script, backoff, dedicated_connection

log = structlog.get_logger("deskgate.worker")

SWEEP_EVERY = 1.0
_SCAN = 1000
_PATIENCE = 2.0
_CLAIM = Script("claim")


class PushWorker(Worker):
    """Runs the jobs of one lane, at most ``max_jobs`` at a time, from the moment that they are enqueued."""

    ready_key: str
    """The list of the lane's wake tokens; set it before :meth:`main` runs."""

    async def main(self) -> None:
        """Pick and run jobs until cancelled, through any outage of Redis."""
        self.ctx["redis"] = self.pool
        self._slot_freed = asyncio.Event()
        self._swept = 0.0
        attempt = 0
        while True:
            connection = dedicated_connection(self.pool)
            try:
                await connection.connect()  # type: ignore[no-untyped-call] # redis-py 5 has no types here
                while True:
                    await self._pick(connection)
                    if attempt:
                        log.info("redis.restored", lane=self.queue_name)
                        attempt = 0
            except OUTAGE as error:
                if not attempt:
                    log.warning(
                        "redis.lost", lane=self.queue_name, error=type(error).__name__, detail=str(error)
                    )
            finally:
                await connection.disconnect()
            await asyncio.sleep(backoff(attempt))
            attempt += 1

    async def drain(self, grace: float) -> int:
        """Take no new job and wait ``grace`` seconds for those that run; return how many had to be left.

        A job that is left stays queued, for another worker.
        """
        self.allow_pick_jobs = False
        if self.main_task is not None:
            self.main_task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks.values(), timeout=grace)
        left = [task for task in self.tasks.values() if not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return len(left)

    async def _pick(self, connection: Connection) -> None:
        """Start what the next tokens, or a sweep that is due, show."""
        while self.job_counter >= self.max_jobs:
            self._slot_freed.clear()
            await self._slot_freed.wait()
        room = self.max_jobs - self.job_counter
        until_sweep = self._swept + SWEEP_EVERY - self.loop.time()
        tokens = await self._tokens(connection, room, until_sweep) if until_sweep > 0 else []
        if tokens:
            await self._claim(tokens, room)
        else:
            self._swept = self.loop.time()
            await self._claim([], room)
            await self.heart_beat()

    async def _tokens(self, connection: Connection, room: int, patience: float) -> list[bytes]:
        """Return the next tokens, at most ``room``; none after ``patience`` seconds."""
        timeout = max(patience, 0.001)
        await connection.send_command("BLMPOP", f"{timeout:.3f}", 1, self.ready_key, "LEFT", "COUNT", room)
        popped = await connection.read_response(timeout=timeout + _PATIENCE)
        return list(popped[1]) if popped else []

    async def _claim(self, tokens: Sequence[bytes], room: int) -> None:
        """Claim jobs in one round trip and start them."""
        lapse = int(self.in_progress_timeout_s * 1000)
        claimed = await _CLAIM.run(self.pool, [self.queue_name], [room, lapse, _SCAN, *tokens])
        for job_id, score in zip(claimed[::2], claimed[1::2], strict=True):
            self._start(job_id.decode(), int(float(score)))

    def _start(self, job_id: str, score: int) -> None:
        self.job_counter += 1
        task = self.tasks[job_id] = self.loop.create_task(self.run_job(job_id, score))
        task.add_done_callback(lambda done: self._ended(job_id, done))

    def _ended(self, job_id: str, task: "asyncio.Task[None]") -> None:
        """Free the slot; a job whose own end failed is claimed anew when its claim lapses."""
        self.job_counter -= 1
        self.tasks.pop(job_id, None)
        self._slot_freed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("job.unfinished", job=job_id, error=type(error).__name__)
