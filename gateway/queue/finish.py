"""Finish: a worker's side of the queue. Answers given back, the next jobs taken."""

import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.core.messages import Answer
from gateway.core.packing import UNREADABLE, pack
from gateway.core.records import Record
from gateway.queue.jobs import (
    CLAIM_MARGIN,
    JOB_KEPT,
    WORKER_SILENT,
    Envelope,
    Taken,
    arq_keys,
    server_ms,
)
from gateway.wire.batch import Answered, Batch
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink, Script

_MOST = 32
_MOST_CLAIMS = 1000
_WEIGHT = 0.1
"""Weight of the last job in the average of what a job takes."""

_WORTH = 1.25
"""Times that average a job must have left, or it goes behind those that nobody waits for."""

_FINISH = Script("gateway.queue", "finish", "take")
_SWEEP = Script("gateway.queue", "sweep", "take")
_envelopes = msgspec.msgpack.Decoder(Envelope)
_handed = msgspec.msgpack.Decoder(tuple[float, list[tuple[str, int, msgspec.Raw]]])


class Finished(NamedTuple):
    """A job that has come to its end: its answer, and the seconds for which its record is worth keeping.

    ``at`` is when the backend gave the answer, on the monotonic clock. A record's age is told from it,
    however long the answer then waits for Redis. A failed answer leaves the record as it is. ``wants`` says
    that the slot is free for another job.
    """

    envelope: Envelope
    answer: Answer
    kept: float
    at: float
    ahead_ms: float
    wants: bool

    def encoded(self) -> tuple[str, bytes, bytes, int, str]:
        """Return what finish.lua wants to know: id, answer, record (or nothing), ms to keep it, channel."""
        age_ms = (time.monotonic() - self.at) * 1000
        answer = msgspec.structs.replace(self.answer, age_ms=age_ms)
        record = b""
        if not answer.code:
            record = pack(Record(self.ahead_ms + self.at * 1000, answer.variables, self.envelope.job.user))
        return answer.job_id, pack(answer), record, max(1, int(self.kept * 1000)), self.envelope.reply_to


class Finish:
    """One worker's way to finish.lua and sweep.lua: ``worker`` is the channel that stands for it."""

    def __init__(self, link: RedisLink, keys: Keys, lane: str, worker: str, longest: float) -> None:
        """Take the lane, and the seconds that its longest job runs."""
        self._link = link
        self._names = (keys.lane(lane), keys.free(lane))
        self._pace = keys.pace(lane)
        self._takes = 0.0
        self._lately = 0
        self._keys = keys
        self._worker = worker
        self._lapse = int((longest + CLAIM_MARGIN) * 1000)
        self._batch = Batch(self._ask, _MOST)
        self.under_way = 0

    async def __call__(self, finished: Finished) -> Taken | None:
        """Keep the record, push the answer to every gateway that waits, clear the job.

        Return the slot's next job, if it wants any; without one it counts as free. Safe to repeat, when it
        wants none. Raise QueueUnavailable, or UnicodeError for an answer that cannot be encoded.
        """
        encoded = finished.encoded()  # here, where a failure is nobody else's
        self.under_way += 1
        try:
            return await self._batch.add((finished, encoded))
        finally:
            self.under_way -= 1

    def took(self, seconds: float) -> None:
        """Note what a job took: by the average is told what can still be done in time."""
        self._lately += 1
        self._takes = self._takes + (seconds - self._takes) * _WEIGHT if self._takes else seconds

    async def sweep(self, slots: int, running: int, has: Iterable[str] | None = None) -> list[Taken]:
        """Register the worker and its ``slots``, put back what dead workers held, take what waits.

        ``running`` are the jobs that it has in hand and not begun to give back. When some that were on their
        way to it may be lost, ``has`` are the ids of all that it has: what else it was handed is put back,
        too. Return the jobs taken, as many as it has slots free; raise QueueUnavailable.
        """
        silent, kept = int(WORKER_SILENT * 1000), int(JOB_KEPT * 1000)
        takes = self._takes * 1000 if self._lately else 0.0
        pace = (int(takes) + 1, round(slots * 1000 / takes, 1)) if takes else ("", "")
        self._lately = 0
        arguments = (self._worker, slots, silent, self._lapse, kept, _MOST_CLAIMS, running, *pace)
        if has is not None:
            arguments = (*arguments, 1, *has)
        reply = await self._link.run(_SWEEP, (*self._names, self._pace), arguments)
        if not reply:
            return []
        ahead_ms = server_ms(reply) - time.monotonic() * 1000
        return _taken(reply[2:], ahead_ms)

    async def leave(self) -> None:
        """Register the worker no longer: it is handed no more jobs. Raise QueueUnavailable."""
        await self._link.execute("ZREM", self._names[1], self._worker)

    def _ask(self, batch: list[tuple[Finished, tuple[Any, ...]]], answered: Answered[Taken | None]) -> None:
        ahead_ms = batch[-1][0].ahead_ms
        now_ms = ahead_ms + time.monotonic() * 1000
        wanted = sum(one.wants for one, _ in batch)
        names = [*self._names]
        arguments: list[bytes | str | float] = [self._worker, wanted, int(now_ms), self._lapse]
        arguments.append(int(self._takes * 1000 * _WORTH))
        for finished, encoded in batch:
            job_id = finished.answer.job_id
            names += (
                self._keys.record(finished.envelope.job.record),
                self._keys.waiters(job_id),
                *arq_keys(job_id),
            )
            of_user = finished.envelope.job.user_record
            arguments += (*encoded, of_user and self._keys.record(of_user))

        def told(reply: Sequence[Any] | Exception) -> None:
            if isinstance(reply, Exception):
                answered(reply)
                return
            following = iter(_taken(reply, ahead_ms))
            answered([next(following, None) if one.wants else None for one, _ in batch])

        self._link.submit(_FINISH, names, arguments, told)


def handed(message: bytes) -> list[Taken]:
    """Return the jobs that begin.lua has handed over in a message, none to ask for a sweep.

    Raise msgspec.MsgspecError, UnicodeError or RecursionError for anything else.
    """
    now_ms, jobs = _handed.decode(message)
    ahead_ms = now_ms - time.monotonic() * 1000
    return [Taken(job_id, job_try, _envelope(body), ahead_ms) for job_id, job_try, body in jobs]


def _taken(flat: Sequence[Any], ahead_ms: float) -> list[Taken]:
    """Return the jobs that a script has taken: id, try and body of each."""
    return [
        Taken(flat[i].decode(errors="surrogateescape"), flat[i + 1], _envelope(flat[i + 2]), ahead_ms)
        for i in range(0, len(flat), 3)
    ]


def _envelope(body: bytes | msgspec.Raw) -> Envelope | None:
    try:
        return _envelopes.decode(body)
    except UNREADABLE:
        return None
