"""Replies: the answers that workers push to a gateway process, each handed to all who wait for it."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from gateway.core.messages import Answer, Job
from gateway.core.packing import UNREADABLE
from gateway.core.records import Known
from gateway.telemetry import events
from gateway.wire.keys import Keys, new_name
from gateway.wire.link import RedisLink
from gateway.wire.subscription import Subscription

_decoder = msgspec.msgpack.Decoder(list[Answer])

_MOST_HEARD = 500
"""Answers after which those before them are dropped early."""


@dataclass(slots=True, eq=False)
class Pending:
    """A job whose answer this process expects, one for all callbacks that wait for it.

    ``future`` gets the answer, and ``heard`` is when that came. A job is ``late`` when no callback waits for
    it any more. ``job`` is as the first of them asked for it. It is ``ours`` if that one began it; else it
    joined a job of another callback, maybe of another user. ``asked_ms`` is when it did so, on the Redis
    server's clock, and ``asked`` is the same moment on this process's. ``mark`` is the number of erasures
    that were seen when its callback came. After ``until`` the answer is not expected any more. ``asked``,
    ``heard`` and ``until`` are on the monotonic clock.
    """

    job_id: str
    job: Job
    future: asyncio.Future[Answer]
    until: float
    asked_ms: float
    ours: bool
    mark: float = math.inf
    asked: float = field(default_factory=time.monotonic)
    late: bool = False
    heard: float = 0.0
    _callbacks: list[Callable[[object], None]] = field(default_factory=list)

    def done(self) -> bool:
        """Tell whether the answer is there."""
        return self.future.done()

    def add_done_callback(self, callback: Callable[[object], None]) -> None:
        """Call back as soon as the answer is there; the future itself does so a turn of the loop later."""
        if self.future.done():
            callback(self)
        else:
            self._callbacks.append(callback)

    def resolve(self, answer: Answer, at: float) -> None:
        """Give the answer, which came at ``at``, to all who wait. There must be none yet."""
        self.heard = at
        self.future.set_result(answer)
        for callback in self._callbacks:
            callback(self)

    def known(self, answer: Answer, at: float) -> Known:
        """Return an answer with code 0, which came at ``at``, as a record."""
        born = at - max(0.0, answer.age_ms) / 1000
        if answer.given_ms:  # it may have been on its way for long; or the two know the clocks of two servers
            born = min(born, self.asked + (answer.given_ms - self.asked_ms) / 1000)
        return Known(answer.variables, born if math.isfinite(born) else at, answer.found)

    def leave(self) -> None:
        """Note that no callback waits any more: an answer that still comes is late."""
        self.late = True


class Replies:
    """The jobs that are expected, by their ids; :class:`Pending` has each answer."""

    def __init__(
        self,
        link: RedisLink,
        keys: Keys,
        keep: Callable[[Pending, Answer, float], None],
        configuration: str = "",
    ) -> None:
        """Take the link whose server pushes, and ``keep``: it gets each answer, and when that came.

        ``configuration`` is the digest by which the gateway is known to whoever looks at the fleet.
        """
        self.subscription = Subscription(link, keys.replies(new_name(configuration)), self._receive)
        self._keep = keep
        self._pending: OrderedDict[str, Pending] = OrderedDict()
        # Answers for callbacks that have joined a job and do not know it yet. With two generations of them,
        # no answer costs a look at the oldest one.
        self._heard: dict[str, tuple[Answer, float]] = {}
        self._heard_before: dict[str, tuple[Answer, float]] = {}
        self._next_generation = 0.0
        self._patience = link.timeout

    @property
    def channel(self) -> str:
        """The channel that answers come by."""
        return self.subscription.channel

    def expect(  # noqa: PLR0913 - all that there is to know of a job
        self,
        job_id: str,
        job: Job,
        until: float,
        asked_ms: float,
        *,
        ours: bool,
        mark: float = math.inf,
    ) -> Pending:
        """Return the pending job, the same for all who wait for it; it may be dropped after ``until``.

        A job that Redis says is under way can have been answered another way while Redis was lost. Its own
        answer is still to come, so it is expected anew.
        """
        pending = self._pending.get(job_id)
        if pending is None or pending.done():
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            pending = Pending(job_id, job, future, until, asked_ms, ours, mark)
            heard = self._heard.get(job_id) or self._heard_before.get(job_id)
            if heard is not None and time.monotonic() - heard[1] <= self._patience:
                self._give(pending, *heard)
            else:
                self._drop_oldest()
                self._pending[job_id] = pending
        return pending

    def resolve(self, answer: Answer) -> None:
        """Hand an answer to all who wait for it, now or in a moment.

        A push can come before the reply to the command that began its job, or joined it: the two come over
        different connections. So an answer is remembered for as long as such a reply may take.
        """
        at = time.monotonic()
        self._remember(answer, at)
        pending = self._pending.pop(answer.job_id, None)
        if pending is not None and not pending.done():
            self._give(pending, answer, at)

    def _give(self, pending: Pending, answer: Answer, at: float) -> None:
        self._keep(pending, answer, at)
        pending.resolve(answer, at)

    def _remember(self, answer: Answer, at: float) -> None:
        if at >= self._next_generation or len(self._heard) >= _MOST_HEARD:
            self._heard, self._heard_before = {}, self._heard
            self._next_generation = at + self._patience
        self._heard[answer.job_id] = answer, at

    async def start(self, patience: float) -> None:
        """Begin to listen; wait at most ``patience`` seconds until answers can come."""
        await self.subscription.start(patience)

    async def close(self) -> None:
        """Listen no longer."""
        await self.subscription.close()

    def _drop_oldest(self) -> None:
        """Drop jobs whose answers are not expected any more: they gather at the front."""
        now = time.monotonic()
        while self._pending:
            job_id, oldest = next(iter(self._pending.items()))
            if oldest.until > now:
                break
            del self._pending[job_id]

    def _receive(self, data: bytes) -> None:
        try:
            answers = _decoder.decode(data)
        except UNREADABLE as error:
            events.answer_unreadable(error=error)
        else:
            for answer in answers:
                self.resolve(answer)
