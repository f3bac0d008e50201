"""Erasing on an operator's word: records that no index names are found by looking at every key.

Jobs come before records: a job that finishes meanwhile has either been kept from writing its record, or has
written it before the records are looked at.
"""

from collections.abc import AsyncIterator, Callable, Collection
from typing import NamedTuple

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from gateway.core.errors import QueueUnavailable
from gateway.core.messages import Job
from gateway.core.packing import UNREADABLE
from gateway.core.records import session_name, session_of, user_name
from gateway.forgetting.forget import FORGET, VOID_KEPT, forget_arguments
from gateway.history.entries import decode as decode_entry
from gateway.queue.jobs import Envelope, arq_keys
from gateway.records.memory import decode_record
from gateway.wire.connection import OUTAGE, close_redis, open_redis
from gateway.wire.keys import Keys, pattern_of

_TIMEOUT = 5.0
_RETRIES = 3
_LOOKED_AT = 1000
_NAMES_AT_ONCE = 100
_JOBS = arq_keys("")[0]
_envelopes = msgspec.msgpack.Decoder(Envelope)

Note = Callable[[float], None]
"""Takes the share of the work that is done, from 0 to 1."""


class Whom(NamedTuple):
    """A session, or a user with all sessions; in one app, or in all. Gateways know ``apps``."""

    apps: Collection[int]
    app: int | None = None
    session: str | None = None
    user: str | None = None


async def erase(url: str, keys: Keys, whom: Whom, note: Note) -> int:
    """Forget somebody everywhere; return the number of records that Redis held.

    Raise QueueUnavailable when Redis cannot be reached or leaves off in the midst of it.
    """
    redis = open_redis(url, _TIMEOUT, connect_timeout=_TIMEOUT, retries=_RETRIES)
    try:
        return await _Erasing(redis, keys, whom, note).run()
    except OUTAGE as error:
        msg = f"Redis cannot be reached: {error}"
        raise QueueUnavailable(msg) from error
    finally:
        await close_redis(redis)


class _Erasing:
    """One run: ``names`` are the sessions found so far, as ``session_of`` names them."""

    def __init__(self, redis: Redis, keys: Keys, whom: Whom, note: Note) -> None:
        self._redis = redis
        self._keys = keys
        self._whom = whom
        self._note = note
        apps = whom.apps if whom.app is None else [whom.app]
        self._names = {self._named(app) for app in apps}
        self._part = self._named(0).partition(":")[2]
        self._forget = redis.register_script(FORGET.text)
        self._passes = 3 if whom.user is None else 5
        self._looked_at = 0
        self._keys_there = 1

    async def run(self) -> int:
        """Do it; return the number of records erased."""
        self._keys_there = max(1, int(await self._redis.dbsize()))
        if self._whom.user is not None:
            await self._find(self._whom.user)
        await self._find_in_history()
        await self._void_jobs()
        removed = await self._erase_records()
        names = sorted(self._names)
        for start in range(0, len(names), _NAMES_AT_ONCE):
            keys, arguments = forget_arguments(self._keys, names[start : start + _NAMES_AT_ONCE])
            erased, _ = await self._forget(keys=keys, args=arguments)
            removed += int(erased)
        return removed

    async def _find(self, user: str) -> None:
        """Find the user's sessions: by the jobs under way, then by the records."""
        async for _, job in self._jobs():
            if job.user == user and self._whom.app in {None, job.app}:
                self._names.add(session_of(job.record))
        app = "*" if self._whom.app is None else str(self._whom.app)
        async for page in self._pages(f"{pattern_of(self._keys.record(''))}{app}:*"):
            for key, data in zip(page, await self._redis.mget(page), strict=True):
                record = decode_record(data)
                if record is not None and record.user == user:
                    self._names.add(self._name(key))

    async def _find_in_history(self) -> None:
        """Find the sessions that have a history: that of a backend that is down may be all there is."""
        first = self._keys.history("")
        part = pattern_of(self._part) if self._whom.user is None else "*"
        async for page in self._pages(f"{pattern_of(first)}*:{part}"):
            for key in page:
                name = key.decode(errors="replace").removeprefix(first)
                if not self._meant(name) and self._whom.user is not None and await self._is_users(key):
                    self._names.add(name)

    async def _is_users(self, key: bytes) -> bool:
        """True if an entry of a session's history is about the user, in the app that is meant."""
        try:
            data: list[bytes] = await self._redis.execute_command("LRANGE", key, 0, -1)  # type: ignore[no-untyped-call]
        except ResponseError:  # of another type: somebody else has written there
            return False
        entries = map(decode_entry, data)
        return any(
            entry is not None and entry.user == self._whom.user and self._whom.app in {None, entry.app}
            for entry in entries
        )

    async def _void_jobs(self) -> None:
        """Keep the sessions' jobs that are under way from writing records; let none be joined any more."""
        async for job_id, job in self._jobs():
            if self._meant(session_of(job.record)):
                async with self._redis.pipeline(transaction=True) as pipeline:
                    pipeline.sadd(self._keys.waiters(job_id), "")
                    pipeline.pexpire(self._keys.waiters(job_id), int(VOID_KEPT * 1000))
                    pipeline.delete(self._keys.flight(job.record))
                    await pipeline.execute()

    async def _erase_records(self) -> int:
        part = pattern_of(self._part) if self._whom.user is None else "*"
        removed = 0
        async for page in self._pages(f"{pattern_of(self._keys.record(''))}*:{part}:*"):
            if ours := [key for key in page if self._meant(self._name(key))]:
                removed += int(await self._redis.unlink(*ours))
        return removed

    async def _jobs(self) -> AsyncIterator[tuple[str, Job]]:
        """Yield the jobs under way, each with its id; not those of other programs."""
        async for page in self._pages(f"{_JOBS}*"):
            for key, data in zip(page, await self._redis.mget(page), strict=True):
                try:
                    yield key.decode().removeprefix(_JOBS), _envelopes.decode(data or b"").job
                except UNREADABLE:
                    continue

    async def _pages(self, pattern: str) -> AsyncIterator[list[bytes]]:
        """Yield the keys that match, some at a time; one that comes or goes meanwhile may be among them."""
        cursor = 0
        while True:
            cursor, page = await self._redis.scan(cursor, pattern, _LOOKED_AT)
            self._looked_at += _LOOKED_AT
            self._note(min(1.0, self._looked_at / (self._keys_there * self._passes)))
            if page:
                yield page
            if not cursor:
                return

    def _named(self, app: int) -> str:
        whom = self._whom
        return session_name(app, whom.session or "") if whom.user is None else user_name(app, whom.user)

    def _meant(self, name: str) -> bool:
        """True if a session is to be forgotten; then it is among the names that go to gateways."""
        app, _, part = name.partition(":")
        if part == self._part and self._whom.app in {None, int(app) if app.isdecimal() else None}:
            self._names.add(name)
        return name in self._names

    def _name(self, key: bytes) -> str:
        """Return the session that a record's key names; any bytes may stand in a key."""
        return session_of(key.decode(errors="replace").removeprefix(self._keys.record("")))
