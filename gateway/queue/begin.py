"""Begin: lookups handed to Redis, all in one round trip: begin.lua's arguments and its reply."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway.core.messages import Job
from gateway.core.packing import pack
from gateway.core.records import session_of
from gateway.queue.jobs import CLAIM_MARGIN, JOB_KEPT, LANE, LANE_LIMIT, RECORD, State, Wanted, server_ms
from gateway.wire.keys import Keys
from gateway.wire.link import MSGPACK, RedisLink, Script

BEGIN = Script("gateway.queue", "begin", MSGPACK, RECORD, LANE)
_STATES = tuple(State)


class BeginArguments(NamedTuple):
    """ARGV of begin.lua, once."""

    channel: str
    waiters: str
    kept: int
    limit: int
    margin: int
    jobs: str


LOOKUP_KEYS = ("record", "flight", "lane", "free", "pace")
"""KEYS of begin.lua, for each lookup: the order that :meth:`BeginScript._add` keeps to.

Each lookup goes through there. A tuple with names would take 3 µs more, as much as a tenth of a callback's
hand-off; so the names stand here, and tests/unit/test_scripts.py compares.
"""

LOOKUP_ARGUMENTS = (
    *("left", "fresh", "revalidate", "not_found", "overrun", "id", "body", "of_user"),
    *("session", "indexed"),
)
"""ARGV of begin.lua, for each lookup."""


class Begun(NamedTuple):
    """begin.lua's reply about one lookup: its record as Redis holds it, and its job's id; ``b""`` for none.

    A refused lookup has no job: in place of the id stands the number of jobs on its lane. ``of_user`` is the
    user's record.
    """

    state: State
    record: bytes
    job: bytes | int
    of_user: bytes


class BeginScript:
    """begin.lua, as one gateway process calls it."""

    def __init__(self, link: RedisLink, keys: Keys, channel: str) -> None:
        """Take the channel on which the answers shall come."""
        self._link = link
        self._keys = keys
        self._reply_to = pack(channel)
        self._arguments = BeginArguments(
            channel=channel,
            waiters=keys.waiters(""),
            kept=int(JOB_KEPT * 1000),
            limit=LANE_LIMIT,
            margin=int(CLAIM_MARGIN * 1000),
            jobs=keys.jobs(""),
        )

    async def run(self, wanted: Sequence[tuple[Wanted, float]]) -> tuple[float, list[Begun]]:
        """Begin lookups, each with the seconds to its deadline; raise QueueUnavailable.

        Return the time on the Redis server's clock, in ms, and the state of each lookup, in order.
        """
        names: list[str] = []
        arguments: list[bytes | str | float] = [*self._arguments]
        for want, left in wanted:
            self._add(names, arguments, want, left)
        reply = await self._link.run(BEGIN, names, arguments)
        if reply[2]:
            self._link.refusals.tell(reply[2].decode(errors="replace"))
        return server_ms(reply), _begun(reply)

    async def read(self, wanted: Sequence[Wanted]) -> tuple[float, list[Begun]]:
        """Return the same for a server that refuses scripts: all have failed, but for their records.

        Raise QueueUnavailable.
        """
        jobs = [want.job for want in wanted]
        names = [self._keys.record(name) for job in jobs for name in (job.record, job.user_record)]
        asked = self._link.execute("TIME"), self._link.execute("MGET", *names)
        time, found = await asked[0], iter(await asked[1])
        return server_ms(time), [
            Begun(State.FAILED, next(found) or b"", b"", next(found) or b"") for _ in jobs
        ]

    def job_id(self, job: Job) -> str:
        """Return the id that ``job`` gets, when it is begun and no other is joined."""
        return f"{self._keys.prefix}:{job.trace_id}:{job.lookup}"

    def void(self, job: Job, seconds: float) -> None:
        """Keep a job that is to be begun from writing a record, as :mod:`gateway.forgetting` does."""
        waiters = self._keys.waiters(self.job_id(job))
        self._link.execute("SADD", waiters, "")
        self._link.execute("PEXPIRE", waiters, int(seconds * 1000))

    def _add(self, names: list[str], arguments: list[bytes | str | float], want: Wanted, left: float) -> None:
        """Add a lookup's LOOKUP_KEYS and LOOKUP_ARGUMENTS."""
        keys = self._keys
        job, lane, fresh, overrun, revalidate, awaited, indexed, not_found_fresh, _, _ = want
        record = job.record
        names += (
            keys.record(record),
            keys.flight(record),
            keys.lane(lane),
            keys.free(lane),
            keys.pace(lane),
        )
        arguments += (
            int(left * 1000),
            int(fresh * 1000),
            int(revalidate * 1000) if awaited else -1,
            int(not_found_fresh * 1000),
            int(overrun * 1000),
            self.job_id(job),
            pack(job) + self._reply_to,
            job.user_record and keys.record(job.user_record),
            keys.session(session_of(record)) if indexed else "",
            int(indexed * 1000),
        )


def _begun(reply: Sequence[Any]) -> list[Begun]:
    return [
        Begun(_STATES[reply[i]], reply[i + 1], reply[i + 2], reply[i + 3]) for i in range(3, len(reply), 4)
    ]
