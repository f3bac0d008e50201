"""Asking: a backend under its policies, and what comes of asking it, whoever asks."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from gateway.core.errors import Code, LookupFailed, NoAnswer
from gateway.core.messages import Answer, Ask, Job
from gateway.declared.backend import Backend as BackendSettings
from gateway.declared.lookup import Lookup
from gateway.process.deferred_calls import DeferredCalls
from gateway.resilience.policy import Call
from gateway.resilience.stack import Step
from gateway.telemetry import events

MAX_ANSWER = 1024 * 1024
"""Most bytes of the variables of an answer, names included."""

_LONGEST_INFO = 200


class Backend(Protocol):
    """A service behind lookups: one attempt at a time."""

    async def ask(self, lookup: Lookup, ask: Ask) -> dict[str, str]:
        """Return the variables of one attempt; raise NoAnswer."""
        ...

    async def close(self) -> None:
        """Close what is held open."""
        ...


class GuardedBackend:
    """The backend of a lane under its policies: every question becomes an answer. Durations are seconds."""

    def __init__(
        self,
        name: str,
        settings: BackendSettings,
        lookups: Mapping[str, Lookup],
        backend: Backend,
        policies: Step,
    ) -> None:
        """Take the settings and the lookups of the lane, whom they ask, and under which policies."""
        self.name = name
        self.concurrency = settings.concurrency
        """Most calls at one time."""
        self.overrun = settings.attempt_timeout
        """Seconds that an answer may take past its deadline: one attempt."""
        self._lookups, self._backend, self._policies = lookups, backend, policies
        self.report_finished = DeferredCalls(self._report_finished)
        """Reports the answer: ``queued`` seconds on the lane, ``left`` when it began."""

    async def close(self) -> None:
        """Close the backend."""
        await self._backend.close()

    async def ask(self, job: Job, job_id: str, left: float, *, awaited: bool = True) -> tuple[Answer, int]:
        """Return the answer of the backend, or the failure that stands for it, and the attempts it took.

        No attempt begins after ``left`` seconds; the one that runs then ends by its own timeout. A job that
        nobody waits for gets one attempt.
        """
        call: Call | None = None
        try:
            lookup = self._lookup(job)
            ask = Ask(job.lookup, job.inputs, job.app, job.session, job.trace_id, left)
            call = Call(
                partial(self._backend.ask, lookup, ask),
                time.monotonic() + left,
                awaited=awaited,
                retried=partial(self._report_retried, job),
            )
            variables: dict[str, str] = await self._policies(call)
        except NoAnswer as error:
            return Answer(job_id, error.code, _said(error)), _attempts(call)
        except Exception as error:  # noqa: BLE001 - told
            events.lookup_failed(lookup=job.lookup, lane=self.name, trace_id=job.trace_id, error=error)
            return Answer(job_id, Code.LOOKUP_FAILED, "internal error"), _attempts(call)
        size = sum(len(name) + len(value) for name, value in variables.items())
        if size > MAX_ANSWER:
            events.lookup_oversized(lookup=job.lookup, lane=self.name, size=size, trace_id=job.trace_id)
            return Answer(job_id, Code.BAD_BACKEND_REPLY, "the variables are too large"), _attempts(call)
        return Answer(job_id, Code.OK, "", variables), _attempts(call)

    def kept(self, job: Job) -> float:
        """Return the seconds for which an answer to ``job`` is worth keeping, 0 for a lookup of others."""
        lookup = self._lookups.get(job.lookup)
        return lookup.kept if lookup else 0.0

    def _lookup(self, job: Job) -> Lookup:
        """Return the lookup that ``job`` names; raise LookupFailed when it is not one of this lane."""
        lookup = self._lookups.get(job.lookup)
        if lookup is None:
            msg = "this worker does not know the lookup; gateway and worker run different configurations"
            raise LookupFailed(msg)
        return lookup

    def _report_retried(self, job: Job, attempt: int, error: NoAnswer) -> None:
        events.lookup_retried(
            lookup=job.lookup,
            backend=self.name,
            attempt=attempt,
            code=error.code,
            reason=str(error),
            trace_id=job.trace_id,
        )

    def _report_finished(  # noqa: PLR0913 - as many as the line tells
        self, job: Job, answer: Answer, attempts: int, *, queued: float, took: float, left: float
    ) -> None:
        events.lookup_finished(
            lookup=job.lookup,
            backend=self.name,
            code=answer.code,
            reason=answer.info,
            attempts=attempts,
            queued=queued,
            took=took,
            left=left - took,
            session=job.session,
            trace_id=job.trace_id,
        )


def _attempts(call: Call | None) -> int:
    return 0 if call is None else call.attempts


def _said(error: NoAnswer) -> str:
    """Return what an error says, as it can travel: a lookup of the user's own may raise one with any text."""
    return str(error)[:_LONGEST_INFO].encode(errors="replace").decode()
