"""What happens to a session event, behind its answer: lookups made ahead, or the session forgotten."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from gateway.core.errors import QueueUnavailable
from gateway.core.messages import SessionEvent
from gateway.core.records import session_name
from gateway.declared.app import App
from gateway.declared.catalog import Catalog
from gateway.forgetting.forget import Forgetter
from gateway.front.askers import FleetAsker
from gateway.front.plan import Recall, plan
from gateway.process.background import Background
from gateway.telemetry import events

MARKS_KEPT = 8192
"""Marks of events that a process remembers, to know their retries; an event has up to two."""

FORGET_FOR = 30.0
"""Seconds for which a session is tried to be forgotten while Redis is away."""


class SessionEvents:
    """A gateway process's session events, each in a task of its own."""

    def __init__(self, catalog: Catalog, recall: Recall, fleet: FleetAsker, forget: Forgetter) -> None:
        """Take what is declared, what this process remembers, whom to ask, and the way to forget."""
        self._catalog = catalog
        self._settings = catalog.settings.gateway
        self._recall = recall
        self._fleet = fleet
        self._forget = forget
        self._marks: OrderedDict[bytes, None] = OrderedDict()
        self._tasks = Background()

    def take(self, event: SessionEvent, trace_id: str) -> None:
        """Do what the event's app wants done on it, behind the answer; never raises."""
        self._tasks.start(self._act(event, trace_id, repeated=self._known(event.marks)))

    async def close(self, grace: float) -> None:
        """Wait ``grace`` seconds for what is under way, then let it go."""
        await self._tasks.close(grace)

    def _known(self, marks: Sequence[str]) -> bool:
        """Tell whether an event with one of these marks has been seen; remember them all."""
        digests = [blake2b(mark.encode(errors="surrogatepass"), digest_size=16).digest() for mark in marks]
        known = any(digest in self._marks for digest in digests)
        for digest in digests:
            self._marks[digest] = None
        while len(self._marks) > MARKS_KEPT:
            self._marks.popitem(last=False)
        return known

    async def _act(self, event: SessionEvent, trace_id: str, *, repeated: bool) -> None:
        app = self._catalog.apps[event.app]
        prefetched: list[str] = []
        forgotten = 0
        reason = ""
        try:
            if repeated:
                reason = "a retry"
            elif event.name in app.forget_on:
                forgotten = await self._forget_session(event)
            elif len(self._tasks) > self._settings.max_inflight:
                reason = "too many events in hand"
            else:
                prefetched = await self._prefetch(app, event, trace_id)
        except QueueUnavailable as unavailable:
            reason = str(unavailable)
        except Exception as error:  # noqa: BLE001 - told
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

    async def _forget_session(self, event: SessionEvent) -> int:
        """Return the number of records that Redis held of a session; raise QueueUnavailable at last."""
        again = AsyncRetrying(
            retry=retry_if_exception_type(QueueUnavailable),
            stop=stop_after_delay(FORGET_FOR),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            reraise=True,
        )
        return await again(self._forget.forget, session_name(event.app, event.session))

    async def _prefetch(self, app: App, event: SessionEvent, trace_id: str) -> list[str]:
        """Begin the lookups of which this process has no record; return those begun or under way.

        Raise QueueUnavailable.
        """
        planned = [plan(lookup, app, event, trace_id, self._recall) for lookup in app.prefetch]
        unknown = [one for one in planned if one.complete and one.known is None]
        return await self._fleet.prefetch(unknown, time.monotonic() + self._settings.budget)
