"""Direct: backends asked by the gateway itself while Redis is lost, under the policies of a worker."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gateway.core.errors import Code, Overloaded
from gateway.core.messages import Answer, Job
from gateway.declared.catalog import Catalog
from gateway.front.alone.keep import Keep
from gateway.lookups.ask import Asking
from gateway.queue.hand_off import RETRIED, WORTH_ANOTHER, Asked
from gateway.queue.jobs import State
from gateway.resilience.bulkhead import Bulkhead
from gateway.wire.link import RedisLink

WORTH_ASKING = 0.1
"""Least seconds left for which a backend is asked for a lookup that was waited for when Redis was lost."""


WORKERS_RETURN = 6.0
"""Seconds since Redis' return in which workers may yet have to find it again, each by itself."""


class Direct:
    """A gateway process's own way to the backends, for the apps with ``redis_lost = "direct"``."""

    def __init__(self, catalog: Catalog, link: RedisLink, keep: Keep) -> None:
        """Open the backend of every lane; raise ImportError for a Python lookup that is not there."""
        self._catalog = catalog
        self._link = link
        self._keep = keep
        self._askings = {name: Asking(catalog, name) for name in catalog.lanes}
        self._bulkheads = {name: Bulkhead(asking.concurrency) for name, asking in self._askings.items()}
        self._flights: dict[str, asyncio.Task[Answer]] = {}
        self._watched: dict[int, tuple[Sequence[Asked], float]] = {}
        self._instead: set[asyncio.Task[None]] = set()
        link.losses.append(self._lost)

    async def close(self) -> None:
        """Wait for no answer any more, and close the backends."""
        self._link.losses.remove(self._lost)
        tasks = [*self._flights.values(), *self._instead]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._keep.close()
        for asking in self._askings.values():
            await asking.backend.close()

    async def answer(self, job: Job, deadline: float) -> Answer | None:
        """Return what comes of asking for ``job``, None when nothing has by ``deadline``.

        Equal jobs are one call (single-flight). One that its callback no longer waits for goes on, as a
        worker's does, and its answer is kept.
        """
        while True:
            joined = self._flights.get(job.record)
            flight = joined or self._begin(job, deadline)
            await asyncio.wait([flight], timeout=max(0.0, deadline - time.monotonic()))
            if not flight.done():
                return None
            answer = flight.result()
            left = deadline - time.monotonic()
            if joined is None or answer.code not in RETRIED or left < WORTH_ANOTHER:
                return answer

    def stands_in(self, one: Asked) -> bool:
        """Tell whether to ask for what has no worker, since Redis has come back, and workers not yet."""
        return one.state is State.UNATTENDED and time.monotonic() - self._link.restored < WORKERS_RETURN

    @contextmanager
    def watching(self, asked: Sequence[Asked], deadline: float) -> Iterator[None]:
        """Ask for what has no worker, and for all that is awaited in the block should Redis be lost.

        A push may still be first.
        """
        self._ask_instead([one for one in asked if self._link.lost or self.stands_in(one)], deadline)
        self._watched[id(asked)] = (asked, deadline)
        try:
            yield
        finally:
            del self._watched[id(asked)]

    def _lost(self) -> None:
        for asked, deadline in self._watched.values():
            self._ask_instead(asked, deadline)

    def _ask_instead(self, asked: Sequence[Asked], deadline: float) -> None:
        if deadline - time.monotonic() < WORTH_ASKING:
            return
        for one in asked:
            if one.job is not None and one.answer is None and not one.direct:
                one.direct = True
                task = asyncio.create_task(self._settle(one, deadline))
                self._instead.add(task)
                task.add_done_callback(self._instead.discard)

    async def _settle(self, one: Asked, deadline: float) -> None:
        answer = await self.answer(one.want.job, deadline)
        if answer is not None:
            one.take(answer)

    def _begin(self, job: Job, deadline: float) -> asyncio.Task[Answer]:
        flight = asyncio.create_task(self._ask(job, deadline))
        self._flights[job.record] = flight
        flight.add_done_callback(lambda _: self._flights.pop(job.record, None))
        return flight

    async def _ask(self, job: Job, deadline: float) -> Answer:
        """Return the answer of the backend, or the failure that stands for it; keep what is worth keeping."""
        lookup = self._catalog.lookups[job.lookup]
        asking, bulkhead = self._askings[lookup.lane], self._bulkheads[lookup.lane]
        begun, mark = time.monotonic(), self._keep.mark
        left = deadline - begun
        try:
            with bulkhead:
                answer, attempts = await asking.ask(job, job.trace_id, left)
        except Overloaded as error:
            return Answer(job.trace_id, error.code, str(error))
        at = time.monotonic()
        if answer.code == Code.OK:
            indexed = self._catalog.apps[job.app].indexed
            self._keep(job, answer, at, mark, kept=lookup.kept, indexed=indexed)
        asking.log_finished(job, answer, attempts, waited=0.0, took=at - begun, left=left)
        return answer
