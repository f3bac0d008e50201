"""Session events, after their answers: lookups are made ahead, or the session is forgotten."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from gateway.core.errors import QueueUnavailable
from gateway.core.messages import SessionEvent
from gateway.core.records import session_name
from gateway.declared.app import App
from gateway.declared.catalog import Catalog
from gateway.declared.when import holds
from gateway.forgetting.forget import Forgetter
from gateway.front.askers import FleetAsker
from gateway.front.plan import Recall, plan
from gateway.process.background import Background
from gateway.telemetry import events

MARKS_KEPT = 8192
"""Marks of events that a process remembers, to recognise retries. An event has up to two marks."""

FORGET_FOR = 30.0
"""Seconds for which a process goes on trying to forget a session while Redis is lost."""


class SessionEvents:
    """A gateway process's session events, each in a task of its own."""

    def __init__(
        self,
        catalog: Catalog,
        recall: Recall,
        fleet: FleetAsker,
        forgetter: Forgetter,
        mark: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """Take the configuration, the records of this process, the asker, and the forgetter.

        ``mark`` returns the number of erasures that this process has seen.
        """
        self._mark = mark
        self._catalog = catalog
        self._settings = catalog.settings.gateway
        self._recall = recall
        self._fleet = fleet
        self._forgetter = forgetter
        self._marks: OrderedDict[bytes, None] = OrderedDict()
        self._tasks = Background()

    def take(self, event: SessionEvent, trace_id: str) -> None:
        """Start a task that does what the app wants on this event; never raises."""
        repeated = self._seen_before(event.marks)
        self._tasks.start(self._act(event, trace_id, self._mark(), repeated=repeated))

    async def close(self, grace: float) -> None:
        """Wait ``grace`` seconds for the tasks that run, then cancel them."""
        await self._tasks.close(grace)

    def _seen_before(self, marks: Sequence[str]) -> bool:
        """True if an event with one of these marks has been seen; remember all of them."""
        digests = _digests(marks)
        known = any(digest in self._marks for digest in digests)
        for digest in digests:
            self._marks[digest] = None
        while len(self._marks) > MARKS_KEPT:
            self._marks.popitem(last=False)
        return known

    def _unsee(self, marks: Sequence[str]) -> None:
        """Forget an event that came to nothing: its retry shall be acted on."""
        for digest in _digests(marks):
            self._marks.pop(digest, None)

    async def _act(self, event: SessionEvent, trace_id: str, mark: float, *, repeated: bool) -> None:
        app = self._catalog.apps[event.app]
        prefetched: list[str] = []
        forgotten = 0
        reason = ""
        try:
            if not event.session:
                reason = "of no session"
            elif repeated:
                reason = "a retry"
            elif event.name in app.forget_on:
                forgotten = await self._forget_session(event, trace_id)
            elif app.prefetch_on and event.name not in app.prefetch_on:
                reason = "not in prefetch_on"
            elif len(self._tasks) > self._settings.max_inflight:
                reason = "too many events in hand"
            else:
                prefetched = await self._prefetch(app, event, trace_id, mark)
        except QueueUnavailable as unavailable:
            self._unsee(event.marks)
            reason = str(unavailable)
        except Exception as error:  # noqa: BLE001 - logged
            self._unsee(event.marks)
            events.session_failed(app=event.app, session=event.session, trace_id=trace_id, error=error)
            return
        events.session_notified(
            app=event.app,
            session=event.session,
            name=event.name,
            prefetched=prefetched,
            forgotten=forgotten,
            reason=reason,
            trace_id=trace_id,
        )

    async def _forget_session(self, event: SessionEvent, trace_id: str) -> int:
        """Forget a session; return the number of its records in Redis. Raise QueueUnavailable at last.

        Whoever has promised to erase it must hear that this did not come to pass.
        """
        again = AsyncRetrying(
            retry=retry_if_exception_type(QueueUnavailable),
            stop=stop_after_delay(FORGET_FOR),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            reraise=True,
        )
        try:
            return await again(self._forgetter.forget, session_name(event.app, event.session))
        except (QueueUnavailable, asyncio.CancelledError) as error:
            reason = str(error) if isinstance(error, QueueUnavailable) else "the process ended before"
            events.session_not_forgotten(
                app=event.app, session=event.session, name=event.name, reason=reason, trace_id=trace_id
            )
            raise

    async def _prefetch(self, app: App, event: SessionEvent, trace_id: str, mark: float) -> list[str]:
        """Begin the lookups that have no record in this process; return those now under way.

        Raise QueueUnavailable.
        """
        due = [lookup for lookup in app.prefetch if holds(lookup.when, event.variables)]
        planned = [plan(lookup, app, event, trace_id, self._recall, mark) for lookup in due]
        unknown = [one for one in planned if one.refused is None and one.known is None]
        return await self._fleet.prefetch(unknown, time.monotonic() + self._settings.budget)


def _digests(marks: Sequence[str]) -> list[bytes]:
    return [blake2b(mark.encode(errors="surrogatepass"), digest_size=16).digest() for mark in marks]
