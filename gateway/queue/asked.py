"""A lookup that one callback has asked for, and how it stands."""

import time
from dataclasses import dataclass, field

from gateway.core.errors import Code
from gateway.core.messages import Answer
from gateway.core.records import Known
from gateway.queue.jobs import State, Wanted
from gateway.queue.replies import Pending

NOT_AWAITED = {State.UNATTENDED, State.SHED, State.REVALIDATING, State.FAILED}
"""States of lookups whose callbacks do not wait for the job."""

EARLIER = 1.0
"""Seconds by which a live answer may be older than its question: callbacks share jobs."""

_SERVED = {State.FRESH, State.REVALIDATING}
"""States of lookups whose record is the answer."""


@dataclass(slots=True, eq=False, repr=False)
class Asked:
    """A lookup that one callback asks for, from ``since`` to ``deadline`` on the monotonic clock.

    As soon as it is begun it has a ``state``; the records that answer it for now, the session's (``known``)
    and the user's (``of_user``); and the ``job`` that may bring a better answer, if there is one.
    ``server_ms`` is when it was begun, on the Redis server's clock, and ``at`` is the same moment on this
    process's. ``why`` is the code of a lookup whose backend must not be asked now.
    """

    want: Wanted
    deadline: float
    since: float
    why: Code | None = None
    state: State = field(init=False)
    known: Known | None = field(init=False)
    of_user: Known | None = field(init=False)
    job: Pending | None = field(init=False)
    server_ms: float = field(init=False)
    at: float = field(init=False)

    @property
    def answer(self) -> Answer | None:
        """The job's answer, if it has come."""
        return self.job.future.result() if self.job is not None and self.job.done() else None

    @property
    def given(self) -> Known | None:
        """The job's answer as a record, if one with code 0 has come."""
        answer = self.answer
        if answer is None or answer.code != Code.OK or self.job is None:
            return None
        return self.job.known(answer, self.job.heard)

    def is_live(self, given: Known) -> bool:
        """True if the job's answer belongs to this question.

        A worker that could not reach Redis for a while may give back what its backend said long before.
        """
        return given.born >= self.since - EARLIER

    @property
    def outdated(self) -> bool:
        """Whether the job's answer is from before the question, and too old to be its answer."""
        given = self.given
        if given is None or self.is_live(given):
            return False
        return self.want.state_of(given, time.monotonic()) is None

    @property
    def unusable(self) -> bool:
        """Whether the record that is the answer cannot be read, or is another configuration's."""
        return self.state in _SERVED and self.want.awaited and not self.want.takes(self.known)

    def begun(  # noqa: PLR0913, PLR0917 - its fields
        self,
        state: State,
        known: Known | None,
        of_user: Known | None,
        job: Pending | None,
        server_ms: float,
        at: float,
    ) -> None:
        """Note how it stands now that it is begun, or begun anew."""
        self.state, self.known, self.of_user, self.job = state, known, of_user, job
        self.server_ms, self.at = server_ms, at

    def leave_alone(self, why: Code | None) -> bool:
        """Note why the backend must not be asked; return False if it may be."""
        self.why = why
        return why is not None

    def refuse_record(self) -> None:
        """Ask for a job, even if there is a record."""
        self.want = self.want.anew()

    def take(self, answer: Answer) -> None:
        """Take an answer that came another way than by a push, if none has come yet."""
        if self.job is not None and not self.job.done():
            self.job.resolve(answer, time.monotonic())

    def leave(self) -> None:
        """Stop to wait for the job, if this callback waits for it."""
        if self.job is not None and not self.job.done() and self.state not in NOT_AWAITED:
            self.job.leave()
