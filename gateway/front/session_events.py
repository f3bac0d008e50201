"""What happens to a session event, behind its answer: lookups made ahead, or the session forgotten."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from gateway.core.errors import QueueUnavailable
from gateway.core.messages import SessionEvent
from gateway.core.records import session_name
from gateway.declared.catalog import App
from gateway.forgetting.forget import Forgetter
from gateway.front.flow import Flow
from gateway.queue.hand_off import HandOff
from gateway.queue.jobs import State
from gateway.telemetry import events

MARKS_KEPT = 8192
"""Marks of events that a process remembers, to know their retries; an event has up to two."""

FORGET_FOR = 30.0
"""Seconds for which a session is tried to be forgotten while Redis is away."""


class SessionEvents:
    """A gateway process's session events, each in a task of its own."""

    def __init__(self, flow: Flow, hand_off: HandOff, forget: Forgetter) -> None:
        """Take what plans lookups, the way to the workers, and the way to forget."""
        self._flow = flow
        self._settings = flow.catalog.settings.gateway
        self._hand_off = hand_off
        self._forget = forget
        self._marks: OrderedDict[bytes, None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, event: SessionEvent, trace_id: str) -> None:
        """Do what the event's app wants done on it, behind the answer; never raises."""
        task = asyncio.create_task(self._act(event, trace_id, repeated=self._known(event.marks)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, grace: float) -> None:
        """Wait ``grace`` seconds for what is under way, then let it go."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in (left := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

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
        app = self._flow.catalog.apps[event.app]
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
        questions = [self._flow.plan(lookup, event, trace_id) for lookup in app.prefetch]
        unknown = [question for question in questions if question.complete and question.known is None]
        if not unknown:
            return []
        wanted = [question.want._replace(awaited=False) for question in unknown]
        asked = await self._hand_off.begin(wanted, time.monotonic() + self._settings.budget)
        return [one.want.job.lookup for one in asked if one.state is not State.FRESH]
