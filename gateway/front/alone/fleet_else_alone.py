"""The fleet, else alone: the workers are asked, and this process in their place while Redis is lost."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from gateway.core.errors import Code, QueueUnavailable
from gateway.front.alone.asker import AloneAsker
from gateway.front.askers import FleetAsker
from gateway.front.ladder import Heard
from gateway.front.plan import Planned
from gateway.process.background import Background
from gateway.queue.asked import NOT_AWAITED, Asked
from gateway.queue.jobs import State
from gateway.wire.link import RedisLink

WORTH_ASKING = 0.1
"""Least seconds left to ask a backend for a lookup that waited for the fleet when Redis was lost."""

WORKERS_RETURN = 6.0
"""Seconds after Redis' return for which some workers may still be reconnecting."""


class Watch:
    """The lookups of one callback that the fleet was asked for.

    ``awaited`` has the positions of the lookups that the callback waits for. ``taken_over`` has the positions
    of the lookups for which this process asks the backends as well.
    """

    def __init__(
        self, planned: Sequence[Planned], asked: Sequence[Asked], awaited: Sequence[int], deadline: float
    ) -> None:
        self.planned, self.asked, self.awaited, self.deadline = planned, asked, awaited, deadline
        self.taken_over: set[int] = set()


class FleetElseAlone:
    """Asks the fleet. If the fleet cannot answer because Redis is lost, it asks the backends itself."""

    def __init__(self, fleet: FleetAsker, alone: AloneAsker, link: RedisLink) -> None:
        """Take both askers, and the link whose loss is watched."""
        self._fleet, self._alone, self._link = fleet, alone, link
        self.watches: set[Watch] = set()
        """The callbacks that wait for the fleet just now."""
        self._calls = Background()
        link.losses.append(self._take_all_over)

    async def close(self) -> None:
        """Stop watching the link, and cancel the calls that are under way."""
        self._link.losses.remove(self._take_all_over)
        await self._calls.close()

    async def ask(self, planned: Sequence[Planned], deadline: float) -> list[Heard]:
        """Return the result of each lookup at ``deadline``, from the side that answers first."""
        try:
            asked = await self._fleet.begin(planned, deadline)
        except QueueUnavailable:
            return await self._alone.ask(planned, deadline)
        awaited = [i for i, one in enumerate(asked) if one.state not in NOT_AWAITED or self._deserted(one)]
        refused = [i for i, one in enumerate(asked) if one.state is State.FAILED and one.why is None]
        with self._watching(Watch(planned, asked, awaited, deadline)) as watch:
            _, alone = await asyncio.gather(
                self._fleet.wait([asked[i] for i in awaited], deadline),
                self._alone.ask([planned[i] for i in refused], deadline),
            )
        heard = self._fleet.collect(asked)
        for i, one in zip(refused, alone, strict=True):
            heard[i] = one
        return [_as_timeout(one) if i in watch.taken_over else one for i, one in enumerate(heard)]

    def refresh(self, planned: Planned) -> None:
        """Begin to renew a record that has just answered a callback: by the fleet, or alone without Redis."""
        (self._alone if self._link.lost else self._fleet).refresh(planned)

    @contextmanager
    def _watching(self, watch: Watch) -> Iterator[Watch]:
        """Take over the lookups without a worker; take over all that are awaited if Redis is lost meanwhile.

        A worker's push may still be first.
        """
        lost = self._link.lost
        self._take_over(watch, [i for i in watch.awaited if lost or self._deserted(watch.asked[i])])
        self.watches.add(watch)
        try:
            yield watch
        finally:
            self.watches.remove(watch)

    def _deserted(self, one: Asked) -> bool:
        """True for a lane without workers shortly after Redis returned: they may still be reconnecting."""
        return one.state is State.UNATTENDED and time.monotonic() - self._link.restored < WORKERS_RETURN

    def _take_all_over(self) -> None:
        """Take over every lookup that a callback waits for: Redis is lost."""
        for watch in self.watches:
            self._take_over(watch, watch.awaited)

    def _take_over(self, watch: Watch, positions: Sequence[int]) -> None:
        """Ask the backends for these lookups, too, if enough time is left."""
        if watch.deadline - time.monotonic() < WORTH_ASKING:
            return
        for i in positions:
            planned, one = watch.planned[i], watch.asked[i]
            if one.job is not None and one.answer is None and i not in watch.taken_over:
                watch.taken_over.add(i)
                self._calls.start(self._answer(planned, one, watch.deadline))

    async def _answer(self, planned: Planned, one: Asked, deadline: float) -> None:
        answer = await self._alone.answer(planned, deadline)
        if answer is not None:
            one.take(answer)


def _as_timeout(heard: Heard) -> Heard:
    """Correct the result of a lookup that was taken over: the backend was asked, and time ran out."""
    if heard.code == Code.QUEUE_UNAVAILABLE:
        return msgspec.structs.replace(heard, code=Code.TIMEOUT)
    return heard
