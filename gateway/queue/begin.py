"""Begin: lookups handed to Redis, all in one round trip. The call of begin.lua, and its reply."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway.core.messages import Job
from gateway.core.packing import pack
from gateway.core.records import session_of
from gateway.queue.jobs import CLAIM_MARGIN, JOB_KEPT, LANE_LIMIT, State, Wanted, server_ms
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink, Script

_BEGIN = Script("gateway.queue", "begin")
_STATES = tuple(State)


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
        self._head = (channel, keys.waiters(""), int(JOB_KEPT * 1000), LANE_LIMIT, int(CLAIM_MARGIN * 1000))

    async def run(self, wanted: Sequence[tuple[Wanted, float]]) -> tuple[float, list[Begun]]:
        """Begin lookups, each with the seconds to its deadline; raise QueueUnavailable.

        Return the time on the Redis server's clock, in ms, and the state of each lookup, in order.
        """
        names: list[str] = []
        arguments: list[bytes | str | float] = [*self._head]
        for want, left in wanted:
            self._add(names, arguments, want, left)
        reply = await self._link.run(_BEGIN, names, arguments)
        return server_ms(reply), _begun(reply)

    def job_id(self, job: Job) -> str:
        """Return the id that ``job`` gets, when it is begun and no other is joined."""
        return f"{self._keys.prefix}:{job.trace_id}:{job.lookup}"

    def _add(self, names: list[str], arguments: list[bytes | str | float], want: Wanted, left: float) -> None:
        """Add what begin.lua wants to know of a lookup."""
        keys = self._keys
        job, lane, fresh, late, revalidate, awaited, indexed = want
        names += (
            keys.record(job.record),
            keys.flight(job.record),
            keys.lane(lane),
            keys.free(lane),
            keys.pace(lane),
        )
        arguments += (
            int(left * 1000),
            int(fresh * 1000),
            int(revalidate * 1000) if awaited else -1,
            int(late * 1000),
            self.job_id(job),
            pack(job) + self._reply_to,
            job.user_record and keys.record(job.user_record),
            keys.session(session_of(job.record)) if indexed else "",
            int(indexed * 1000),
        )


def _begun(reply: Sequence[Any]) -> list[Begun]:
    return [
        Begun(_STATES[reply[i]], reply[i + 1], reply[i + 2], reply[i + 3]) for i in range(2, len(reply), 4)
    ]
