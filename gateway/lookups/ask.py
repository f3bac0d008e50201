"""Asking: a lane's backend, opened with its policy, and what comes of asking it, whoever asks."""

from gateway.core.errors import Code, LookupFailed, NoAnswer
from gateway.core.messages import Answer, Ask, Job
from gateway.declared.backend import PYTHON_LANE
from gateway.declared.catalog import Catalog
from gateway.declared.lookup import PYTHON_LATE, Lookup
from gateway.lookups.http import HttpBackend
from gateway.lookups.python import PythonBackend
from gateway.process.later import Later
from gateway.resilience.retry import RetryPolicy
from gateway.telemetry import events

MAX_ANSWER = 1024 * 1024
"""Most bytes of the variables of an answer, names included."""

PYTHON_CONCURRENCY = 100
"""Python lookups that a process runs at a time."""

_LONGEST_INFO = 200


class Asking:
    """A lane's backend, and how it is asked. Durations are seconds."""

    def __init__(self, catalog: Catalog, name: str) -> None:
        """Open the backend of lane ``name``; raise ImportError for a Python lookup that is not there."""
        self.name = name
        self.catalog = catalog
        self.log_finished = Later(self._log_finished)
        """Logs what came of an asking: ``waited`` seconds in the queue, ``left`` when it began."""
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
    def late(self) -> float:
        """Seconds that an answer may take past its deadline: one attempt."""
        return self.policy.attempt_timeout

    def lookup(self, job: Job) -> Lookup:
        """Return the lookup that ``job`` names; raise LookupFailed when this process does not know it."""
        lookup = self.catalog.lookups.get(job.lookup)
        if lookup is None or lookup.lane != self.name:
            msg = "this worker does not know the lookup; gateway and worker run different configurations"
            raise LookupFailed(msg)
        return lookup

    async def ask(self, job: Job, job_id: str, left: float, *, awaited: bool = True) -> tuple[Answer, int]:
        """Return the answer of the backend, or the failure that stands for it, and the attempts it took.

        No attempt begins after ``left`` seconds; the one that runs then ends by its own timeout. What is not
        ``awaited`` is asked once.
        """
        attempts = 0

        def on_retry(number: int, error: NoAnswer) -> None:
            events.lookup_retried(
                lookup=job.lookup,
                backend=self.name,
                attempt=number,
                code=error.code,
                reason=str(error),
                trace_id=job.trace_id,
            )

        async def attempt() -> dict[str, str]:
            nonlocal attempts
            attempts += 1
            return await self.backend.ask(lookup, ask)

        try:
            lookup = self.lookup(job)
            ask = Ask(job.lookup, job.inputs, job.app, job.session, job.trace_id, left)
            variables = await self.policy.run(attempt, left if awaited else 0.0, on_retry)
        except NoAnswer as error:
            return Answer(job_id, error.code, _said(error)), attempts
        except Exception as error:  # noqa: BLE001 - told
            events.lookup_failed(lookup=job.lookup, lane=self.name, trace_id=job.trace_id, error=error)
            return Answer(job_id, Code.LOOKUP_FAILED, "internal error"), attempts
        size = sum(len(name) + len(value) for name, value in variables.items())
        if size > MAX_ANSWER:
            events.lookup_oversized(lookup=job.lookup, lane=self.name, size=size, trace_id=job.trace_id)
            return Answer(job_id, Code.BAD_BACKEND_REPLY, "the variables are too large"), attempts
        return Answer(job_id, Code.OK, "", variables), attempts

    def _log_finished(  # noqa: PLR0913 - as many as the line tells
        self, job: Job, answer: Answer, attempts: int, *, waited: float, took: float, left: float
    ) -> None:
        """Write the canonical line of an asking."""
        events.lookup_finished(
            lookup=job.lookup,
            backend=self.name,
            code=answer.code,
            reason=answer.info,
            attempts=attempts,
            queued=waited,
            took=took,
            left=left - took,
            session=job.session,
            trace_id=job.trace_id,
        )


def _said(error: NoAnswer) -> str:
    """Return what an error says, as it can travel: a lookup of the user's own may raise one with any text."""
    return str(error)[:_LONGEST_INFO].encode(errors="replace").decode()
