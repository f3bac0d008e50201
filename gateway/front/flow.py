"""The flow: what happens to a callback between its arrival and its reply, top to bottom."""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import msgspec

from gateway.core.errors import Code, QueueUnavailable
from gateway.core.messages import Callback, Job, Reply, SessionEvent
from gateway.core.records import Known, record_name, user_record_name
from gateway.declared.catalog import Catalog
from gateway.declared.lookup import Lookup
from gateway.declared.route import Route
from gateway.front import ladder
from gateway.front.alone.direct import Direct
from gateway.front.ladder import Outcome, Source
from gateway.queue.hand_off import NOT_AWAITED, Asked, HandOff
from gateway.queue.jobs import State, Wanted
from gateway.queue.refresh import Refreshes

REPLY_SHARE = 0.03
"""Share of the budget kept back for merging, encoding and sending the reply."""

_SERVED = {State.FRESH: ladder.fresh, State.REVALIDATING: ladder.revalidating}


class Answered(msgspec.Struct, frozen=True):
    """A reply and how it came about."""

    callback: Callback
    route: Route
    outcomes: Sequence[Outcome]
    reply: Reply


class Question(msgspec.Struct, frozen=True):
    """A lookup that a callback asks for: the job that would answer it, and what this process remembers.

    ``known`` is the session's record, ``of_user`` what the user's sessions share, if they do;
    ``indexed`` are the seconds for which the session's index notes it.
    """

    lookup: Lookup
    job: Job
    known: Known | None
    of_user: Known | None
    indexed: float

    @property
    def complete(self) -> bool:
        """Whether every input has a value."""
        return all(self.job.inputs.values())

    @property
    def want(self) -> Wanted:
        """What to hand to the workers."""
        lookup = self.lookup
        revalidate = lookup.stale_while_revalidate
        return Wanted(self.job, lookup.lane, lookup.fresh, lookup.late, revalidate, indexed=self.indexed)

    def degraded(self, code: Code, now: float, took: float = 0.0) -> Outcome:
        """Return the best that this process remembers."""
        return ladder.degraded(self.lookup, code, self.known, now, of_user=self.of_user, took=took)


class Flow:
    """Everything between a verified callback and its reply."""

    def __init__(self, catalog: Catalog, hand_off: HandOff, direct: Direct | None = None) -> None:
        """Take what is declared, the way to the workers, and that past them, if any app wants it."""
        self.catalog = catalog
        self._hand_off = hand_off
        self._direct = direct
        self._refreshes = Refreshes(hand_off, catalog.settings.gateway.budget)
        self._inflight = 0

    async def close(self) -> None:
        """Let go of what goes on behind the callbacks."""
        await self._refreshes.close()
        if self._direct is not None:
            await self._direct.close()

    async def degraded(self) -> list[str]:
        """Return what this gateway has to do without: ``redis``, or ``lane:NAME`` where no worker is."""
        try:
            return [f"lane:{lane}" for lane in await self._hand_off.unattended(self.catalog.lanes)]
        except QueueUnavailable:
            return ["redis"]

    def answer(
        self, callback: Callback, deadline: float, trace_id: str
    ) -> Answered | Coroutine[Any, Any, Answered]:
        """Return the reply to ``callback``, or what to await for it; raise NoRoute.

        What this process remembers is there at once; what it has to ask for is there by ``deadline``, on the
        monotonic clock.
        """
        route = self.catalog.route(callback)
        outcomes, to_ask = self._remember([self.plan(lookup, callback, trace_id) for lookup in route.lookups])
        if not to_ask:
            return self._answered(callback, route, outcomes)
        self._inflight += 1  # here, since callbacks that came with this one are taken before any of them asks
        return self._answer_later(callback, route, outcomes, to_ask, deadline)

    async def _answer_later(
        self,
        callback: Callback,
        route: Route,
        outcomes: Mapping[str, Outcome],
        to_ask: Sequence[Question],
        deadline: float,
    ) -> Answered:
        try:
            return self._answered(callback, route, {**outcomes, **await self._ask(to_ask, deadline)})
        finally:
            self._inflight -= 1

    def _answered(self, callback: Callback, route: Route, outcomes: Mapping[str, Outcome]) -> Answered:
        in_order = [outcomes[lookup.name] for lookup in route.lookups]
        return Answered(callback, route, in_order, ladder.merge(self.catalog.apps[callback.app], in_order))

    def plan(self, lookup: Lookup, callback: Callback | SessionEvent, trace_id: str) -> Question:
        """Name the record that answers ``lookup`` for this callback, and the job that would write it."""
        inputs = {name: callback.variables.get(name, "") for name in lookup.inputs}
        record = record_name(callback.app, callback.session, lookup.name, lookup.version, inputs)
        known, user_record, of_user = self._hand_off.remembered(record), "", None
        if lookup.share == "user" and callback.user:
            user_record = user_record_name(callback.app, callback.user, lookup.name, lookup.version, inputs)
            of_user = self._hand_off.remembered(user_record)
        app, session, user = callback.app, callback.session, callback.user
        job = Job(lookup.name, inputs, app, session, record, trace_id, user_record, user)
        return Question(lookup, job, known, of_user, self.catalog.apps[app].indexed)

    def _remember(self, questions: Sequence[Question]) -> tuple[dict[str, Outcome], list[Question]]:
        """Return the outcomes for which memory will do, by lookup, and the questions that are to be asked."""
        now = time.monotonic()
        overloaded = self._inflight >= self.catalog.settings.gateway.max_inflight
        outcomes: dict[str, Outcome] = {}
        to_ask = []
        for question in questions:
            lookup = question.lookup
            if not question.complete:
                outcomes[lookup.name] = ladder.degraded(lookup, Code.MISSING_INPUT, None, now)
            elif served := ladder.served(lookup, question.known, now):
                outcomes[lookup.name] = served
                if served.source is Source.REVALIDATING and not overloaded:
                    self._refreshes.start(question.want)
            elif overloaded:
                outcomes[lookup.name] = question.degraded(Code.OVERLOADED, now)
            else:
                to_ask.append(question)
        return outcomes, to_ask

    async def _ask(self, questions: Sequence[Question], deadline: float) -> dict[str, Outcome]:
        """Hand the questions to workers, wait for the answers, and take the best there is by the deadline."""
        deadline -= REPLY_SHARE * self.catalog.settings.gateway.budget
        app = self.catalog.apps[questions[0].job.app]
        direct = self._direct if app.redis_lost == "direct" else None
        try:
            asked = await self._hand_off.begin([question.want for question in questions], deadline)
        except QueueUnavailable as error:
            if direct is not None:
                asking = [self._ask_directly(direct, question, deadline) for question in questions]
                return {outcome.lookup: outcome for outcome in await asyncio.gather(*asking)}
            now = time.monotonic()
            return {question.lookup.name: question.degraded(error.code, now) for question in questions}
        awaited = [
            one
            for one in asked
            if one.state not in NOT_AWAITED or (direct is not None and direct.stands_in(one))
        ]
        if awaited:
            with nullcontext() if direct is None else direct.watching(awaited, deadline):
                await self._hand_off.wait(awaited, deadline)
        now = time.monotonic()
        return {
            q.lookup.name: self._outcome(q.lookup, one, now) for q, one in zip(questions, asked, strict=True)
        }

    async def _ask_directly(self, direct: Direct, question: Question, deadline: float) -> Outcome:
        """Ask the backend without a worker, and take the best there is by the deadline."""
        since = time.monotonic()
        answer = await direct.answer(question.job, deadline)
        now = time.monotonic()
        if answer is not None and answer.code == Code.OK:
            return ladder.live(question.lookup, answer.variables, now - since)
        return question.degraded(Code.TIMEOUT if answer is None else answer.code, now, now - since)

    def _outcome(self, lookup: Lookup, asked: Asked, now: float) -> Outcome:
        """Return what became of a lookup that was handed over."""
        answer, known = asked.answer, asked.known
        if (stands := _SERVED.get(asked.state)) is not None:
            if known is not None and ladder.whole(lookup, known.variables):
                return stands(lookup, known, now)
            code = Code.LOOKUP_FAILED
        elif asked.state in {State.REFUSED, State.SHED}:
            code = Code.OVERLOADED
        elif asked.state is State.UNATTENDED and answer is None:
            code = Code.NO_WORKERS
        elif answer is None or asked.job is None:
            code = Code.QUEUE_UNAVAILABLE if self._hand_off.link.lost and not asked.direct else Code.TIMEOUT
        elif answer.code == Code.OK and ladder.whole(lookup, answer.variables):
            return ladder.live(lookup, answer.variables, asked.job.heard - asked.since)
        else:
            code = answer.code or Code.LOOKUP_FAILED
        took = now - asked.since
        return ladder.degraded(lookup, code, known, now, of_user=asked.of_user, took=took)
