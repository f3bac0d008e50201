"""The flow: what happens to a callback between its arrival and its reply. Begin reading here.

::

    plan       find the lookups that the callback needs, and the names of their records
    remember   answer from the records in this process, without asking
    ask        ask for the other lookups, side by side, until shortly before the deadline
    merge      put each lookup on the best rung of its ladder, and make the reply of them
"""

import time
from collections.abc import Mapping, Sequence

import msgspec

from gateway.core.errors import Code
from gateway.core.messages import Callback, Reply
from gateway.declared.catalog import Catalog
from gateway.declared.route import Route
from gateway.front import ladder
from gateway.front.askers import Asker
from gateway.front.ladder import Outcome, Source
from gateway.front.plan import Planned, Recall, plan

REPLY_SHARE = 0.03
"""Share of the budget kept back for merging, encoding and sending the reply."""


class Answered(msgspec.Struct, frozen=True):
    """A callback's reply, and the route and the outcomes that made it."""

    callback: Callback
    route: Route
    outcomes: Sequence[Outcome]
    reply: Reply


class Flow:
    """Everything between a verified callback and its reply."""

    def __init__(self, catalog: Catalog, recall: Recall, askers: Mapping[int, Asker]) -> None:
        """Take the configuration, the records of this process, and the asker of each app."""
        self.catalog = catalog
        self._recall = recall
        self._askers = askers
        self.asking = 0
        """Number of callbacks that wait for answers."""

    async def answer(self, callback: Callback, deadline: float, trace_id: str) -> Answered:
        """Return the reply to ``callback`` by ``deadline``, on the monotonic clock; raise NoRoute."""
        route, app = self.catalog.route(callback), self.catalog.apps[callback.app]
        planned = [plan(lookup, app, callback, trace_id, self._recall) for lookup in route.lookups]
        outcomes = self._remember(planned)
        if unknown := [one for one in planned if one.lookup.name not in outcomes]:
            outcomes |= await self._ask(unknown, deadline)
        in_order = [outcomes[lookup.name] for lookup in route.lookups]
        return Answered(callback, route, in_order, ladder.merge(app, in_order))

    def _remember(self, planned: Sequence[Planned]) -> dict[str, Outcome]:
        """Return the outcomes, by lookup, of the lookups that need not or must not be asked for."""
        now = time.monotonic()
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
                of_user = one.of_user
                outcomes[lookup.name] = ladder.descend(
                    lookup, Code.OVERLOADED, one.known, now, of_user=of_user
                )
        return outcomes

    async def _ask(self, planned: Sequence[Planned], deadline: float) -> dict[str, Outcome]:
        """Ask for lookups, and return their outcomes by lookup."""
        deadline -= REPLY_SHARE * self.catalog.settings.gateway.budget
        self.asking += 1
        try:
            heard = await self._askers[planned[0].app.id].ask(planned, deadline)
        finally:
            self.asking -= 1
        now = time.monotonic()
        return {
            one.lookup.name: ladder.resolve(one.lookup, result, now)
            for one, result in zip(planned, heard, strict=True)
        }
