"""The meaning of what came in other ways: a value, rows, a response to a Python lookup. Pure."""

from gateway.core.errors import NoAnswer, NotFound
from gateway.declared.lookup import Lookup
from gateway.lookups.answers import (
    Response,
    Undecoded,
    conclude,
    declared,
    decoded,
    failure,
    find_rule,
    found,
    judge_status,
    pause_of,
)
from gateway.lookups.reply import Finding


def interpret_value(lookup: Lookup, reply: object) -> Finding:
    """Return what a value means that came without HTTP: from a Python lookup. Raise NoAnswer."""
    rule = find_rule(lookup, None, reply)
    return found(lookup, reply) if rule is None else declared(lookup, rule, None, reply, 0.0)


def interpret_rows(lookup: Lookup, rows: object) -> Finding:
    """Return what the rows of a database mean: a list, a row, or None for no row. Raise NoAnswer."""
    rule = find_rule(lookup, None, rows)
    if rule is not None:
        return declared(lookup, rule, None, rows, 0.0)
    return found(lookup, rows) if rows else interpret_missing(lookup, "the database has no such row")


def interpret_missing(lookup: Lookup, reason: str) -> Finding:
    """Return what it means that there is no such thing; raise BackendRejected where that is not declared."""
    return conclude(lookup, "not_found", reason, None)


def judge(reading: Lookup, response: Response, now: float) -> object:
    """Return the decoded body of a response to a Python lookup: None for an empty one.

    ``reading`` stands for every lookup of the backend: it has the backend's rules and its charset. Raise
    NoAnswer for what the rules call no answer, and if the status says that nobody can be served. A body that
    cannot be decoded is an ``Undecoded``: the author may want its text. 4xx are the author's to read.
    """
    reply = decoded(reading, response)
    pause = pause_of(response.headers, now)
    rule = find_rule(reading, response, reply)
    if rule is not None:
        if rule.means == "ok":
            return reply
        raise _error(rule.means, f"{rule.name}: {rule.means} ({response.status})", pause)
    means, reason = judge_status(reading, response.status, reply, asks_for_pause=pause is not None)
    if means in {"unauthorized", "throttled", "unavailable"}:
        raise _error(means, f"the backend answered {response.status}{reason}", pause)
    return reply


def _error(means: str, reason: str, pause: float | None) -> NoAnswer:
    return NotFound(reason) if means == "not_found" else failure(means, reason, pause)


__all__ = ["Undecoded", "interpret_missing", "interpret_rows", "interpret_value", "judge"]
