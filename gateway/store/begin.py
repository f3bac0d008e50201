"""Begin: the lookups of the callbacks of one turn, handed to Redis in one round trip."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.core.messages import Job
from gateway.core.records import session_of
from gateway.store.batch import Answered, Batch
from gateway.store.keys import Keys
from gateway.store.link import RedisLink, Script
from gateway.store.queue import CLAIM_MARGIN, JOB_KEPT, LANE_LIMIT, State, Wanted, server_ms

_MOST = 32
_BEGIN = Script("begin")
_STATES = tuple(State)
_Question = tuple[int, list[str], list[bytes | str | float]]
"""Lookups begun together: how many, their keys, and their arguments."""

_encode = msgspec.msgpack.Encoder().encode


class Begun(NamedTuple):
    """What became of a lookup: the record as Redis holds it (``b""`` for none), and the job, ``""`` for none.

    ``of_user`` is the user's record, ``now_ms`` the time on the Redis server's clock.
    """

    state: State
    record: bytes
    job_id: str
    of_user: bytes
    now_ms: float


class Begin:
    """A gateway process's way to begin.lua."""

    def __init__(self, link: RedisLink, keys: Keys, channel: str) -> None:
        """Take the channel on which the answers shall come."""
        self._link = link
        self._keys = keys
        self._reply_to = _encode(channel)
        self._head = (channel, keys.waiters(""), int(JOB_KEPT * 1000), LANE_LIMIT, int(CLAIM_MARGIN * 1000))
        self._batch = Batch(self._ask, _MOST)

    async def __call__(self, wanted: Sequence[Wanted], left: float) -> list[Begun]:
        """Begin lookups with ``left`` seconds to their deadline; return what became of each, in order.

        Raise QueueUnavailable.
        """
        return await self._batch.add(self._encoded(wanted, int(left * 1000)))

    def job_id(self, job: Job) -> str:
        """Return the id that ``job`` gets, when it is begun and no other is joined."""
        return f"{self._keys.prefix}:{job.trace_id}:{job.lookup}"

    def _encoded(self, wanted: Sequence[Wanted], left_ms: int) -> _Question:
        keys = self._keys
        names: list[str] = []
        arguments: list[bytes | str | float] = []
        for job, lane, fresh, late, revalidate, awaited, indexed in wanted:
            names += (
                keys.record(job.record),
                keys.flight(job.record),
                keys.lane(lane),
                keys.free(lane),
                keys.pace(lane),
            )
            arguments += (
                left_ms,
                int(fresh * 1000),
                int(revalidate * 1000) if awaited else -1,
                int(late * 1000),
                self.job_id(job),
                _encode(job) + self._reply_to,
                job.user_record and keys.record(job.user_record),
                keys.session(session_of(job.record)) if indexed else "",
                int(indexed * 1000),
            )
        return len(wanted), names, arguments

    def _ask(self, questions: list[_Question], answered: Answered[list[Begun]]) -> None:
        names: list[str] = []
        arguments: list[bytes | str | float] = [*self._head]
        for _, own_names, own_arguments in questions:
            names += own_names
            arguments += own_arguments
        counts = [count for count, _, _ in questions]

        def told(reply: Sequence[Any] | Exception) -> None:
            answered(reply if isinstance(reply, Exception) else _split(reply, counts))

        self._link.submit(_BEGIN, names, arguments, told)


def _split(reply: Sequence[Any], counts: Sequence[int]) -> list[list[Begun]]:
    """Return the answers of a reply of begin.lua, so many to each question."""
    now_ms, at = server_ms(reply), 2
    answers = []
    for count in counts:
        end = at + 4 * count
        answers.append(
            [
                Begun(_STATES[reply[i]], reply[i + 1], reply[i + 2].decode(), reply[i + 3], now_ms)
                for i in range(at, end, 4)
            ]
        )
        at = end
    return answers
