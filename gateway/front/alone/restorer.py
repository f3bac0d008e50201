"""Answers that came without Redis: kept in memory at once, and brought to Redis when it is back."""

import time
from itertools import islice
from typing import NamedTuple

from gateway.core.errors import QueueUnavailable
from gateway.core.messages import Answer, Job
from gateway.core.packing import pack
from gateway.core.records import Known, session_name, session_of, user_name
from gateway.forgetting.forget import Forgetter
from gateway.process.background import Background
from gateway.process.backoff import Backoff
from gateway.queue.jobs import RECORD
from gateway.records.memory import RecordMemory
from gateway.telemetry import events
from gateway.wire.keys import Keys
from gateway.wire.link import MSGPACK, RedisLink, Script

BYTES_AT_ONCE = 64 * 1024
"""Bytes of records after which a call gets no more: callbacks use the same connection, and wait behind it."""

_MOST = 100
RESTORE = Script("gateway.front.alone", "restore", MSGPACK, RECORD)


class RestoreRow(NamedTuple):
    """The ARGV of restore.lua for one record."""

    age: float
    kept: int
    data: bytes
    session: str
    indexed: int


class _Noted(NamedTuple):
    """A record to restore: its user, and the seconds for which Redis keeps it and its index."""

    user: str
    kept: float
    indexed: float


class Restorer:
    """Brings to Redis the records that a gateway process has made by itself.

    It notes their names alone. A record that memory has forgotten or pushed out meanwhile is not restored.
    """

    def __init__(
        self, link: RedisLink, keys: Keys, memory: RecordMemory, forgetter: Forgetter, most: int
    ) -> None:
        """Take the records in memory, and the most names to note; the oldest are dropped first."""
        self._link = link
        self._keys = keys
        self._memory = memory
        self._forgetter = forgetter
        self._most = most
        self._noted: dict[str, _Noted] = {}
        self._restoring = Background()

    @property
    def mark(self) -> int:
        """Number of erasures seen until now.

        Note it when a question is asked. A higher number later means: somebody was forgotten since.
        """
        return self._memory.erasures

    def keep(  # noqa: PLR0913 - what a record is made of
        self, job: Job, answer: Answer, born: float, mark: float, *, kept: float, indexed: float
    ) -> None:
        """Keep an answer that was given at ``born``, on the monotonic clock, and asked for at ``mark``.

        Redis keeps it for ``kept`` seconds, and its name in the session's index for ``indexed``.
        """
        whose = [session_name(job.app, job.session), user_name(job.app, job.user)]
        if self._memory.erased_since(whose, mark):
            return
        known = Known(answer.variables, born, answer.found)
        for name, seconds in ((job.record, indexed), (job.user_record, 0.0)):
            if name:
                self._memory.put(name, known, user=job.user)
                self._noted[name] = _Noted(job.user, kept, seconds)
        while len(self._noted) > self._most:
            del self._noted[next(iter(self._noted))]
        if not self._restoring:
            self._restoring.start(self._restore())

    async def close(self) -> None:
        """Give up the records that are not restored yet."""
        await self._restoring.close()

    async def _restore(self) -> None:
        """Write all noted records, as soon as Redis is there."""
        backoff, written = Backoff(), 0
        while self._noted:
            await self._link.present.wait()
            try:
                written += await self._write()
                backoff.reset()
            except QueueUnavailable:
                await backoff.pause()
        events.records_restored(records=written)

    async def _write(self) -> int:
        """Write some of the records; return how many Redis took. Raise QueueUnavailable."""
        since = await self._forgetter.catch_up()
        batch: list[tuple[str, _Noted]] = []
        size, now = 0, time.monotonic()
        names = [self._keys.forgotten()]
        arguments: list[bytes | str | float] = [f"({since}"]
        for name, noted in islice(self._noted.items(), _MOST):
            if size >= BYTES_AT_ONCE:
                break
            batch.append((name, noted))
            known = self._memory.get(name)
            left = 0.0 if known is None else noted.kept - known.age(now)
            if known is not None and left > 0:
                index = self._keys.session(session_of(name)) if noted.indexed else ""
                record = pack(dict(known.variables)) + pack(noted.user) + pack(known.found)
                size += len(record)
                names.append(self._keys.record(name))
                arguments += RestoreRow(
                    age=known.age(now) * 1000,
                    kept=max(1, int(left * 1000)),
                    data=record,
                    session=index,
                    indexed=int(noted.indexed * 1000),
                )
        written = int(await self._link.run(RESTORE, names, arguments)) if len(names) > 1 else 0
        if written >= 0:  # else a session was forgotten just now: the next try leaves its records out
            for name, noted in batch:
                if self._noted.get(name) is noted:  # no younger answer has come meanwhile
                    del self._noted[name]
        return max(0, written)
