"""The queue: a callback's lookups begun in one round trip, a worker's answer given back in another.

One arq queue per backend, called its lane. Jobs and answers are msgpack; nothing is ever unpickled. arq's
function name, keys and job layout are known here and in ``workers`` alone.
"""

import math
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec
from arq.constants import in_progress_key_prefix, job_key_prefix, retry_key_prefix

from gateway.core.messages import Answer, Job
from gateway.store.keys import Keys
from gateway.store.link import RedisLink, Script

RUN_LOOKUP = "run_lookup"
"""The name under which workers register the one function that runs jobs."""

JOB_KEPT = 30.0
"""Seconds past its deadline for which a job that nobody finished is kept; then Redis forgets it."""

LANE_LIMIT = 10_000
"""Most jobs that a lane holds; one more is refused."""

_BEGIN = Script("begin")
_FINISH = Script("finish")
_encode = msgspec.msgpack.Encoder().encode


class State(IntEnum):
    """What :func:`begin` did for a lookup."""

    FRESH = 0
    JOINED = 1
    BEGUN = 2
    REFUSED = 3


class Wanted(msgspec.Struct, frozen=True):
    """A lookup to begin: its job, and how it may be answered. Durations are seconds."""

    job: Job
    lane: str
    fresh: float
    late: float


class Begun(NamedTuple):
    """What became of it: the record as Redis holds it (``b""`` for none) and the job to wait for."""

    state: State
    record: bytes
    job_id: str


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """A job on the wire: deadline and enqueue time in ms on the Redis server's clock, then the job itself.

    ``reply_to`` is the channel of the gateway that began it. A job of another client has a deadline of 0,
    none, and nobody to tell.
    """

    deadline_ms: float
    enqueued_ms: float
    job: Job
    reply_to: str = ""


_envelopes = msgspec.msgpack.Decoder(Envelope)


async def begin(
    link: RedisLink, keys: Keys, channel: str, wanted: Sequence[Wanted], left: float
) -> tuple[float, list[Begun]]:
    """Begin lookups with ``left`` seconds to their deadline, in one round trip.

    Return the server's time in ms and what became of each, in order. Raise QueueUnavailable.
    """
    names: list[str] = []
    arguments: list[bytes | str | float] = [
        channel,
        keys.waiters(""),
        left * 1000,
        JOB_KEPT * 1000,
        LANE_LIMIT,
    ]
    reply_to = _encode(channel)
    for want in wanted:
        job = want.job
        names += (
            keys.record(job.record),
            keys.flight(job.record),
            keys.lane(want.lane),
            keys.ready(want.lane),
        )
        job_id = f"{keys.prefix}:{job.trace_id}:{job.lookup}"
        arguments += (want.fresh * 1000, want.late * 1000, job_id, _encode(job) + reply_to)
    reply = await link.run(_BEGIN, names, arguments)
    begun = [Begun(State(reply[i]), reply[i + 1], reply[i + 2].decode()) for i in range(1, len(reply), 3)]
    return float(reply[0]), begun


async def finish(  # noqa: PLR0913 - where, what, and for how long
    link: RedisLink, keys: Keys, lane: str, envelope: Envelope, answer: Answer, *, kept: float
) -> int:
    """Keep the answer's record for ``kept`` seconds, push it to every gateway that waits, clear the job.

    A failed answer leaves the record as it is. Safe to repeat. Return the number of gateways that were told;
    raise QueueUnavailable.
    """
    job_id = answer.job_id
    names = (
        keys.record(envelope.job.record),
        keys.lane(lane),
        keys.waiters(job_id),
        job_key_prefix + job_id,
        retry_key_prefix + job_id,
        in_progress_key_prefix + job_id,
    )
    variables = b"" if answer.code else _encode(answer.variables)
    arguments = (job_id, _encode(answer), variables, max(1, int(kept * 1000)), envelope.reply_to)
    told: int = await link.run(_FINISH, names, arguments)
    return told


def serialize_job(fields: Mapping[str, Any]) -> bytes:
    """Encode a job or a result as arq's ``job_serializer``, for stock clients and workers.

    A job of this project is written as :class:`Envelope`; whatever else arq wants to keep, as a plain map.
    """
    plain = fields.get("t") is None and not fields.get("k") and "r" not in fields
    if plain and fields.get("f") == RUN_LOOKUP and len(fields.get("a", ())) == 1:
        return _encode(Envelope(0.0, float(fields["et"]), fields["a"][0]))
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
