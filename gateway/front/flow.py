"""The flow: what happens to a callback between its arrival and its reply. Begin reading here.

::

    plan       which lookups the callback needs, and under which names their answers are known
    remember   what this process knows already is the answer, and asks nobody
    ask        the rest is asked for, side by side, until shortly before the deadline
    merge      each lookup stands on the best rung of its ladder; together they are the reply
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
    """A reply and how it came about."""

    callback: Callback
    route: Route
    outcomes: Sequence[Outcome]
    reply: Reply


class Flow:
    """Everything between a verified callback and its reply."""

    def __init__(self, catalog: Catalog, recall: Recall, askers: Mapping[int, Asker]) -> None:
        """Take what is declared, what this process remembers, and whom each app asks."""
        self.catalog = catalog
        self._recall = recall
        self._askers = askers
        self.asking = 0
        """Callbacks that wait for what they have asked."""

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
        """Return the outcomes, by lookup, of those that need no asking, or must not ask."""
        now = time.monotonic()
        overloaded = self.asking >= self.catalog.settings.gateway.max_inflight
        outcomes: dict[str, Outcome] = {}
        for one in planned:
            lookup = one.lookup
            if not one.complete:
                outcomes[lookup.name] = ladder.descend(lookup, Code.MISSING_INPUT, None, now)
            elif served := ladder.served(lookup, one.known, now):
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
        """Return the outcomes, by lookup, of those that are asked for."""
        deadline -= REPLY_SHARE * self.catalog.settings.gateway.budget
        self.asking += 1
        try:
            heard = await self._askers[planned[0].app.id].ask(planned, deadline)
        finally:
            self.asking -= 1
        now = time.monotonic()
        return {
            one.lookup.name: ladder.resolve(one.lookup, what, now)
            for one, what in zip(planned, heard, strict=True)
        }
