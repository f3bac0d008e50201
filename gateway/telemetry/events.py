"""Every event of the project, each with a function. A room that emits an event calls its function.

An event is a frozen value, and an instrument is a function of it. The log is the first instrument. A further
instrument is a line in ``telemetry/__init__.py``: the rooms that emit events do not know it.

Names and fields are the contract of docs/logs.md. Durations come in seconds here and leave as
``…_ms``. No field has the value of a variable: see :class:`Event`.
"""

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from gateway.core.errors import Code

Level = Literal["debug", "info", "warning", "error"]


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event: its name, its level, and its fields.

    The event of a bug has the exception as ``exc_info``. No instrument changes the ``fields``.

    ``values`` may be a visitor's, or a customer's. They are for the history alone, which an operator turns
    on, and never for the log.
    """

    name: str
    level: Level
    fields: dict[str, Any]
    values: Mapping[str, Any] | None = None


Instrument = Callable[[Event], None]
"""Gets each event of the process at once. It must not take long."""

instruments: list[Instrument] = []


class LookupAnswered(NamedTuple):
    """A lookup's part of a reply: its source, the answer's age, the time that it took, its code.

    ``input`` is the name of the variable that the code is about, ``""`` for most codes. ``wave`` is the wave
    in which it was made, 0 if the route has one alone.

    ``variables`` are those that it gave. ``known`` and ``of_user`` are the ages of the records that were
    looked at in place of an answer; ``fallback``: it declares one.
    """

    source: str
    age: float | None
    took: float
    code: Code
    input: str = ""
    wave: int = 0
    variables: Mapping[str, str] = {}
    known: float | None = None
    of_user: float | None = None
    fallback: bool = False


_NEW: dict[str, str] = {"connection": "new"}
_KEPT: dict[str, str] = {}
_NONE: dict[str, str] = {}


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
    new_connection: bool,
    path: str = "",
    info: str = "",
    inputs: Mapping[str, str] = _NONE,
    variables: Mapping[str, str] = _NONE,
) -> None:
    """A callback has been answered: its canonical line. ``inputs`` are its own variables."""
    by_lookup = {}
    for name, one in lookups.items():
        by_lookup[name] = line = {
            "source": one.source,
            "age_ms": None if one.age is None else round(one.age * 1000),
            "took_ms": round(one.took * 1000, 2),
            "code": int(one.code),
            "code_name": one.code.name,
        }
        if one.input:
            line["input"] = one.input
        if one.wave:
            line["wave"] = one.wave
    fields = {
        "app": app,
        "session": session,
        "user": user,
        "route": route,
        "code": int(code),
        "code_name": code.name,
        "took_ms": round(took * 1000, 2),
        "budget_ms": round(budget * 1000),
        "lookups": by_lookup,
        "trace_id": trace_id,
        **(_NEW if new_connection else _KEPT),
    }
    values = {
        "app": app,
        "path": path,
        "info": info,
        "lookups": lookups,
        "inputs": inputs,
        "variables": variables,
    }
    _emit(Event("callback.answered", "info", fields, values))


def callback_refused(  # noqa: PLR0913 - as many as the line tells
    *,
    code: Code,
    reason: str,
    path: str | None = None,
    remote: str | None = None,
    trace_id: str | None = None,
    app: int = 0,
    session: str = "",
    user: str = "",
    inputs: Mapping[str, str] = _NONE,
) -> None:
    """A callback was answered without a lookup. Bytes that were not a callback have no path and no trace.

    One that could be read, and for which there is no route, has a ``session``.
    """
    where = {} if trace_id is None else {"path": path, "remote": remote, "trace_id": trace_id}
    whose = {"session": session} if session else {}
    fields = {"code": int(code), "code_name": code.name, "reason": reason, **where, **whose}
    values = {"app": app, "user": user, "inputs": inputs} if session else None
    _emit(Event("callback.refused", "warning", fields, values))


def callback_failed(*, code: Code, trace_id: str, error: BaseException) -> None:
    """A bug kept a callback from its answer."""
    _error("callback.failed", code=int(code), code_name=code.name, trace_id=trace_id, exc_info=error)


def edge_failed(*, error: BaseException | None, remote: str | None = None) -> None:
    """A bug of the HTTP layer."""
    where = {} if remote is None else {"remote": remote}
    _error("edge.failed", **where, exc_info=error)


def connections_full(*, connections: int, closed: int) -> None:
    """A port has as many connections as it may, and closes some without a callback in hand."""
    _warning("connections.full", connections=connections, closed=closed)


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
    """A session event has been taken, and its app's wishes for it are done."""
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


def session_not_forgotten(*, app: int, session: str, name: str, reason: str, trace_id: str) -> None:
    """A session should have been forgotten, and Redis still has it: it was away, or the process ended."""
    _warning("session.not_forgotten", app=app, session=session, name=name, reason=reason, trace_id=trace_id)


def session_failed(*, app: int, session: str, trace_id: str, error: BaseException) -> None:
    """A bug in the work on a session event, after its answer."""
    _error("session.failed", app=app, session=session, trace_id=trace_id, exc_info=error)


def gateway_started(*, listen: str, admin: str, pid: int, version: str, config: str) -> None:
    """A gateway listens. ``config`` is the digest of its configuration."""
    _info("gateway.started", listen=listen, admin=admin, pid=pid, version=version, config=config)


def console_acted(*, action: str, about: str, remote: str | None) -> None:
    """Somebody has acted in the console, from an address: on a backend, a session, a lookup, or on all."""
    _info("console.acted", action=action, about=about, remote=remote)


def console_refused(*, remote: str | None) -> None:
    """Somebody has come to the console with a token that is none."""
    _warning("console.refused", remote=remote)


def gateway_draining(*, seconds: float) -> None:
    """A gateway has been told to stop. It takes callbacks for some seconds more."""
    _info("gateway.draining", seconds=round(seconds, 1))


def gateway_drained() -> None:
    """A gateway has stopped, its callbacks answered."""
    _info("gateway.drained")


def gateway_died(*, pid: int, signal: str | None, code: int | None, hung: bool) -> None:
    """One of several gateway processes ended unasked: by a signal, or with an exit code, or it had hung."""
    _error("gateway.died", pid=pid, signal=signal, exit_code=code, hung=hung)


def gateway_replaced(*, pid: int, by: int) -> None:
    """One of several gateway processes drains: another one has its ports."""
    _info("gateway.replaced", pid=pid, by=by)


def gateway_not_replaced(*, pid: int | None, reason: str) -> None:
    """The process that should take the place of another one did not start. The old one serves on."""
    _warning("gateway.not_replaced", pid=pid, reason=reason)


def process_failed(*, part: str, error: BaseException) -> None:
    """A bug has ended a part without which the process is of no use. It stops, to be started again."""
    _error("process.failed", part=part, exc_info=error)


def config_reloaded(*, config: str, warnings: Sequence[str]) -> None:
    """A process runs by a new content of its configuration file."""
    _info("config.reloaded", config=config, warnings=list(warnings))


def config_refused(*, file: str, faults: Sequence[str], config: str) -> None:
    """A new content of the configuration file cannot be used. The process runs on by ``config``."""
    _warning("config.refused", file=file, faults=list(faults), config=config)


def config_failed(*, error: BaseException, config: str) -> None:
    """A bug kept a process from its new configuration. It runs on by the one before."""
    _error("config.failed", config=config, exc_info=error)


def certificate_reloaded(*, file: str) -> None:
    """New connections get the certificate that is in the file now."""
    _info("certificate.reloaded", file=file)


def certificate_refused(*, file: str, reason: str) -> None:
    """Certificate and key cannot be used. The ones before stay in use."""
    _warning("certificate.refused", file=file, reason=reason)


def worker_started(  # noqa: PLR0913 - as many as the line tells
    *,
    lanes: Sequence[str],
    concurrency: Mapping[str, int],
    missing: Sequence[str],
    pid: int,
    version: str,
    config: str,
) -> None:
    """A worker takes jobs, or will when what is ``missing`` is there. ``config`` is a digest."""
    _info(
        "worker.started",
        lanes=list(lanes),
        concurrency=dict(concurrency),
        missing=list(missing),
        pid=pid,
        version=version,
        config=config,
    )


def worker_drained(*, jobs_left: int) -> None:
    """A worker has stopped. The jobs that are left go to another worker."""
    _info("worker.drained", jobs_left=jobs_left)


def backend_unasked(*, backend: str) -> None:
    """A backend, or a proxy before it, sent bytes unasked; told once for each time of distrust."""
    _warning("backend.unasked", backend=backend)


def lane_paused(*, lane: str, seconds: float) -> None:
    """A backend has asked to be left alone: the fleet does not ask it for so long."""
    _warning("lane.paused", lane=lane, seconds=round(seconds, 1))


def lane_resumed(*, lane: str) -> None:
    """The pause of a lane is over: a call has gone out, and was not throttled."""
    _info("lane.resumed", lane=lane)


def breaker_opened(*, backend: str, seconds: float, dry_run: bool) -> None:
    """Most calls to a backend fail: the fleet does not ask it for so long. In a ``dry_run`` it asks on."""
    _warning("breaker.opened", backend=backend, seconds=round(seconds, 1), dry_run=dry_run)


def breaker_half_opened(*, backend: str) -> None:
    """One call goes to a backend that has failed: the probe."""
    _info("breaker.half_opened", backend=backend)


def breaker_closed(*, backend: str) -> None:
    """The probe was answered: the backend is asked again."""
    _info("breaker.closed", backend=backend)


def token_granted(*, backend: str, seconds: float, took: float) -> None:
    """The fleet has a new token for a backend. It lives for so many seconds, and is renewed earlier."""
    _info("token.granted", backend=backend, seconds=round(seconds, 1), took_ms=round(took * 1000, 2))


def token_failed(*, backend: str, code: Code, reason: str, took: float) -> None:
    """A token for a backend was asked for in vain. The old one is used while it is valid."""
    _warning(
        "token.failed",
        backend=backend,
        code=int(code),
        code_name=code.name,
        reason=reason,
        took_ms=round(took * 1000, 2),
    )


def fleet_unreadable(*, entry: str, error: BaseException) -> None:
    """Something that the fleet shares cannot be read: another release has written it, or somebody else."""
    _warning("fleet.unreadable", entry=entry, error=type(error).__name__)


def lookup_said(*, lookup: str, text: str, fields: Mapping[str, object], session: str, trace_id: str) -> None:
    """A Python lookup has something to say: ``ask.log(text, key=value)``."""
    _info("lookup.said", text=text, lookup=lookup, session=session, trace_id=trace_id, fields=dict(fields))


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
    unmapped: Sequence[str] = (),
    app: int = 0,
    user: str = "",
    inputs: Mapping[str, str] = _NONE,
    variables: Mapping[str, str] = _NONE,
    found: bool = True,
) -> None:
    """A backend has been asked for a lookup: its canonical line. ``left`` are the seconds left at the end.

    ``unmapped`` names the variables whose expressions failed on the reply.
    """
    fields = {
        "lookup": lookup,
        "backend": backend,
        "lane": backend,
        "outcome": code.name,
        "code": int(code),
        "reason": reason,
        "attempts": attempts,
        "queue_ms": round(queued * 1000, 2),
        "backend_ms": round(took * 1000, 2),
        "left_ms": round(left * 1000, 2),
        "session": session,
        "trace_id": trace_id,
        **({"unmapped": list(unmapped)} if unmapped else {}),
    }
    values = {"app": app, "user": user, "inputs": inputs, "variables": variables, "found": found}
    _emit(Event("lookup.finished", "info", fields, values))


def attempt_replied(  # noqa: PLR0913 - as many as the line tells
    *,
    backend: str,
    status: int,
    content_type: str,
    size: int,
    trace_id: str,
    span_id: str,
    body: bytes,
    whole: bool,
    charset: str = "",
    token: str = "",
) -> None:
    """A response has come to a call that a lookup made. So many bytes of its body were read, or are there.

    ``charset`` is the codec of a backend that declares one, ``token`` the one with which it was asked.
    """
    fields = {
        "backend": backend,
        "status": status,
        "content_type": content_type,
        "size": size,
        "trace_id": trace_id,
        "span_id": span_id,
    }
    values = {"body": body, "whole": whole, "charset": charset, "token": token}
    _emit(Event("attempt.replied", "debug", fields, values))


def attempt_ended(  # noqa: PLR0913 - as many as the line tells
    *, lookup: str, backend: str, attempt: int, outcome: str, took: float, trace_id: str, span_id: str
) -> None:
    """A call to a backend has ended. ``outcome`` is the name of its code, or CANCELLED.

    ``span_id`` is the name that the backend was given of it, in ``traceparent``.
    """
    _debug(
        "attempt.ended",
        lookup=lookup,
        backend=backend,
        attempt=attempt,
        outcome=outcome,
        took_ms=round(took * 1000, 2),
        trace_id=trace_id,
        span_id=span_id,
    )


def lookup_retried(  # noqa: PLR0913 - as many as the line tells
    *, lookup: str, backend: str, attempt: int, code: Code, reason: str, trace_id: str
) -> None:
    """An attempt failed, and another attempt follows."""
    _info(
        "lookup.retried",
        lookup=lookup,
        backend=backend,
        attempt=attempt,
        code=int(code),
        code_name=code.name,
        reason=reason,
        trace_id=trace_id,
    )


def lookup_failed(*, lookup: str, lane: str, trace_id: str, error: BaseException) -> None:
    """A bug kept a lookup from its answer."""
    _error("lookup.failed", lookup=lookup, lane=lane, trace_id=trace_id, exc_info=error)


def lookup_raised(*, lookup: str, function: str, error: str, frames: Sequence[str], trace_id: str) -> None:
    """A Python lookup raised. Neither the exception's text nor any value is told: both may be a user's."""
    _error(
        "lookup.raised", lookup=lookup, function=function, error=error, frames=[*frames], trace_id=trace_id
    )


def lookup_oversized(*, lookup: str, lane: str, size: int, trace_id: str) -> None:
    """An answer was too large to be kept or sent."""
    _warning("lookup.oversized", lookup=lookup, lane=lane, size=size, trace_id=trace_id)


def job_dropped(*, lookup: str, lane: str, reason: str, trace_id: str) -> None:
    """A job was given up, and its backend not asked."""
    _warning("job.dropped", lookup=lookup, lane=lane, reason=reason, trace_id=trace_id)


def job_unreadable(*, lane: str, error: Exception) -> None:
    """A message pushed to a worker is not a job."""
    _warning("job.unreadable", lane=lane, error=str(error))


def job_unfinished(*, job: str, error: Exception) -> None:
    """A job's answer could not be given back. A sweep will requeue the job."""
    _warning("job.unfinished", job=job, error=type(error).__name__)


def answer_late(*, lookup: str, job: str) -> None:
    """An answer came after its callback's reply; it is kept."""
    _info("answer.late", lookup=lookup, job=job)


def answer_unreadable(*, error: Exception) -> None:
    """A message pushed to a gateway is not an answer."""
    _warning("answer.unreadable", error=str(error))


def record_unreadable(*, error: str) -> None:
    """A record cannot be read, and counts as absent."""
    _warning("record.unreadable", error=error)


def records_restored(*, records: int) -> None:
    """The answers that were given without Redis are in Redis now."""
    _info("records.restored", records=records)


def lane_full(*, lane: str, depth: int) -> None:
    """A lane is full, and refused a job."""
    _warning("lane.full", lane=lane, depth=depth)


def lane_slow(*, lane: str) -> None:
    """A lane's jobs wait so long that one more would come too late, and was not awaited."""
    _warning("lane.slow", lane=lane)


def lane_unattended(*, lane: str, seconds: float) -> None:
    """A lane has no worker, and has had none since so many seconds."""
    _warning("lane.unattended", lane=lane, seconds=round(seconds))


def lane_attended(*, lane: str, seconds: float) -> None:
    """A lane has a worker again, after so many seconds without one."""
    _info("lane.attended", lane=lane, seconds=round(seconds))


def callbacks_overloaded(*, asking: int) -> None:
    """``max_inflight`` callbacks wait for answers, so another one was answered without."""
    _warning("callbacks.overloaded", asking=asking)


def backend_failing(*, backend: str, code: Code, lookups: int, seconds: float) -> None:
    """A backend has given no answer for so many lookups and seconds; ``code`` is the last one's."""
    _warning(
        "backend.failing",
        backend=backend,
        code=int(code),
        code_name=code.name,
        lookups=lookups,
        seconds=round(seconds),
    )


def backend_busy(*, backend: str) -> None:
    """As many calls as a backend takes are under way, so another one was not made."""
    _warning("backend.busy", backend=backend)


def backend_recovered(*, backend: str, seconds: float) -> None:
    """A backend that was failing has answered again."""
    _info("backend.recovered", backend=backend, seconds=round(seconds))


def key_set_aside(*, key: str, type: str) -> None:  # noqa: A002 - Redis' own word
    """A key of ours was of another type, and has been renamed: somebody else has written there."""
    _warning("key.set_aside", key=key, type=type)


def history_dropped(*, entries: int) -> None:
    """Entries of the history could not be written, and are lost."""
    _warning("history.dropped", entries=entries)


def forget_unreadable(*, error: Exception) -> None:
    """A message to forget a session or a user cannot be read."""
    _warning("forget.unreadable", error=str(error))


def redis_lost(*, error: BaseException) -> None:
    """Redis cannot be reached any more."""
    _warning("redis.lost", error=type(error).__name__, detail=str(error))


def redis_refused(*, kind: str, detail: str) -> None:
    """Redis has refused a command, in its own words."""
    _warning("redis.refused", kind=kind, detail=detail)


def redis_restored() -> None:
    """Redis is back."""
    _info("redis.restored")


def traces_unavailable(*, reason: str) -> None:
    """Traces are wanted, and cannot be made."""
    _warning("traces.unavailable", reason=reason)


def log_dropped(*, lines: int, seconds: float) -> None:
    """Lines were dropped since so many seconds: they could not be written. Now writing works again."""
    _warning("log.dropped", lines=lines, seconds=round(seconds, 1))


def library_logged(*, level: Level, logger: str, message: str, error: object) -> None:
    """A library has logged at WARNING or above. ``error`` is the record's ``exc_info``."""
    exception = {"exc_info": error} if error else {}
    _emit(Event("library.logged", level, {"logger": logger, "message": message, **exception}))


def _debug(name: str, /, **fields: Any) -> None:  # noqa: ANN401 - values that JSON can hold
    _emit(Event(name, "debug", fields))


def _info(name: str, /, **fields: Any) -> None:  # noqa: ANN401
    _emit(Event(name, "info", fields))


def _warning(name: str, /, **fields: Any) -> None:  # noqa: ANN401
    _emit(Event(name, "warning", fields))


def _error(name: str, /, **fields: Any) -> None:  # noqa: ANN401
    _emit(Event(name, "error", fields))


def _emit(event: Event) -> None:
    for instrument in instruments:
        try:
            instrument(event)
        except Exception:  # noqa: BLE001 - a broken instrument must not break the room that emits
            traceback.print_exc()  # to standard error: an event about it would come back to it
