"""Askers: they answer the lookups that a process cannot answer from memory.

The flow knows an :class:`Asker` and no more. :class:`FleetAsker` asks the workers of the fleet, through the
queue. ``alone/`` has the others.
"""

import time
from collections.abc import Sequence
from typing import Protocol

from gateway.core.errors import Code, QueueUnavailable
from gateway.front.ladder import Heard, Source
from gateway.front.plan import Planned
from gateway.queue.asked import NOT_AWAITED, Asked
from gateway.queue.hand_off import HandOff
from gateway.queue.jobs import State, Wanted
from gateway.queue.refresh import Refreshes

_SERVED = {State.FRESH: Source.FRESH, State.REVALIDATING: Source.REVALIDATING}
_REFUSED = {State.REFUSED, State.SHED}


class Asker(Protocol):
    """Answers planned lookups. Points in time are on the monotonic clock."""

    async def ask(self, planned: Sequence[Planned], deadline: float) -> list[Heard]:
        """Ask for lookups side by side; return the result of each at ``deadline``, in order.

        A failure to ask is not raised: it is the code of a result.
        """
        ...

    def refresh(self, planned: Planned) -> None:
        """Begin to renew a record that has just answered a callback; return at once."""
        ...


class FleetAsker:
    """Asks the workers of the fleet. Equal lookups are one job for all gateways."""

    def __init__(self, hand_off: HandOff, refreshes: Refreshes) -> None:
        """Take the way to the workers, and the refreshes that are under way."""
        self._hand_off, self._refreshes = hand_off, refreshes

    async def ask(self, planned: Sequence[Planned], deadline: float) -> list[Heard]:
        """Hand the lookups to workers; return the result of each at ``deadline``."""
        try:
            asked = await self.begin(planned, deadline)
        except QueueUnavailable as error:
            return [unanswered(one, error.code) for one in planned]
        await self.wait([one for one in asked if one.state not in NOT_AWAITED], deadline)
        return self.collect(asked)

    def refresh(self, planned: Planned) -> None:
        """Have a worker renew a record, unless this process has begun that already."""
        self._refreshes.start(wanted(planned))

    async def prefetch(self, planned: Sequence[Planned], deadline: float) -> list[str]:
        """Begin lookups that no callback waits for; return the names of those now under way.

        Raise QueueUnavailable.
        """
        unawaited = [wanted(one)._replace(awaited=False) for one in planned]
        asked = await self._hand_off.begin(unawaited, deadline) if unawaited else []
        return [one.want.job.lookup for one in asked if one.state is not State.FRESH and one.why is None]

    async def begin(self, planned: Sequence[Planned], deadline: float) -> list[Asked]:
        """Hand lookups over in one round trip; raise QueueUnavailable."""
        return await self._hand_off.begin([wanted(one) for one in planned], deadline)

    async def wait(self, asked: Sequence[Asked], deadline: float) -> None:
        """Return when each of these is answered, or at ``deadline``."""
        if asked:
            await self._hand_off.wait(asked, deadline)

    def collect(self, asked: Sequence[Asked]) -> list[Heard]:
        """Return the result of each lookup as it stands now."""
        now, lost = time.monotonic(), self._hand_off.link.lost
        return [_hear(one, now, lost=lost) for one in asked]


def wanted(planned: Planned) -> Wanted:
    """Return a planned lookup as the queue takes it."""
    lookup = planned.lookup
    return Wanted(
        planned.job,
        lookup.lane,
        lookup.fresh,
        lookup.overrun,
        lookup.stale_while_revalidate,
        indexed=planned.app.indexed,
        not_found_fresh=lookup.not_found_fresh,
        variables=lookup.variables.keys(),
        mark=planned.mark,
    )


def unanswered(planned: Planned, code: Code, took: float = 0.0) -> Heard:
    """Return the result of a lookup without an answer: the code, and the records of this process."""
    return Heard(code, known=planned.known, of_user=planned.of_user, took=took)


def _hear(one: Asked, now: float, *, lost: bool) -> Heard:
    """Return the result of a lookup that was handed over; ``lost`` says that Redis is lost."""
    known, of_user, answer, took = one.known, one.of_user, one.answer, now - one.since
    if (served := _SERVED.get(one.state)) is not None:
        return Heard(Code.OK, served, known, known, of_user, took)
    if one.state in _REFUSED:
        return Heard(Code.OVERLOADED, known=known, of_user=of_user, took=took)
    if (given := one.given) is not None and one.job is not None:
        if one.is_live(given):
            return Heard(Code.OK, Source.LIVE, given, known, of_user, one.job.heard - one.since)
        if (state := one.want.state_of(given, now)) is not None:
            return Heard(Code.OK, _SERVED[state], given, known, of_user, took)
        younger = given if known is None or known.born < given.born else known
        return Heard(Code.TIMEOUT, known=younger, of_user=of_user, took=took)
    if one.why is not None:
        code = one.why
    elif answer is not None:
        code = answer.code
    elif one.state is State.UNATTENDED:
        code = Code.NO_WORKERS
    else:
        failed = lost or one.state is State.FAILED
        code = Code.QUEUE_UNAVAILABLE if failed else Code.TIMEOUT
    return Heard(code, known=known, of_user=of_user, took=took)
