"""Asking: a backend under its policies gives an answer to each question, in a worker and in a gateway."""

import time
from collections.abc import Awaitable, Mapping
from functools import partial
from typing import NamedTuple, Protocol

from gateway.core.errors import Code, LookupFailed, NoAnswer
from gateway.core.messages import Answer, Ask, Job
from gateway.declared.backend import Backend as BackendSettings
from gateway.declared.lookup import Lookup, digest_lookups
from gateway.lookups.reply import Finding
from gateway.lookups.reported import AttemptReporter
from gateway.process.deferred_calls import DeferredCalls
from gateway.process.lasting import Lasting
from gateway.resilience.policy import Call
from gateway.resilience.stack import Runner
from gateway.telemetry import events

MAX_ANSWER = 1024 * 1024
"""Most characters of an answer's variables, names included."""

FAILING_AFTER = 5
"""Lookups in a row without an answer after which a backend counts as failing."""

BUSY_EVERY = 10.0
"""Least seconds between two log lines about a backend with as many calls as it takes."""

_LONGEST_INFO = 200

_ILL = {
    Code.TIMEOUT,
    Code.BACKEND_UNAVAILABLE,
    Code.BAD_BACKEND_REPLY,
    Code.BACKEND_DENIED,
    Code.BACKEND_THROTTLED,
    Code.LOOKUP_FAILED,
}
"""Codes of a backend that is ill. One that rejects a question has at least understood it."""


class Backend(Protocol):
    """A service behind lookups: one attempt at a time."""

    async def ask(self, lookup: Lookup, ask: Ask) -> Finding:
        """Return the answer of one attempt; raise NoAnswer."""
        ...

    async def start(self) -> None:
        """Prepare for questions, as far as that takes time; raise ImportError for a hook that fails."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Asked(NamedTuple):
    """A question that was put: its answer, the number of attempts, the variables whose expressions failed.

    If the attempt outlasted its limit, this process was held up, and the answer lay unread for nobody knows
    how long. Then it may be ``age`` seconds old: all of its attempt.
    """

    answer: Answer
    attempts: int = 0
    failed: tuple[str, ...] = ()
    age: float = 0.0


class GuardedBackend:
    """The backend of a lane under its policies: each question gets an answer. Durations are seconds."""

    def __init__(
        self,
        name: str,
        settings: BackendSettings,
        lookups: Mapping[str, Lookup],
        backend: Backend,
        policies: Runner,
    ) -> None:
        """Take the lane's settings and lookups, their backend, and the policies around it."""
        self.name = name
        self.concurrency = settings.concurrency
        """Most calls at one time."""
        self.overrun = settings.attempt_timeout
        """Seconds that a job may run on past its deadline: one attempt."""
        self.configuration = digest_lookups(lookups.values())
        """Digest of the lane's lookups: two processes with the same digest know the same jobs."""
        self._lookups, self._backend, self._policies = lookups, backend, policies
        self._failures, self._failing_since = 0, 0.0
        self._failing, self._busy = Lasting(), Lasting(BUSY_EVERY)
        self.report_finished = DeferredCalls(self._report_finished)
        """Logs an answer, at the turn's end: ``queued`` seconds on the lane, ``left`` when asking began."""

    async def start(self) -> None:
        """Prepare for questions: the board has begun to listen. Raise ImportError for a hook that fails."""
        await self._backend.start()

    async def close(self) -> None:
        """Close the backend."""
        await self._backend.close()

    async def ask(self, job: Job, job_id: str, left: float, *, awaited: bool = True) -> Asked:
        """Return the backend's answer, or the failure in its place.

        No attempt begins after ``left`` seconds. An attempt that runs then ends by its own timeout. A job
        that is not ``awaited`` gets one attempt.
        """
        call: Call | None = None
        try:
            lookup = self._lookup(job)
            deadline = time.monotonic() + left
            reporter = AttemptReporter(job.lookup, self.name, job.trace_id)
            call = Call(
                partial(self._attempt, lookup, job, deadline, reporter),
                deadline,
                awaited=awaited,
                observer=reporter,
                hedge=lookup.hedge if awaited else None,
            )
            finding: Finding = await self._policies(call)
        except NoAnswer as error:
            if error.code == Code.OVERLOADED and self._busy.due("", time.monotonic()) is not None:
                events.backend_busy(backend=self.name)
            return Asked(Answer(job_id, error.code, _shorten_text(error)), _attempts(call))
        except Exception as error:  # noqa: BLE001 - logged
            events.lookup_failed(lookup=job.lookup, lane=self.name, trace_id=job.trace_id, error=error)
            return Asked(Answer(job_id, Code.LOOKUP_FAILED, "internal error"), _attempts(call))
        size = sum(len(name) + len(value) for name, value in finding.variables.items())
        if size > MAX_ANSWER:
            events.lookup_oversized(lookup=job.lookup, lane=self.name, size=size, trace_id=job.trace_id)
            return Asked(
                Answer(job_id, Code.BAD_BACKEND_REPLY, "the variables are too large"), _attempts(call)
            )
        answer = Answer(job_id, Code.OK, "", finding.variables, found=finding.found)
        age = call.took if call.took > self.overrun else 0.0
        return Asked(answer, _attempts(call), finding.failed, age)

    def _attempt(
        self, lookup: Lookup, job: Job, deadline: float, reporter: AttemptReporter
    ) -> Awaitable[Finding]:
        left, traceparent = deadline - time.monotonic(), reporter.begin()
        ask = Ask(job.lookup, job.inputs, job.app, job.session, job.trace_id, left, job.user, traceparent)
        return self._backend.ask(lookup, ask)

    def knows(self, job: Job) -> bool:
        """True if ``job`` names a lookup of this lane, in the version that this process has."""
        lookup = self._lookups.get(job.lookup)
        return lookup is not None and lookup.version == job.version

    def kept(self, job: Job) -> float:
        """Return the seconds for which an answer to ``job`` is kept, 0 if its lookup is not of this lane."""
        lookup = self._lookups.get(job.lookup)
        return lookup.kept if lookup else 0.0

    def _lookup(self, job: Job) -> Lookup:
        """Return the lookup that ``job`` names; raise LookupFailed if this process has another or none."""
        if not self.knows(job):
            known = "another version of the lookup" if job.lookup in self._lookups else "no such lookup"
            msg = f"this process has {known}: bring gateways and workers to one configuration"
            raise LookupFailed(msg)
        return self._lookups[job.lookup]

    def _note_health(self, asked: Asked) -> None:
        """Tell an operator of a backend that answers no lookup at all, and of its return."""
        code = asked.answer.code
        if code == Code.OK and self._failures:
            self._failures = 0
            now = time.monotonic()
            if self._failing.over(self.name, now) is not None:
                events.backend_recovered(backend=self.name, seconds=now - self._failing_since)
        elif code in _ILL and asked.attempts:  # without an attempt it was not asked
            now = time.monotonic()
            self._failing_since = self._failing_since if self._failures else now
            self._failures += 1
            if self._failures >= FAILING_AFTER and self._failing.due(self.name, now) is not None:
                events.backend_failing(
                    backend=self.name,
                    code=code,
                    lookups=self._failures,
                    seconds=now - self._failing_since,
                )

    def _report_finished(self, job: Job, asked: Asked, *, queued: float, took: float, left: float) -> None:
        self._note_health(asked)
        events.lookup_finished(
            lookup=job.lookup,
            backend=self.name,
            code=asked.answer.code,
            reason=asked.answer.info,
            attempts=asked.attempts,
            unmapped=asked.failed,
            queued=queued,
            took=took,
            left=left - took,
            session=job.session,
            trace_id=job.trace_id,
            app=job.app,
            user=job.user,
            inputs=job.inputs,
            variables=asked.answer.variables,
            found=asked.answer.found,
        )


def _attempts(call: Call | None) -> int:
    return 0 if call is None else call.attempts


def _shorten_text(error: NoAnswer) -> str:
    """Return an error's text, fit to be sent: a Python lookup may raise an error with any text."""
    return str(error)[:_LONGEST_INFO].encode(errors="replace").decode()
