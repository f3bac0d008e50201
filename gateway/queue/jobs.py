"""The queue: all that both of its sides must know.

One arq queue per backend, called its lane. Jobs and answers are msgpack; nothing is ever unpickled. arq's
function name, keys and job layout are known here and in ``workers`` alone.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Self

import msgspec
from arq.constants import (
    health_check_key_suffix,
    in_progress_key_prefix,
    job_key_prefix,
    retry_key_prefix,
)

from gateway.core.messages import Job
from gateway.core.packing import pack
from gateway.core.records import Known
from gateway.wire.link import read_lua

RUN_LOOKUP = "run_lookup"
"""The name under which workers register the one function that runs jobs."""

JOB_KEPT = 30.0
"""Seconds past its deadline after which Redis drops a job that no worker has finished."""

LANE_LIMIT = 10_000
"""Most jobs that a lane holds; one more is refused."""

CLAIM_MARGIN = 2.0
"""Seconds past the longest run of a job after which its worker is taken for dead."""

WORKER_SILENT = 6.0
"""Seconds after which a lane's workers count as gone when none of them has been heard of."""

LANE = read_lua("gateway.queue", "lane")
"""The prelude of every script that looks at a lane: arq's keys, and what scores mean."""

RECORD = read_lua("gateway.queue", "record")
"""The prelude of every script that looks at when a record was written."""


def heartbeat_key(lane: str) -> str:
    """Return the string key that is there while a worker of a lane sends heartbeats; it is arq's."""
    return f"{lane}{health_check_key_suffix}"


class State(IntEnum):
    """How begin.lua answers for a lookup."""

    FRESH = 0
    JOINED = 1
    BEGUN = 2
    REFUSED = 3
    REVALIDATING = 4
    UNATTENDED = 5
    SHED = 6
    FAILED = 7


class Wanted(NamedTuple):
    """A lookup to begin: its job, and how it may be answered. Durations are seconds.

    A record up to ``fresh`` old is the answer; for ``revalidate`` longer it is, too, and is refreshed behind.
    A job may run on past the deadline for ``overrun``. A lookup that is not ``awaited`` is a refresh from the
    start. The session's index notes the record, and is kept for ``indexed`` seconds; with 0 it does not. A
    record that says "there is no such thing" is the answer up to ``not_found_fresh``. ``variables`` are the
    names that a record must have; None takes any. ``mark`` is the number of erasures that were seen when its
    callback came.
    """

    job: Job
    lane: str
    fresh: float
    overrun: float
    revalidate: float = 0.0
    awaited: bool = True
    indexed: float = 0.0
    not_found_fresh: float = 0.0
    variables: Collection[str] | None = None
    mark: float = math.inf

    def takes(self, known: Known | None) -> bool:
        """True if a record has the variables of the lookup. One of another configuration has others."""
        return known is not None and (self.variables is None or known.variables.keys() == self.variables)

    def fresh_for(self, known: Known) -> float:
        """Return the seconds for which a record is the answer."""
        return self.fresh if known.found else self.not_found_fresh

    def state_of(self, known: Known, now: float) -> State | None:
        """Return the state of a lookup that no job answers, by its record; None if that does not do."""
        fresh, age = self.fresh_for(known), known.age(now)
        if age < fresh:
            return State.FRESH
        return State.REVALIDATING if known.found and age < fresh + self.revalidate else None

    def anew(self) -> Self:
        """Return the same without a record that would do."""
        return self._replace(fresh=0.0, revalidate=0.0, not_found_fresh=0.0)


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """A job on the wire: deadline and enqueue time in ms on the Redis server's clock, then the job itself.

    ``reply_to`` is the channel of the gateway that began it. A refresh, or a job of another client, has a
    deadline of 0: none.
    """

    deadline_ms: float
    enqueued_ms: float
    job: Job
    reply_to: str = ""


class Taken(NamedTuple):
    """A job in a worker's hands: its id, the number of this try from 1, and what it is.

    ``envelope`` is None for anything but a job of this project; ``ahead_ms`` is how far the Redis server's
    clock is ahead of this process's monotonic clock.
    """

    job_id: str
    job_try: int
    envelope: Envelope | None
    ahead_ms: float


_envelopes = msgspec.msgpack.Decoder(Envelope)


def arq_keys(job_id: str) -> tuple[str, str, str]:
    """Return arq's keys of a job: the job, its tries, its claim."""
    return f"{job_key_prefix}{job_id}", f"{retry_key_prefix}{job_id}", f"{in_progress_key_prefix}{job_id}"


def server_ms(time_reply: Sequence[Any]) -> float:
    """Return the ms that Redis' ``TIME`` says: seconds, then microseconds."""
    return int(time_reply[0]) * 1000 + int(time_reply[1]) / 1000


def serialize_job(fields: Mapping[str, Any]) -> bytes:
    """Encode a job or a result as arq's ``job_serializer``, for stock clients and workers.

    A job of this project is written as :class:`Envelope`, all else that arq wants to keep as a plain map.
    """
    plain = fields.get("t") is None and not fields.get("k") and "r" not in fields
    if plain and fields.get("f") == RUN_LOOKUP and len(fields.get("a", ())) == 1:
        return pack(Envelope(0.0, float(fields["et"]), fields["a"][0]))
    return msgspec.msgpack.encode(dict(fields), enc_hook=repr)


def deserialize_job(data: bytes) -> dict[str, Any]:
    """Decode what :func:`serialize_job` or begin.lua wrote, as arq's ``job_deserializer``.

    The job's function gets the whole :class:`Envelope`. Raise msgspec.MsgspecError for anything else.
    """
    if data[:1] != b"\x94":
        return msgspec.msgpack.decode(data, type=dict[str, Any])
    envelope = _envelopes.decode(data)
    if not math.isfinite(envelope.enqueued_ms):
        msg = "the time at which the job was enqueued is no time"
        raise msgspec.ValidationError(msg)
    return {"t": None, "f": RUN_LOOKUP, "a": (envelope,), "k": {}, "et": int(envelope.enqueued_ms)}
