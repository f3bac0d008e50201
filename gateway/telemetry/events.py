"""Every event of the project: one function each. A room that emits an event calls its function.

An event is a frozen value, and an instrument is a function of it. The log is the first instrument. A further
one is a line in ``telemetry/__init__.py``: no room that emits an event knows of it.

Names and fields are the contract of README's table of events. Durations come in seconds here and leave as
``…_ms``. No function takes the value of a variable: names only.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from gateway.core.errors import Code

Level = Literal["info", "warning", "error"]


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that happened: its name, how bad it is, and what there is to know of it.

    A bug's ``exc_info`` is its exception. No instrument changes the ``fields``.
    """

    name: str
    level: Level
    fields: dict[str, Any]


Instrument = Callable[[Event], None]
"""Is told every event of the process, at once; it must not raise, and must not take long."""

instruments: list[Instrument] = []


class LookupAnswered(NamedTuple):
    """What a lookup contributed to a reply: its source, the answer's age, the time it took, its code."""

    source: str
    age: float | None
    took: float
    code: Code


def callback_answered(  # noqa: PLR0913 - as many as the line tells
    *,
    app: int,
    session: str,
    user: str,
    route: str,
    code: Code,
    took: float,
    budget: float,
    lookups: Mapping[str, LookupAnswered],
    trace_id: str,
) -> None:
    """A callback has been answered: its canonical line."""
    told = {
        name: {
            "source": one.source,
            "age_ms": None if one.age is None else round(one.age * 1000),
            "took_ms": round(one.took * 1000, 2),
            "code": int(one.code),
        }
        for name, one in lookups.items()
    }
    _info(
        "callback.answered",
        app=app,
        session=session,
        user=user,
        route=route,
        code=int(code),
        took_ms=round(took * 1000, 2),
        budget_ms=round(budget * 1000),
        lookups=told,
        trace_id=trace_id,
    )


def callback_refused(
    *,
    code: Code,
    reason: str,
    path: str | None = None,
    remote: str | None = None,
    trace_id: str | None = None,
) -> None:
    """A callback was answered without a lookup; what never was a callback has neither path nor trace."""
    where = {} if trace_id is None else {"path": path, "remote": remote, "trace_id": trace_id}
    _warning("callback.refused", code=int(code), reason=reason, **where)


def callback_failed(*, code: Code, trace_id: str, error: BaseException) -> None:
    """A bug kept a callback from its answer."""
    _error("callback.failed", code=int(code), trace_id=trace_id, exc_info=error)


def edge_failed(*, error: BaseException | None, remote: str | None = None) -> None:
    """A bug of the HTTP layer."""
    where = {} if remote is None else {"remote": remote}
    _error("edge.failed", **where, exc_info=error)


def session_notified(  # noqa: PLR0913 - as many as the line tells
    *,
    app: int,
    session: str,
    name: str,
    prefetched: Sequence[str],
    forgotten: int,
    reason: str,
    trace_id: str,
) -> None:
    """A session event has been taken, and what its app wants has been done."""
    _info(
        "session.notified",
        app=app,
        session=session,
        name=name,
        prefetched=list(prefetched),
        forgotten=forgotten,
        reason=reason,
        trace_id=trace_id,
    )


def session_failed(*, app: int, session: str, trace_id: str, error: BaseException) -> None:
    """A bug behind the answer to a session event."""
    _error("session.failed", app=app, session=session, trace_id=trace_id, exc_info=error)


def gateway_started(*, listen: str, admin: str) -> None:
    """A gateway listens."""
    _info("gateway.started", listen=listen, admin=admin)


def gateway_drained() -> None:
    """A gateway has stopped, its callbacks answered."""
    _info("gateway.drained")


def gateway_died(*, pid: int, signal: str | None) -> None:
    """One of several gateway processes was killed."""
    _error("gateway.died", pid=pid, signal=signal)


def worker_started(*, lanes: Sequence[str], concurrency: Mapping[str, int]) -> None:
    """A worker takes jobs."""
    _info("worker.started", lanes=list(lanes), concurrency=dict(concurrency))


def worker_drained(*, jobs_left: int) -> None:
    """A worker has stopped; the jobs that are left go to another one."""
    _info("worker.drained", jobs_left=jobs_left)


def lookup_finished(  # noqa: PLR0913 - as many as the line tells
    *,
    lookup: str,
    backend: str,
    code: Code,
    reason: str,
    attempts: int,
    queued: float,
    took: float,
    left: float,
    session: str,
    trace_id: str,
) -> None:
    """A backend has been asked for a lookup: the canonical line. ``left`` is counted from the end of it."""
    _info(
        "lookup.finished",
        lookup=lookup,
        backend=backend,
        lane=backend,
        outcome=code.name,
        reason=reason,
        attempts=attempts,
        queue_ms=round(queued * 1000, 2),
        backend_ms=round(took * 1000, 2),
        left_ms=round(left * 1000, 2),
        session=session,
        trace_id=trace_id,
    )


def lookup_retried(  # noqa: PLR0913 - as many as the line tells
    *, lookup: str, backend: str, attempt: int, code: Code, reason: str, trace_id: str
) -> None:
    """An attempt failed, and another one follows."""
    _info(
        "lookup.retried",
        lookup=lookup,
        backend=backend,
        attempt=attempt,
        code=int(code),
        reason=reason,
        trace_id=trace_id,
    )


def lookup_failed(*, lookup: str, lane: str, trace_id: str, error: BaseException) -> None:
    """A bug kept a lookup from its answer."""
    _error("lookup.failed", lookup=lookup, lane=lane, trace_id=trace_id, exc_info=error)


def lookup_oversized(*, lookup: str, lane: str, size: int, trace_id: str) -> None:
    """An answer was too large to be kept or sent."""
    _warning("lookup.oversized", lookup=lookup, lane=lane, size=size, trace_id=trace_id)


def job_dropped(*, lookup: str, lane: str, reason: str, trace_id: str) -> None:
    """A job was given up unasked."""
    _warning("job.dropped", lookup=lookup, lane=lane, reason=reason, trace_id=trace_id)


def job_unreadable(*, lane: str, error: Exception) -> None:
    """A worker was pushed what is no job."""
    _warning("job.unreadable", lane=lane, error=str(error))


def job_unfinished(*, job: str, error: Exception) -> None:
    """A job's answer could not be given back; a sweep will have it taken anew."""
    _warning("job.unfinished", job=job, error=type(error).__name__)


def answer_late(*, lookup: str, job: str) -> None:
    """An answer came after its callback's reply; it is kept."""
    _info("answer.late", lookup=lookup, job=job)


def answer_unreadable(*, error: Exception) -> None:
    """A gateway was pushed what is no answer."""
    _warning("answer.unreadable", error=str(error))


def record_unreadable(*, error: str) -> None:
    """A record counts as absent, because it cannot be read."""
    _warning("record.unreadable", error=error)


def records_restored(*, records: int) -> None:
    """Redis has got the answers that were made without it."""
    _info("records.restored", records=records)


def lane_full(*, lane: str, depth: int) -> None:
    """A lane took no more jobs."""
    _warning("lane.full", lane=lane, depth=depth)


def forget_unreadable(*, error: Exception) -> None:
    """A broadcast names nobody to forget."""
    _warning("forget.unreadable", error=str(error))


def redis_lost(*, error: BaseException) -> None:
    """Redis cannot be reached any more."""
    _warning("redis.lost", error=type(error).__name__, detail=str(error))


def redis_restored() -> None:
    """Redis is back."""
    _info("redis.restored")


def library_logged(*, level: Level, logger: str, message: str, error: object) -> None:
    """A library has logged something at WARNING or above; ``error`` is as :mod:`logging` has it."""
    exception = {"exc_info": error} if error else {}
    _tell(Event("library.logged", level, {"logger": logger, "message": message, **exception}))


def _info(name: str, /, **fields: Any) -> None:  # noqa: ANN401 - what JSON can say
    _tell(Event(name, "info", fields))


def _warning(name: str, /, **fields: Any) -> None:  # noqa: ANN401
    _tell(Event(name, "warning", fields))


def _error(name: str, /, **fields: Any) -> None:  # noqa: ANN401
    _tell(Event(name, "error", fields))


def _tell(event: Event) -> None:
    for instrument in instruments:
        instrument(event)
