"""The flow: what happens to a callback between its arrival and its reply. Begin reading here.

::

    plan       find the lookups that the callback needs, and the names of their records
    remember   answer from the records in this process, without asking
    ask        ask for the other lookups, side by side, until shortly before the deadline
    merge      put each lookup on the best rung of its ladder, and make the reply of them

Lookups that read what others set are planned, remembered and asked for in a later wave, of the same budget.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec

from gateway.core.errors import Code
from gateway.core.messages import Callback, Reply
from gateway.declared.catalog import Catalog
from gateway.declared.lookup import Lookup
from gateway.declared.route import Route
from gateway.declared.when import holds
from gateway.front import ladder
from gateway.front.askers import Asker
from gateway.front.ladder import Outcome, Source
from gateway.front.plan import Planned, Recall, plan
from gateway.process.clock import MONOTONIC, Clock
from gateway.process.lasting import Lasting
from gateway.telemetry import events

REPLY_SHARE = 0.03
"""Share of the budget kept back for merging, encoding and sending the reply."""

OVERLOADED_EVERY = 10.0
"""Least seconds between two log lines about too many callbacks."""


class Answered(msgspec.Struct, frozen=True):
    """A callback's reply, and the route and the outcomes that made it."""

    callback: Callback
    route: Route
    outcomes: Sequence[Outcome]
    reply: Reply


class Flow:
    """Everything between a verified callback and its reply."""

    def __init__(
        self,
        catalog: Catalog,
        recall: Recall,
        askers: Mapping[int, Asker],
        clock: Clock = MONOTONIC,
        mark: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """Take the configuration, the records of this process, the asker of each app, and the clock.

        ``mark`` returns the number of erasures that this process has seen.
        """
        self._mark = mark
        self.catalog = catalog
        self._recall = recall
        self._askers = askers
        self._now = clock.now
        self._overloads = Lasting(OVERLOADED_EVERY)
        self.asking = 0
        """Number of callbacks that wait for answers."""

    async def answer(self, callback: Callback, deadline: float, trace_id: str) -> Answered:
        """Return the reply to ``callback`` by ``deadline``, on the monotonic clock; raise NoRoute."""
        route, app = self.catalog.route(callback), self.catalog.apps[callback.app]
        outcomes: dict[str, Outcome] = {}
        mark = self._mark()
        knowing = callback  # and what the lookups of earlier waves have set
        for number, wave in enumerate(route.waves, 1):
            due = [one for one in wave if not one.when or holds(one.when, knowing.variables)]
            planned = [plan(lookup, app, knowing, trace_id, self._recall, mark) for lookup in due]
            outcomes |= self._remember(planned)
            if unknown := [one for one in planned if one.lookup.name not in outcomes]:
                outcomes |= await self._ask(unknown, deadline, later=len(route.waves) - number)
            if number < len(route.waves):
                knowing = know(knowing, due, outcomes)
        in_order = [outcomes[lookup.name] for lookup in route.lookups if lookup.name in outcomes]
        return Answered(callback, route, in_order, ladder.merge(app, in_order, route.internal))

    def _remember(self, planned: Sequence[Planned]) -> dict[str, Outcome]:
        """Return the outcomes, by lookup, of the lookups that need not or must not be asked for."""
        now = self._now()
        overloaded = self.asking >= self.catalog.settings.gateway.max_inflight
        outcomes: dict[str, Outcome] = {}
        for one in planned:
            lookup = one.lookup
            if one.refused is not None:
                outcomes[lookup.name] = ladder.refuse(lookup, one.refused.code, one.refused.input)
            elif served := ladder.serve(lookup, one.known, now):
                outcomes[lookup.name] = served
                if served.source is Source.REVALIDATING and not overloaded:
                    self._askers[one.app.id].refresh(one)
            elif overloaded:
                if self._overloads.due("", now) is not None:
                    events.callbacks_overloaded(asking=self.asking)
                of_user = one.of_user
                outcomes[lookup.name] = ladder.descend(
                    lookup, Code.OVERLOADED, one.known, now, of_user=of_user
                )
        return outcomes

    async def _ask(self, planned: Sequence[Planned], deadline: float, later: int) -> dict[str, Outcome]:
        """Ask for lookups, and return their outcomes by lookup.

        Each ``later`` wave keeps the time for one call of Redis, so that its last known answers can be read.
        """
        settings = self.catalog.settings
        deadline -= REPLY_SHARE * settings.gateway.budget + later * settings.redis.timeout
        self.asking += 1
        try:
            heard = await self._askers[planned[0].app.id].ask(planned, deadline)
        finally:
            self.asking -= 1
        now = self._now()
        return {
            one.lookup.name: ladder.resolve(one.lookup, result, now)
            for one, result in zip(planned, heard, strict=True)
        }


def know(callback: Callback, asked: Sequence[Lookup], outcomes: Mapping[str, Outcome]) -> Callback:
    """Return the callback with the variables that lookups have set, for the lookups that need them.

    What a lookup has set comes before the callback's own variable of that name, also if the lookup gave
    nothing: the next one must not be asked with another's input.
    """
    variables = dict(callback.variables)
    for lookup in asked:
        given = outcomes[lookup.name].variables
        variables.update((name, given.get(name, "")) for name in lookup.variables)
    return msgspec.structs.replace(callback, variables=variables)
