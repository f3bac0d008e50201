"""The hand-off: lookups are begun together, and their answers awaited together, at most to the deadline."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence

from gateway.core.errors import Code, QueueUnavailable
from gateway.core.messages import Answer, Job
from gateway.core.records import Known, Record, session_of, user_name
from gateway.queue.asked import NOT_AWAITED, Asked
from gateway.queue.begin import BeginScript, Begun
from gateway.queue.countdown import Countdown, Wait
from gateway.queue.jobs import JOB_KEPT, State, Wanted
from gateway.queue.lanes import LaneWatch
from gateway.queue.replies import Pending, Replies
from gateway.records.memory import RecordMemory, decode_record
from gateway.telemetry import events
from gateway.wire.batch import Batch
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink

WORTH_ANOTHER = 0.05
"""Least seconds left to begin a lookup anew after the job that it had joined failed."""

ASKED_AGAIN = 0.5
"""Share of the time to the deadline after which a lookup is begun again: its worker may have died."""

RETRIED = {Code.TIMEOUT, Code.BACKEND_UNAVAILABLE}
"""Failures that may come of the little time that a job had. A callback that joined it may have more time."""

_MOST = 32
"""Callbacks whose lookups are begun in one call."""

_LEFT = {State.UNATTENDED, State.SHED}
"""States of lookups whose callbacks leave at once: an answer is late whenever it comes."""


class HandOff:
    """A gateway's side of the queue."""

    def __init__(
        self,
        link: RedisLink,
        keys: Keys,
        memory: RecordMemory,
        why_shut: Callable[[str], Code | None] = lambda _: None,
        configuration: str = "",
    ) -> None:
        """Take the link to Redis and the records in memory; nothing is opened yet.

        ``why_shut`` returns the code of a lane whose backend must not be asked now. ``configuration`` is the
        digest of what the gateway runs by.
        """
        self._why_shut = why_shut
        self.link = link
        self._keys = keys
        self._memory = memory
        self.replies = Replies(link, keys, self._keep, configuration)
        self._script = BeginScript(link, keys, self.replies.channel)
        self._together = Batch(self._begin_together, _MOST)
        self._lanes = LaneWatch()

    async def unattended(self, lanes: Iterable[str]) -> list[str]:
        """Return the lanes that have no worker; raise QueueUnavailable."""
        asked = {
            lane: self.link.execute("EXISTS", self._keys.free(lane), self._keys.polled(lane))
            for lane in lanes
        }
        return [lane for lane, found in asked.items() if not await found]

    async def begin(self, wanted: Sequence[Wanted], deadline: float) -> list[Asked]:
        """Begin lookups in one round trip, which others share; raise QueueUnavailable."""
        since = time.monotonic()
        asked = [Asked(want, deadline, since) for want in wanted]
        if shut := [one for one in asked if one.leave_alone(self._why_shut(one.want.lane))]:
            begun = [one for one in asked if one.why is None]
            await asyncio.gather(self._read(shut), *([self._begin(begun)] if begun else []))
        else:
            await self._begin(asked)
        return asked

    async def _read(self, asked: Sequence[Asked]) -> None:
        """Look for the records of lookups for which no job is begun; raise QueueUnavailable."""
        server_ms, begun = await self._script.read([one.want for one in asked])
        now = time.monotonic()
        for one, reply in zip(asked, begun, strict=True):
            self._take_in(one, reply, server_ms, now)

    async def _begin(self, asked: Sequence[Asked]) -> None:
        """Begin lookups, or begin them anew; raise QueueUnavailable."""
        await self._together.add(asked)
        if unusable := [one for one in asked if one.unusable]:
            for one in unusable:
                one.refuse_record()
            await self._begin(unusable)

    async def _begin_together(self, questions: list[Sequence[Asked]]) -> list[Sequence[Asked]]:
        """Begin the lookups of several callers in one call; return them as they stand then."""
        asked = [one for question in questions for one in question]
        now = time.monotonic()
        for one in asked:
            if self._is_void(
                one.want.job, one.want.mark
            ):  # its callback came before; in another wave, or anew
                one.want = one.want._replace(indexed=0.0)
                self._script.void(one.want.job, one.deadline - now + one.want.overrun + 2 * JOB_KEPT)
        try:
            rows = [(one.want, max(0.0, one.deadline - now)) for one in asked]
            server_ms, begun = await self._script.run(rows)
        except QueueUnavailable:
            if self.link.lost:
                raise
            server_ms, begun = await self._script.read([one.want for one in asked])  # scripts are refused
        now = time.monotonic()
        for one, reply in zip(asked, begun, strict=True):
            self._take_in(one, reply, server_ms, now)
        return questions

    def _is_void(self, job: Job, mark: float) -> bool:
        """True if a lookup is of somebody who was forgotten since its callback came."""
        if mark >= self._memory.erasures:
            return False
        return self._memory.erased_since([session_of(job.record), user_name(job.app, job.user)], mark)

    def _take_in(self, one: Asked, begun: Begun, server_ms: float, now: float) -> None:
        """Take in begin.lua's reply about a lookup: keep its records in memory, expect its job."""
        want, job = one.want, None
        record, user_record = want.job.record, want.job.user_record
        known = self._memory.read(record, begun.record, server_ms, now)
        self._lanes.note(want.lane, begun.state, begun.job if isinstance(begun.job, int) else None, now)
        if begun.job and not isinstance(begun.job, int):
            job_id = begun.job.decode()
            until = one.deadline + want.overrun + JOB_KEPT
            ours = job_id == self._script.job_id(want.job)
            job = self.replies.expect(job_id, want.job, until, server_ms, ours=ours, mark=want.mark)
            if begun.state in _LEFT:
                job.leave()
        of_user = self._memory.read(user_record, begun.of_user, server_ms, now) if user_record else None
        state = begun.state
        if state is State.FAILED and known is not None and want.takes(known):
            state = want.state_of(known, now) or state
        one.begun(state, known, of_user, job, server_ms, now)

    async def wait(self, asked: Iterable[Asked], deadline: float) -> None:
        """Return when every job has been answered, or at the deadline.

        A job without an answer at half of the time is begun again: its worker may have died. Shortly before
        the deadline its record is looked up: a push is lost when its subscription is.
        """
        waits = [(self._wait(one, deadline), one) for one in asked if one.job is not None]
        if not waits:
            return
        countdown = Countdown([wait for wait, _ in waits])
        begun = time.monotonic()
        steps = (
            (begun + ASKED_AGAIN * (deadline - begun), self._ask_again),
            (deadline - self.link.timeout, self._look_again),
        )
        looking: list[asyncio.Task[None]] = []
        try:
            for at, step in steps:
                if not await countdown.reach(at):
                    await asyncio.sleep(0)  # after a stall of this process, answers are there, unread
                    if silent := [one for wait, one in waits if not wait.done()]:
                        looking.append(asyncio.create_task(step(silent, deadline)))
            if not await countdown.reach(deadline):
                await asyncio.sleep(0)
        finally:
            for task in looking:
                task.cancel()
            for wait, one in waits:
                if isinstance(wait, asyncio.Task) and not wait.done():
                    wait.cancel()
                one.leave()

    def _wait(self, one: Asked, deadline: float) -> Wait:
        assert one.job is not None  # noqa: S101 - for the type checker; the caller has looked
        if one.state is State.JOINED:
            return asyncio.create_task(self._wait_joined(one, deadline))
        return one.job

    async def _wait_joined(self, one: Asked, deadline: float) -> None:
        """Wait for a job that another callback began.

        Begin anew if that one had too little time for it, or if the answer is one from long before.
        """
        while one.job is not None:
            answer = await asyncio.shield(one.job.future)
            left = deadline - time.monotonic()
            again = answer.code in RETRIED or one.outdated
            if one.state is not State.JOINED or not again or left < WORTH_ANOTHER:
                return
            try:
                await self._begin([one])
            except QueueUnavailable:
                return
            if one.state in NOT_AWAITED:
                return

    async def _ask_again(self, asked: Sequence[Asked], deadline: float) -> None:
        """Begin lookups again. begin.lua hands a dead worker's job to another one, and makes a lost job anew.

        If the job was done and its push is lost or late, its record is younger than the question: then that
        is the answer.
        """
        # The way to begin.lua takes time, so records may come back that are a little older than the question.
        until = time.monotonic() + self.link.timeout
        wanted = [_younger(one.want, until - one.since) for one in asked]
        made_anew: list[Asked] = []
        try:
            begun = await self.begin(wanted, deadline)
            if older := [one for one, again in zip(asked, begun, strict=True) if _is_older(again, one)]:
                made_anew = await self.begin([one.want._replace(revalidate=0.0) for one in older], deadline)
        except QueueUnavailable:
            return
        follow = []
        for one, again in (*zip(asked, begun, strict=True), *zip(older, made_anew, strict=True)):
            if again.state is State.FRESH and again.known is not None and not _is_older(again, one):
                given_ms = again.server_ms - again.known.age(again.at) * 1000
                one.take(_answer("", again.known, given_ms))
            elif again.job is not None and again.job is not one.job:
                follow.append(_follow(one, again.job))
        await asyncio.gather(*follow)

    async def _look_again(self, asked: Sequence[Asked], _deadline: float) -> None:
        """Answer lookups by their records, if these were written since the lookups were begun."""
        keys = [self._keys.record(one.want.job.record) for one in asked]
        try:
            found = await self.link.execute("MGET", *keys)
        except QueueUnavailable:
            return
        now = time.monotonic()
        for one, data in zip(asked, found, strict=True):
            record = decode_record(data)
            if one.job is None or record is None:
                continue
            age = record.age(one.server_ms + (now - one.at) * 1000)
            if age is not None and age <= now - one.at:
                self.replies.resolve(_answer(one.job.job_id, record, record.written_ms))

    def _keep(self, pending: Pending, answer: Answer, at: float) -> None:
        """Take a pushed answer into memory."""
        if answer.code != Code.OK:
            return
        job = pending.job
        asked_ms = -math.inf if self._is_void(job, pending.mark) else pending.asked_ms
        known = pending.known(answer, at)
        self._memory.put(job.record, known, asked_ms, job.user)
        forgotten = self._memory.get(job.record) is None
        if pending.ours and job.user_record and not forgotten:
            self._memory.put(job.user_record, known, asked_ms, job.user)
        if pending.late:
            events.answer_late(lookup=job.lookup, job=pending.job_id)


def _is_older(again: Asked, one: Asked) -> bool:
    """True if ``again`` has found a record that is older than the question ``one``, and is not its answer."""
    if again.state is not State.FRESH or again.known is None:
        return False
    since = again.at - (again.server_ms - one.server_ms) / 1000  # both moments are told on the server's clock
    return again.known.born < since and again.known.age(again.at) >= one.want.fresh_for(again.known)


def _younger(want: Wanted, age: float) -> Wanted:
    """Return the same, for which a record of this age would do."""
    fresh, not_found_fresh = max(want.fresh, age), max(want.not_found_fresh, age)
    return want._replace(fresh=fresh, revalidate=0.0, not_found_fresh=not_found_fresh)


def _answer(job_id: str, record: Known | Record, given_ms: float) -> Answer:
    """Return the answer that a record holds."""
    return Answer(job_id, Code.OK, "", dict(record.variables), found=record.found, given_ms=given_ms)


async def _follow(one: Asked, job: Pending) -> None:
    """Take the answer of another job."""
    one.take(await asyncio.shield(job.future))
