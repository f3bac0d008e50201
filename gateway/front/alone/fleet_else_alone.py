"""The fleet, else alone: the workers are asked, and this process in their place while Redis is lost."""

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
from gateway.queue.hand_off import NOT_AWAITED, Asked
from gateway.queue.jobs import State
from gateway.wire.link import RedisLink

WORTH_ASKING = 0.1
"""Least seconds left for which a backend is asked for a lookup that was waited for when Redis was lost."""

WORKERS_RETURN = 6.0
"""Seconds since Redis' return in which workers may still be reconnecting, each by itself."""


class Watch:
    """The lookups of one callback that the fleet was asked for.

    ``open`` are the numbers of those that are waited for, and ``instead`` of those that this process asks for
    as well.
    """

    def __init__(
        self, planned: Sequence[Planned], asked: Sequence[Asked], open_: Sequence[int], deadline: float
    ) -> None:
        self.planned, self.asked, self.open, self.deadline = planned, asked, open_, deadline
        self.instead: set[int] = set()


class FleetElseAlone:
    """Asks the fleet; asks the backends itself for whatever the fleet cannot answer because Redis is lost."""

    def __init__(self, fleet: FleetAsker, alone: AloneAsker, link: RedisLink) -> None:
        """Take both askers, and the link whose loss is watched."""
        self._fleet, self._alone, self._link = fleet, alone, link
        self.watches: set[Watch] = set()
        """The callbacks that wait for the fleet just now."""
        self._instead = Background()
        link.losses.append(self._lost)

    async def close(self) -> None:
        """Watch nothing any more."""
        self._link.losses.remove(self._lost)
        await self._instead.close()

    async def ask(self, planned: Sequence[Planned], deadline: float) -> list[Heard]:
        """Return what was heard of each lookup by ``deadline``, from whichever side was first."""
        try:
            asked = await self._fleet.begin(planned, deadline)
        except QueueUnavailable:
            return await self._alone.ask(planned, deadline)
        open_ = [i for i, one in enumerate(asked) if one.state not in NOT_AWAITED or self._deserted(one)]
        with self._watching(Watch(planned, asked, open_, deadline)) as watch:
            await self._fleet.wait([asked[i] for i in open_], deadline)
        return [_told(heard, i in watch.instead) for i, heard in enumerate(self._fleet.heard(asked))]

    def refresh(self, planned: Planned) -> None:
        """Renew a record behind the callback that it has answered, by whoever can be asked now."""
        (self._alone if self._link.lost else self._fleet).refresh(planned)

    @contextmanager
    def _watching(self, watch: Watch) -> Iterator[Watch]:
        """Ask alone for what has no worker, and for all that is unanswered should Redis be lost meanwhile.

        A worker's push may still be first.
        """
        lost = self._link.lost
        self._ask_instead(watch, [i for i in watch.open if lost or self._deserted(watch.asked[i])])
        self.watches.add(watch)
        try:
            yield watch
        finally:
            self.watches.remove(watch)

    def _deserted(self, one: Asked) -> bool:
        """True for a lane without workers shortly after Redis returned: they may still be reconnecting."""
        return one.state is State.UNATTENDED and time.monotonic() - self._link.restored < WORKERS_RETURN

    def _lost(self) -> None:
        for watch in self.watches:
            self._ask_instead(watch, watch.open)

    def _ask_instead(self, watch: Watch, numbers: Sequence[int]) -> None:
        if watch.deadline - time.monotonic() < WORTH_ASKING:
            return
        for i in numbers:
            planned, one = watch.planned[i], watch.asked[i]
            if one.job is not None and one.answer is None and i not in watch.instead:
                watch.instead.add(i)
                self._instead.start(self._answer(planned, one, watch.deadline))

    async def _answer(self, planned: Planned, one: Asked, deadline: float) -> None:
        answer = await self._alone.answer(planned, deadline)
        if answer is not None:
            one.take(answer)


def _told(heard: Heard, alone: bool) -> Heard:  # noqa: FBT001 - a small helper of one caller
    """Return what was heard. Where the backend was asked and gave no answer, time has run out."""
    if alone and heard.code == Code.QUEUE_UNAVAILABLE:
        return msgspec.structs.replace(heard, code=Code.TIMEOUT)
    return heard
