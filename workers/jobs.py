"""Jobs: a lookup taken from its lane, asked under the policies, its answer recorded and pushed."""

import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from gateway.backends.http import HttpBackend
from gateway.backends.python import PythonBackend
from gateway.core.catalog import PYTHON_LANE, PYTHON_LATE, Catalog, Lookup
from gateway.core.errors import Code, LookupFailed, NoAnswer, QueueUnavailable
from gateway.core.messages import Answer, Ask, Job
from gateway.resilience.retry import RetryPolicy
from gateway.store.keys import Keys
from gateway.store.link import RedisLink
from gateway.store.queue import JOB_KEPT, Envelope, finish

log = structlog.get_logger("deskgate.worker")


@dataclass(slots=True)
class Claim:
    """What a PushWorker knows of the job that it claimed: its body, its try, and the time on two clocks.

    ``server_ms`` was read at ``at`` on this process's monotonic clock; ``finished`` tells that the job has
    come to its own end.
    """

    body: bytes
    job_try: int
    server_ms: float
    at: float
    finished: bool = False


claim: ContextVar[Claim] = ContextVar("claim")
"""The claim of the running job; unset under arq's own worker."""


PYTHON_CONCURRENCY = 20
"""Python lookups that a worker process runs at a time."""


class Lane:
    """A backend's side of the queue in one worker process: what its jobs need. Durations are seconds."""

    def __init__(self, catalog: Catalog, name: str, link: RedisLink) -> None:
        """Open the backend of lane ``name``; raise ImportError for a Python lookup that is not there."""
        self.name = name
        self.catalog = catalog
        self.link = link
        self.keys = Keys(catalog.settings.redis.prefix)
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

    @property
    def longest_job(self) -> float:
        """Seconds that a job may run: to its deadline, and one attempt beyond."""
        return self.catalog.settings.gateway.budget + self.policy.attempt_timeout

    def lookup(self, job: Job) -> Lookup:
        """Return the lookup that ``job`` names; raise LookupFailed when this worker does not know it."""
        lookup = self.catalog.lookups.get(job.lookup)
        if lookup is None or lookup.lane != self.name:
            msg = "this worker does not know the lookup; gateway and worker run different configurations"
            raise LookupFailed(msg)
        return lookup

    async def server_ms(self) -> float:
        """Return the time on the Redis server's clock, the only one that deadlines are told on."""
        if (claimed := claim.get(None)) is not None:
            return claimed.server_ms + (time.monotonic() - claimed.at) * 1000
        seconds, microseconds = await self.link.execute("TIME")
        return int(seconds) * 1000 + int(microseconds) / 1000

    async def finish(self, envelope: Envelope, answer: Answer) -> None:
        """Record and push ``answer``, outlasting an outage of Redis; raise QueueUnavailable at last."""
        lookup = self.catalog.lookups.get(envelope.job.lookup)
        kept = lookup.kept if lookup else 0.0
        try:
            await finish(self.link, self.keys, self.name, envelope, answer, kept=kept)
        except QueueUnavailable:
            again = AsyncRetrying(
                retry=retry_if_exception_type(QueueUnavailable),
                stop=stop_after_delay(JOB_KEPT),
                wait=wait_random_exponential(multiplier=0.05, max=1.0),
                reraise=True,
            )
            await again(finish, self.link, self.keys, self.name, envelope, answer, kept=kept)
        if (claimed := claim.get(None)) is not None:
            claimed.finished = True


async def run_lookup(ctx: dict[str, Any], envelope: Envelope) -> None:
    """Run one job of ``ctx["lane"]``: the function that arq calls."""
    lane: Lane = ctx["lane"]
    job, job_id = envelope.job, ctx["job_id"]
    now = await lane.server_ms()
    left = (envelope.deadline_ms - now) / 1000 if envelope.deadline_ms else lane.longest_job
    if left <= 0:
        log.warning(
            "job.dropped",
            lookup=job.lookup,
            lane=lane.name,
            reason="past its deadline",
            trace_id=job.trace_id,
        )
        answer, attempts, took = Answer(job_id, Code.TIMEOUT, "past its deadline in the queue"), 0, 0.0
    else:
        begun = time.monotonic()
        answer, attempts = await _ask(lane, job, job_id, left)
        took = time.monotonic() - begun
    await lane.finish(envelope, answer)
    log.info(
        "lookup.finished",
        lookup=job.lookup,
        backend=lane.name,
        lane=lane.name,
        outcome=answer.code.name,
        reason=answer.info,
        attempts=attempts,
        queue_ms=round(now - envelope.enqueued_ms, 2),
        backend_ms=round(took * 1000, 2),
        left_ms=round((left - took) * 1000, 2),
        session=job.session,
        trace_id=job.trace_id,
    )


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
        return Answer(job_id, error.code, str(error)), attempts
    except Exception:
        log.exception("lookup.failed", lookup=job.lookup, lane=lane.name, trace_id=job.trace_id)
        return Answer(job_id, Code.LOOKUP_FAILED, "internal error"), attempts
    return Answer(job_id, Code.OK, "", variables), attempts
