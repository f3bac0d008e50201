"""Jobs: a lookup taken from its lane, asked under the policies, its answer recorded and pushed."""

import time
from typing import Any
from uuid import uuid4

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from gateway.backends.http import HttpBackend
from gateway.backends.python import PythonBackend
from gateway.core.catalog import PYTHON_LANE, PYTHON_LATE, Catalog, Lookup
from gateway.core.errors import Code, LookupFailed, NoAnswer, QueueUnavailable
from gateway.core.messages import Answer, Ask, Job
from gateway.resilience.retry import RetryPolicy
from gateway.store.finish import Finish, Finished
from gateway.store.keys import Keys
from gateway.store.link import RedisLink
from gateway.store.queue import JOB_KEPT, Envelope, Taken

log = structlog.get_logger("deskgate.worker")


MAX_TRIES = 3
"""Starts of one job; one that was handed over and not begun counts, too."""

MAX_ANSWER = 1024 * 1024
"""Most bytes of the variables of an answer, names included."""

_LONGEST_INFO = 200
_WORN = f"given up: its worker died {MAX_TRIES} times"

PYTHON_CONCURRENCY = 100
"""Python lookups that a worker process runs at a time."""


class Lane:
    """A backend's side of the queue in one worker process: what its jobs need. Durations are seconds."""

    def __init__(self, catalog: Catalog, name: str, link: RedisLink) -> None:
        """Open the backend of lane ``name``; raise ImportError for a Python lookup that is not there."""
        self.name = name
        self.catalog = catalog
        self.link = link
        self.keys = Keys(catalog.settings.redis.prefix)
        self.channel = self.keys.jobs(uuid4().hex)
        declared = catalog.settings.backends.get(name)
        self.backend: HttpBackend | PythonBackend
        if declared is None or name == PYTHON_LANE:
            self.concurrency = PYTHON_CONCURRENCY
            self.policy = RetryPolicy(attempts=1, attempt_timeout=PYTHON_LATE)
            self.backend = PythonBackend(catalog.lookups)
        else:
            self.concurrency = declared.concurrency
            self.policy = RetryPolicy(declared.attempts, declared.attempt_timeout)
            self.backend = HttpBackend(declared)
        self.give_back = Finish(link, self.keys, name, self.channel, self.longest_job)

    @property
    def late(self) -> float:
        """Seconds that a job may run past its deadline: one attempt."""
        return self.policy.attempt_timeout

    @property
    def longest_job(self) -> float:
        """Seconds that a job may run: to its deadline, and one attempt beyond."""
        return self.catalog.settings.gateway.budget + self.late

    def lookup(self, job: Job) -> Lookup:
        """Return the lookup that ``job`` names; raise LookupFailed when this worker does not know it."""
        lookup = self.catalog.lookups.get(job.lookup)
        if lookup is None or lookup.lane != self.name:
            msg = "this worker does not know the lookup; gateway and worker run different configurations"
            raise LookupFailed(msg)
        return lookup

    async def finish(self, finished: Finished) -> Taken | None:
        """Record and push an answer, outlasting an outage of Redis; raise QueueUnavailable at last.

        Return the slot's next job, if it wants any.
        """
        try:
            return await self.give_back(finished)
        except QueueUnavailable:
            again = AsyncRetrying(
                retry=retry_if_exception_type(QueueUnavailable),
                stop=stop_after_delay(JOB_KEPT),
                wait=wait_random_exponential(multiplier=0.05, max=1.0),
                reraise=True,
            )
            return await again(self.give_back, finished._replace(wants=False))


async def run_lookup(ctx: dict[str, Any], envelope: Envelope) -> None:
    """Run one job of ``ctx["lane"]``: the function that arq's own worker calls."""
    lane: Lane = ctx["lane"]
    seconds, microseconds = await lane.link.execute("TIME")
    ahead_ms = int(seconds) * 1000 + int(microseconds) / 1000 - time.monotonic() * 1000
    await run(lane, envelope, Taken(ctx["job_id"], ctx["job_try"], envelope, ahead_ms), wants=False)


async def run(lane: Lane, envelope: Envelope, taken: Taken, *, wants: bool) -> Taken | None:
    """Run one job and give its answer back; return its slot's next one, if it ``wants`` any.

    A job past its deadline is asked for its record's sake, with the time of one attempt. Raise
    QueueUnavailable when the answer could not be given back.
    """
    job, begun = envelope.job, time.monotonic()
    now_ms = taken.ahead_ms + begun * 1000
    left = (envelope.deadline_ms - now_ms) / 1000 if envelope.deadline_ms else lane.longest_job
    if taken.job_try > MAX_TRIES:
        log.warning("job.dropped", lookup=job.lookup, lane=lane.name, reason=_WORN, trace_id=job.trace_id)
        answer, attempts = Answer(taken.job_id, Code.LOOKUP_FAILED, _WORN), 0
    else:
        answer, attempts = await _ask(lane, job, taken.job_id, left if left > 0 else lane.late)
    at = time.monotonic()
    took = at - begun
    lane.give_back.took(took)
    lookup = lane.catalog.lookups.get(job.lookup)
    kept = lookup.kept if lookup else 0.0
    following = await lane.finish(Finished(envelope, answer, kept, at, taken.ahead_ms, wants))
    log.info(
        "lookup.finished",
        lookup=job.lookup,
        backend=lane.name,
        lane=lane.name,
        outcome=answer.code.name,
        reason=answer.info,
        attempts=attempts,
        queue_ms=round(now_ms - envelope.enqueued_ms, 2),
        backend_ms=round(took * 1000, 2),
        left_ms=round((left - took) * 1000, 2),
        session=job.session,
        trace_id=job.trace_id,
    )
    return following


async def _ask(lane: Lane, job: Job, job_id: str, left: float) -> tuple[Answer, int]:
    """Return the answer of the backend, or the failure that stands for it, and the attempts it took."""
    attempts = 0

    def on_retry(number: int, error: NoAnswer) -> None:
        log.info(
            "lookup.retried",
            lookup=job.lookup,
            backend=lane.name,
            attempt=number,
            code=int(error.code),
            reason=str(error),
            trace_id=job.trace_id,
        )

    async def attempt() -> dict[str, str]:
        nonlocal attempts
        attempts += 1
        return await lane.backend.ask(lookup, ask)

    try:
        lookup = lane.lookup(job)
        ask = Ask(job.lookup, job.inputs, job.app, job.session, job.trace_id, left)
        variables = await lane.policy.run(attempt, left, on_retry)
    except NoAnswer as error:
        return Answer(job_id, error.code, _said(error)), attempts
    except Exception:
        log.exception("lookup.failed", lookup=job.lookup, lane=lane.name, trace_id=job.trace_id)
        return Answer(job_id, Code.LOOKUP_FAILED, "internal error"), attempts
    size = sum(len(name) + len(value) for name, value in variables.items())
    if size > MAX_ANSWER:
        log.warning("lookup.oversized", lookup=job.lookup, lane=lane.name, size=size, trace_id=job.trace_id)
        return Answer(job_id, Code.BAD_BACKEND_REPLY, "the variables are too large"), attempts
    return Answer(job_id, Code.OK, "", variables), attempts


def _said(error: NoAnswer) -> str:
    """Return what an error says, as it can travel: a lookup of the user's own may raise one with any text."""
    return str(error)[:_LONGEST_INFO].encode(errors="replace").decode()
