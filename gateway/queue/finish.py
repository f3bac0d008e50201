"""Finish: a worker's side of the queue. Answers are given back here, and the next jobs taken."""

import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.core.errors import Code
from gateway.core.messages import Answer
from gateway.core.packing import UNREADABLE, finite, pack
from gateway.core.records import Record
from gateway.queue.jobs import (
    CLAIM_MARGIN,
    JOB_KEPT,
    LANE,
    RECORD,
    WORKER_SILENT,
    Envelope,
    Taken,
    arq_keys,
    server_ms,
)
from gateway.wire.batch import Batch
from gateway.wire.keys import Keys
from gateway.wire.link import MSGPACK, RedisLink, Script, read_lua

ASIDE_KEPT = 86_400
"""Seconds for which a key of another type than ours is kept under another name."""

_MOST = 32
_MOST_CLAIMS = 1000
_COUNTED_FIRST = 3  # sweeps that count the lane's workers in any case; later ones, if there were jobs
_WEIGHT = 0.1
"""Weight of the last job in the average of the seconds that a job takes."""

_AT_ONCE = 1.0
"""Seconds after which an answer comes late: behind a younger one, or after its session was forgotten."""

_WORTH = 1.25
"""Times that average a job must have left, or it goes behind those that no callback waits for."""

_TAKE = read_lua("gateway.queue", "take")
FINISH = Script("gateway.queue", "finish", MSGPACK, RECORD, LANE, _TAKE)
SWEEP = Script("gateway.queue", "sweep", MSGPACK, LANE, _TAKE)
_envelopes = msgspec.msgpack.Decoder(Envelope)
_handed = msgspec.msgpack.Decoder(tuple[float, list[tuple[str, int, msgspec.Raw]]])

LAST = pack((0.0, ()))
"""A worker's message to itself: the jobs that it was handed before it left have come."""


class FinishKeys(NamedTuple):
    """KEYS of finish.lua, once."""

    lane: str
    free: str


class FinishArguments(NamedTuple):
    """ARGV of finish.lua, once."""

    worker: str
    wanted: int
    reckoned: int
    lapse: int
    least: int
    late: str
    records: str
    void: str


JOB_KEYS = ("record", "waiters", "job", "retry", "claim")
"""KEYS of finish.lua, for each job: the order that :meth:`WorkerSide._row` keeps to, as LOOKUP_KEYS."""

JOB_ARGUMENTS = ("id", "answer", "data", "age", "took", "kept", "channel", "of_user", "pass_on")
"""ARGV of finish.lua, for each job."""

Row = tuple[tuple[str, ...], tuple[bytes | str | float, ...]]


class SweepKeys(NamedTuple):
    """KEYS of sweep.lua."""

    lane: str
    free: str
    pace: str


class SweepArguments(NamedTuple):
    """ARGV of sweep.lua, once; the ids of the jobs that the worker has may follow."""

    worker: str
    slots: int
    silent: int
    lapse: int
    kept: int
    most: int
    running: int
    takes: int | str
    rate: float | str
    census: str
    lost: str


class WorkerSide:
    """One worker's side of a lane: finish.lua and sweep.lua. ``worker`` is the channel that stands for it."""

    def __init__(self, link: RedisLink, keys: Keys, lane: str, worker: str, longest: float) -> None:
        """Take the lane, and the seconds that its longest job runs."""
        self._link = link
        self._finish_keys = FinishKeys(lane=keys.lane(lane), free=keys.free(lane))
        self._sweep_keys = SweepKeys(lane=keys.lane(lane), free=keys.free(lane), pace=keys.pace(lane))
        self._takes = 0.0
        self._lately = 0
        self._keys = keys
        self._worker = worker
        self._lapse = int((longest + CLAIM_MARGIN) * 1000)
        self._ahead_ms = 0.0
        self._batch = Batch(self._finish_together, _MOST)
        self.finishing = 0
        self._sweeps = 0
        self._left = False
        self.workers = 1
        """The number of the lane's workers at the last sweep."""

    async def finish(  # noqa: PLR0913 - all that there is to say about a job
        self,
        taken: Taken,
        answer: Answer,
        at: float,
        kept: float,
        *,
        wants: bool,
        pass_on: bool = False,
        again: bool = False,
    ) -> Taken | None:
        """Keep the record for ``kept`` seconds, push the answer to every gateway that waits, clear the job.

        ``at`` is when the backend gave the answer, on the monotonic clock. A record's age counts from it,
        however long the answer then waits for Redis. A failed answer leaves the record as it is. A job to
        ``pass_on`` goes to a free worker of another configuration instead, if there is one. ``again``: this
        was tried before, and may have been done.

        Return the slot's next job, if it ``wants`` one; without one it counts as free. Safe to repeat when it
        wants none. Raise QueueUnavailable, or UnicodeError for an answer that cannot be encoded.
        """
        row = self._row(taken, answer, at, kept, pass_on=pass_on)  # here, where it fails for one job alone
        self._ahead_ms = taken.ahead_ms
        self.finishing += 1
        try:
            return await self._batch.add((row, wants, again or time.monotonic() - at > _AT_ONCE))
        finally:
            self.finishing -= 1

    def note_run(self, seconds: float) -> None:
        """Note the seconds that a job took. Their average decides which jobs can still be done in time."""
        self._lately += 1
        self._takes = self._takes + (seconds - self._takes) * _WEIGHT if self._takes else seconds

    async def sweep(self, slots: int, running: int, has: Iterable[str] | None = None) -> list[Taken]:
        """Register the worker and its ``slots``, put back the jobs of dead workers, take jobs that wait.

        ``running`` counts the jobs that it has and has not begun to give back. ``has`` is given when jobs
        that were on their way to it may be lost: the ids of all jobs that it has. Any other job that it was
        handed is put back, too. Return the jobs taken, at most one for each free slot; raise
        QueueUnavailable.
        """
        takes = self._takes * 1000 if self._lately else 0.0
        self._lately = 0
        arguments = SweepArguments(
            worker=self._worker,
            slots=slots,
            silent=int(WORKER_SILENT * 1000),
            lapse=self._lapse,
            kept=int(JOB_KEPT * 1000),
            most=_MOST_CLAIMS,
            running=running,
            takes=int(takes) + 1 if takes else "",
            rate=round(slots * 1000 / takes, 1) if takes else "",
            census="1" if takes or self._sweeps < _COUNTED_FIRST else "",
            lost="" if has is None else "1",
        )
        reply = await self._link.run(SWEEP, self._sweep_keys, (*arguments, *(has or ())))
        self._sweeps += 1
        counted, *reply = reply
        self.workers = counted or self.workers
        return _taken(reply)

    async def set_aside(self) -> list[tuple[str, str]]:
        """Rename the lane's keys that have another type than ours: somebody else has written there.

        Return each with the type that it had; raise QueueUnavailable.
        """
        aside = []
        for key, kind in zip(self._sweep_keys, (b"zset", b"zset", b"hash"), strict=True):
            found = await self._link.execute("TYPE", key)
            if found not in {b"none", kind}:
                await self._link.execute("RENAME", key, f"{key}:aside")
                await self._link.execute("EXPIRE", f"{key}:aside", ASIDE_KEPT)
                aside.append((key, found.decode()))
        return aside

    async def leave(self) -> None:
        """Register the worker no longer: it is handed no more jobs, and finishes those that it has.

        Raise QueueUnavailable.
        """
        self._left = True  # a slot that finishes its job must not register it anew
        await self._link.execute("ZREM", self._finish_keys.free, self._worker)

    async def send_last(self) -> bool:
        """Send the worker LAST, which comes behind all jobs; False if it does not listen any more.

        Raise QueueUnavailable.
        """
        return bool(await self._link.execute("PUBLISH", self._worker, LAST))

    def _row(self, taken: Taken, answer: Answer, at: float, kept: float, *, pass_on: bool) -> Row:
        """Return a job's JOB_KEYS and JOB_ARGUMENTS."""
        envelope, ahead_ms = taken.envelope, taken.ahead_ms
        assert envelope is not None  # noqa: S101 - for the type checker; other jobs are arq's to finish
        job, job_id = envelope.job, answer.job_id
        given_ms = ahead_ms + at * 1000
        age_ms = (time.monotonic() - at) * 1000
        answer = msgspec.structs.replace(answer, age_ms=age_ms, given_ms=given_ms)
        record = b""
        if answer.code == Code.OK:
            record = pack(Record(given_ms, answer.variables, job.user, answer.found))
        return (
            (self._keys.record(job.record), self._keys.waiters(job_id), *arq_keys(job_id)),
            (
                job_id,
                pack(answer),
                record,
                age_ms,
                max(0.0, given_ms - envelope.enqueued_ms),
                max(1, int(kept * 1000)),
                envelope.reply_to,
                job.user_record and self._keys.record(job.user_record),
                "1" if pass_on else "",
            ),
        )

    async def _finish_together(self, batch: list[tuple[Row, bool, bool]]) -> list[Taken | None]:
        """Finish the jobs of several slots in one call."""
        ahead_ms = self._ahead_ms
        shared = FinishArguments(
            worker=self._worker,
            wanted=0 if self._left else sum(wants for _, wants, _ in batch),
            reckoned=int(ahead_ms + time.monotonic() * 1000),
            lapse=self._lapse,
            least=int(self._takes * 1000 * _WORTH),
            late="1" if any(late for _, _, late in batch) else "",
            records=self._keys.record(""),
            void=self._keys.void(""),
        )
        names: list[str] = [*self._finish_keys]
        arguments: list[bytes | str | float] = [*shared]
        for (keys, values), _, _ in batch:
            names += keys
            arguments += values
        following = iter(_taken(await self._link.run(FINISH, names, arguments)))
        return [next(following, None) if wants else None for _, wants, _ in batch]


def handed(message: bytes) -> list[Taken]:
    """Return the jobs that begin.lua hands over in a message; an empty one asks for a sweep.

    Raise one of UNREADABLE for any other message.
    """
    now_ms, jobs = _handed.decode(message)
    ahead_ms = finite(now_ms) - time.monotonic() * 1000
    return [Taken(job_id, job_try, _envelope(body), ahead_ms) for job_id, job_try, body in jobs]


def _taken(reply: Sequence[Any]) -> list[Taken]:
    """Return the jobs that a script has taken: behind the server's time, id, try and body of each."""
    if not reply:
        return []
    ahead_ms, flat = server_ms(reply) - time.monotonic() * 1000, reply[2:]
    return [
        Taken(flat[i].decode(errors="surrogateescape"), flat[i + 1], _envelope(flat[i + 2]), ahead_ms)
        for i in range(0, len(flat), 3)
    ]


def _envelope(body: bytes | msgspec.Raw) -> Envelope | None:
    try:
        return _envelopes.decode(body)
    except UNREADABLE:
        return None
