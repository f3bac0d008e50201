"""The asker that needs no fleet: this process asks the backends itself, under the policies of a worker."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from gateway.core.errors import Code
from gateway.core.messages import Answer
from gateway.core.records import Known
from gateway.front.alone.restorer import Restorer
from gateway.front.askers import unanswered
from gateway.front.ladder import Heard, Source
from gateway.front.plan import Planned
from gateway.lookups.ask import GuardedBackend
from gateway.process.background import Background
from gateway.queue.hand_off import RETRIED, WORTH_ANOTHER


class AloneAsker:
    """Asks the backends of all lanes. Equal lookups are one call in this process."""

    def __init__(self, backends: Mapping[str, GuardedBackend], restorer: Restorer) -> None:
        """Take the backend of each lane, and the restorer, which keeps the answers for Redis."""
        self._backends, self._restorer = backends, restorer
        self._calls = Background()
        self._flights: dict[str, asyncio.Task[Answer]] = {}

    async def close(self) -> None:
        """Cancel the calls that are under way."""
        await self._calls.close()

    async def ask(self, planned: Sequence[Planned], deadline: float) -> list[Heard]:
        """Ask the backends side by side; return the result of each lookup at ``deadline``."""
        return list(await asyncio.gather(*(self._hear(one, deadline) for one in planned)))

    def refresh(self, planned: Planned) -> None:
        """Begin to renew a record that has just answered a callback, unless a call for it is under way."""
        if planned.job.record not in self._flights:
            backend = self._backends[planned.lookup.lane]
            self._begin(planned, time.monotonic() + backend.overrun, awaited=False)

    async def answer(self, planned: Planned, deadline: float) -> Answer | None:
        """Return the answer of the backend, None if there is none by ``deadline``.

        A call whose callback no longer waits goes on, as a worker's does, and its answer is kept. A lookup
        may join another callback's call. If that call fails for want of time, the lookup begins its own.
        """
        while True:
            joined = self._flights.get(planned.job.record)
            flight = joined or self._begin(planned, deadline)
            await asyncio.wait([flight], timeout=max(0.0, deadline - time.monotonic()))
            if not flight.done():
                return None
            answer = flight.result()
            left = deadline - time.monotonic()
            if joined is None or answer.code not in RETRIED or left < WORTH_ANOTHER:
                return answer

    async def _hear(self, planned: Planned, deadline: float) -> Heard:
        since = time.monotonic()
        answer = await self.answer(planned, deadline)
        now = time.monotonic()
        if answer is None or answer.code != Code.OK:
            return unanswered(planned, Code.TIMEOUT if answer is None else answer.code, now - since)
        live = Known(answer.variables, now, answer.found)
        return Heard(Code.OK, Source.LIVE, live, planned.known, planned.of_user, now - since)

    def _begin(self, planned: Planned, deadline: float, *, awaited: bool = True) -> asyncio.Task[Answer]:
        record = planned.job.record
        flight = self._calls.start(self._ask(planned, deadline, awaited=awaited))
        self._flights[record] = flight
        flight.add_done_callback(lambda _: self._flights.pop(record, None))
        return flight

    async def _ask(self, planned: Planned, deadline: float, *, awaited: bool) -> Answer:
        """Return the answer of the backend, or the failure that stands for it; keep an answer."""
        job, backend = planned.job, self._backends[planned.lookup.lane]
        begun, mark = time.monotonic(), min(self._restorer.mark, planned.mark)
        left = deadline - begun
        asked = await backend.ask(job, job.trace_id, left, awaited=awaited)
        at, answer = time.monotonic(), asked.answer
        if answer.code == Code.OK:
            kept, indexed = planned.lookup.kept, planned.app.indexed
            self._restorer.keep(job, answer, at - asked.age, mark, kept=kept, indexed=indexed)
        if asked.attempts:  # else it was not asked: the bulkhead was full, or a gate was shut
            backend.report_finished(job, asked, queued=0.0, took=at - begun, left=left)
        return answer
