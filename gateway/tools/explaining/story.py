"""The story of a session: its callbacks, each with where its lookups' variables came from. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.core.errors import Code
from gateway.core.units import brief_duration
from gateway.declared.lookup import Lookup
from gateway.history.entries import CallbackEntry, Entry, LookupEntry, LookupPart

_SLACK = 2.0
"""Seconds by which the clocks of two processes may differ."""

_OF_RECORDS = ("fresh", "revalidating", "stale", "user")
_NAMES = {int(code): code.name for code in Code}


class Part(NamedTuple):
    """A lookup's part of a callback.

    ``asked`` is the entry of the question that this callback waited for, or of the one whose answer its
    record was. ``joined``: that was begun for another callback. ``late`` are the seconds by which the answer
    came after the reply. ``rungs`` says what each rung of the ladder had, down to the one that was taken.
    """

    lookup: str
    part: LookupPart
    asked: LookupEntry | None
    joined: bool
    late: float | None
    rungs: tuple[str, ...]


class Told(NamedTuple):
    """A callback and its parts, in the order of its route."""

    callback: CallbackEntry
    parts: tuple[Part, ...]


def tell(entries: Sequence[Entry], lookups: Mapping[str, Lookup]) -> list[Told]:
    """Return the callbacks of a session, oldest first. ``lookups`` are those of the configuration."""
    asked = [entry for entry in entries if isinstance(entry, LookupEntry)]
    return [
        Told(entry, tuple(_parts(entry, asked, lookups)))
        for entry in entries
        if isinstance(entry, CallbackEntry)
    ]


def as_dict(told: Told) -> dict[str, Any]:
    """Return a callback as JSON has it."""
    parts = {
        part.lookup: {
            **msgspec.to_builtins(part.part),
            "code_name": code_name(part.part.code),
            "asked": None if part.asked is None else msgspec.to_builtins(part.asked),
            "joined": part.joined,
            "late_ms": None if part.late is None else round(part.late * 1000),
            "rungs": list(part.rungs),
        }
        for part in told.parts
    }
    callback: dict[str, Any] = msgspec.to_builtins(told.callback)
    return {**callback, "code_name": code_name(told.callback.code), "lookups": parts}


def code_name(code: int) -> str:
    """Return the name of a code, its number for one of another release."""
    return _NAMES.get(code, str(code))


def _parts(
    callback: CallbackEntry, asked: Sequence[LookupEntry], lookups: Mapping[str, Lookup]
) -> Iterator[Part]:
    for name, part in callback.lookups.items():
        mine = [entry for entry in asked if entry.lookup == name]
        question = _of_record(callback, part, mine) or _awaited(callback, part, mine)
        late = None
        if question is not None and part.code and not question.code and question.at > callback.at:
            late = question.at - callback.at
        joined = question is not None and question.trace_id != callback.trace_id
        yield Part(name, part, question, joined, late, tuple(_rungs(part, lookups.get(name), question)))


def _awaited(callback: CallbackEntry, part: LookupPart, asked: Sequence[LookupEntry]) -> LookupEntry | None:
    """Return the question that a callback waited for: its own, or one of the session that was under way."""
    own = [entry for entry in asked if entry.trace_id == callback.trace_id]
    if own:
        return own[-1]
    if part.source != "live" and not part.took_ms:
        return None
    begun = callback.at - callback.took_ms / 1000
    under_way = [
        entry
        for entry in asked
        if entry.at > begun - _SLACK
        and entry.at - (entry.queue_ms + entry.backend_ms) / 1000 < callback.at + _SLACK
    ]
    return min(under_way, key=lambda entry: abs(entry.at - callback.at), default=None)


def _of_record(callback: CallbackEntry, part: LookupPart, asked: Sequence[LookupEntry]) -> LookupEntry | None:
    """Return the question whose answer was the record that served a callback."""
    if part.code or part.source not in _OF_RECORDS or part.age_ms is None:
        return None
    born = callback.at - part.age_ms / 1000
    answered = [entry for entry in asked if not entry.code and abs(entry.at - born) < _SLACK]
    return min(answered, key=lambda entry: abs(entry.at - born), default=None)


def _rungs(part: LookupPart, lookup: Lookup | None, asked: LookupEntry | None) -> Iterator[str]:
    """Yield what each rung of the ladder had for a lookup without an answer."""
    if not part.code:
        return
    reason = asked.reason if asked is not None and asked.code == part.code else ""
    blamed = f" ({part.input})" if part.input else ""
    yield f"no answer: {code_name(part.code)}{blamed}{f', {reason}' if reason else ''}"
    limit = None if lookup is None else lookup.stale_if_error
    yield _record("the session's record", part.known_ms, limit, taken=part.source == "stale")
    if part.source == "stale":
        return
    if part.user_ms is not None or part.source == "user" or (lookup is not None and lookup.share == "user"):
        yield _record("the user's record", part.user_ms, limit, taken=part.source == "user")
        if part.source == "user":
            return
    yield "fallback: given" if part.source == "fallback" else "fallback: none is declared"


def _record(what: str, age_ms: float | None, limit: float | None, *, taken: bool) -> str:
    if age_ms is None:
        return f"{what}: none"
    age = age_ms / 1000
    if taken:
        return f"{what}: {brief_duration(age)} old, given"
    if limit is not None and age >= limit:
        return f"{what}: {brief_duration(age)} old, over stale_if_error ({brief_duration(limit)})"
    return f"{what}: {brief_duration(age)} old, of no use: it has other variables"
