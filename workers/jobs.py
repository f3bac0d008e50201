"""Jobs: a worker takes one from its lane, asks under the policies, records the answer and pushes it."""

import time
from typing import Any

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from gateway.core.errors import Code, QueueUnavailable
from gateway.core.messages import Answer
from gateway.lookups.ask import Asked, GuardedBackend
from gateway.queue.finish import WorkerSide
from gateway.queue.jobs import JOB_KEPT, Envelope, Taken, server_ms
from gateway.resilience.board import Board
from gateway.telemetry import events
from gateway.wire.keys import Keys, new_name
from gateway.wire.link import RedisLink

MAX_TRIES = 3
"""Most starts of one job. A job that was handed over and not begun counts, too."""

_WORN = f"given up: begun {MAX_TRIES} times, and its worker died or has another configuration"


class Lane:
    """A lane in one worker process: the backend of its jobs, and the way back for their answers.

    ``channel`` names the worker and its configuration in Redis: its jobs are published there. Durations are
    seconds.
    """

    def __init__(
        self, backend: GuardedBackend, link: RedisLink, keys: Keys, budget: float, board: Board
    ) -> None:
        """Take the lane's backend, the way to Redis, the budget of a callback, and the fleet's board."""
        self.name = backend.name
        self.backend, self.link, self.keys = backend, link, keys
        self.longest_job = budget + backend.overrun
        """Seconds that a job may run: to its deadline, and its overrun."""
        self.channel = keys.jobs(new_name(backend.configuration))
        self.board = board
        self.queue = WorkerSide(link, keys, self.name, self.channel, self.longest_job)

    async def finish(
        self, taken: Taken, answer: Answer, at: float, *, wants: bool, pass_on: bool = False
    ) -> Taken | None:
        """Finish a job as :meth:`WorkerSide.finish` does.

        Without Redis, try again for as long as it could use the answer. Raise QueueUnavailable at last.
        """
        kept = self.backend.kept(taken.envelope.job) if taken.envelope is not None else 0.0
        try:
            return await self.queue.finish(taken, answer, at, kept, wants=wants, pass_on=pass_on)
        except QueueUnavailable:
            again = AsyncRetrying(
                retry=retry_if_exception_type(QueueUnavailable),
                stop=stop_after_delay(JOB_KEPT),
                wait=wait_random_exponential(multiplier=0.05, max=1.0),
                reraise=True,
            )
            return await again(self.queue.finish, taken, answer, at, kept, wants=False, again=True)


async def run_lookup(ctx: dict[str, Any], envelope: Envelope) -> None:
    """Run one job of ``ctx["lane"]``: the function that arq's own worker calls."""
    lane: Lane = ctx["lane"]
    ahead_ms = server_ms(await lane.link.execute("TIME")) - time.monotonic() * 1000
    await run(lane, envelope, Taken(ctx["job_id"], ctx["job_try"], envelope, ahead_ms), wants=False)


async def run(lane: Lane, envelope: Envelope, taken: Taken, *, wants: bool) -> Taken | None:
    """Run one job and give its answer back; return the next job of its slot, if the slot ``wants`` one.

    If no callback waits for the job, it gets one attempt, for its record: a refresh, or a job past its
    deadline. If this process has another version of the lookup, nobody is asked. The job goes to a worker of
    another configuration, if one is free. Raise QueueUnavailable if the answer could not be given back.
    """
    job, begun = envelope.job, time.monotonic()
    now_ms = taken.ahead_ms + begun * 1000
    left = (envelope.deadline_ms - now_ms) / 1000 if envelope.deadline_ms else lane.longest_job
    if taken.job_try > MAX_TRIES:
        events.job_dropped(lookup=job.lookup, lane=lane.name, reason=_WORN, trace_id=job.trace_id)
        asked = Asked(Answer(taken.job_id, Code.LOOKUP_FAILED, _WORN))
    else:
        awaited = envelope.deadline_ms > 0 and left > 0
        left_to_ask = left if left > 0 else lane.backend.overrun
        asked = await lane.backend.ask(job, taken.job_id, left_to_ask, awaited=awaited)
    at = time.monotonic()
    took = at - begun
    if not asked.age:  # else it took as long as this process stood still, and says nothing of the next
        lane.queue.note_run(took)
    pass_on = not lane.backend.knows(job) and taken.job_try < MAX_TRIES
    following = await lane.finish(taken, asked.answer, at - asked.age, wants=wants, pass_on=pass_on)
    waited = (now_ms - envelope.enqueued_ms) / 1000
    lane.backend.report_finished(job, asked, queued=waited, took=took, left=left)
    return following
