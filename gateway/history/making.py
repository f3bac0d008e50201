"""Entries of the history, made of events. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gateway.declared.mask import Mask
from gateway.history.entries import AttemptPart, CallbackEntry, LookupEntry, LookupPart
from gateway.history.values import hide_inputs, keep_body, keep_values
from gateway.telemetry.events import Event

_LONGEST_TYPE = 100  # a parameter, such as the name of a file, may be anybody's


class Noted(NamedTuple):
    """An event, when it came (Unix time), and the attempts that belong to it."""

    event: Event
    at: float
    attempts: tuple["Attempt", ...]


class Attempt:
    """An attempt that is under way, or has ended: the events about it."""

    __slots__ = ("ended", "replied", "retried")

    def __init__(self) -> None:
        self.ended: Mapping[str, Any] | None = None
        self.replied: Event | None = None
        self.retried = ""


def make_entry(noted: Noted, mask: Mask, *, keeps_values: bool) -> CallbackEntry | LookupEntry:
    """Return the entry of an answered callback, or of a lookup that was asked for."""
    return _MAKERS[noted.event.name](noted, mask, keeps_values=keeps_values)


def lasted(event: Event) -> float:
    """Return the seconds from the beginning of what an event tells of to the event."""
    fields = event.fields
    if event.name == "lookup.finished":
        ms: float = fields["queue_ms"] + fields["backend_ms"]
        return ms / 1000
    took_ms: float = fields.get("took_ms", 0.0)
    return took_ms / 1000


def _callback(noted: Noted, mask: Mask, *, keeps_values: bool) -> CallbackEntry:
    fields, values = noted.event.fields, noted.event.values or {}
    mask = hide_inputs(mask, values["inputs"]) if keeps_values else mask
    parts = {
        name: LookupPart(
            one.source,
            int(one.code),
            took_ms=round(one.took * 1000, 2),
            age_ms=_ms(one.age),
            input=one.input,
            wave=one.wave,
            sets=tuple(one.variables),
            known_ms=_ms(one.known),
            user_ms=_ms(one.of_user),
            fallback=one.fallback,
        )
        for name, one in values["lookups"].items()
    }
    return CallbackEntry(
        at=round(noted.at, 3),
        trace_id=fields["trace_id"],
        app=fields["app"],
        session=fields["session"],
        user=fields["user"],
        path=values["path"],
        route=fields["route"],
        code=fields["code"],
        info=values["info"],
        took_ms=fields["took_ms"],
        budget_ms=fields["budget_ms"],
        lookups=parts,
        inputs=keep_values(values["inputs"], mask) if keeps_values else None,
        variables=keep_values(values["variables"], mask) if keeps_values else None,
    )


def _lookup(noted: Noted, mask: Mask, *, keeps_values: bool) -> LookupEntry:
    fields, values = noted.event.fields, noted.event.values or {}
    inputs = values["inputs"]
    mask = hide_inputs(mask, inputs)
    attempts = tuple(
        _attempt(one, mask, fields["backend"], keeps_values=keeps_values)
        for one in noted.attempts
        if one.ended
    )
    return LookupEntry(
        at=round(noted.at, 3),
        trace_id=fields["trace_id"],
        app=values["app"],
        session=fields["session"],
        user=values["user"],
        lookup=fields["lookup"],
        backend=fields["backend"],
        code=fields["code"],
        attempts=attempts,
        queue_ms=fields["queue_ms"],
        backend_ms=fields["backend_ms"],
        reason=mask.text(fields["reason"]),
        found=values["found"],
        unmapped=tuple(fields.get("unmapped", ())),
        inputs=keep_values(inputs, mask) if keeps_values else None,
        variables=keep_values(values["variables"], mask) if keeps_values else None,
    )


def _attempt(attempt: Attempt, mask: Mask, backend: str, *, keeps_values: bool) -> AttemptPart:
    ended, replied = attempt.ended or {}, attempt.replied
    said = replied.fields if replied is not None else {}
    values = (replied.values if replied is not None else None) or {}
    kept = None
    if keeps_values and replied is not None:
        hiding = mask.also(values=[values["token"]]) if values["token"] else mask
        charset, whole = values["charset"], values["whole"]
        kept = keep_body(values["body"], said["content_type"], hiding, charset=charset, whole=whole)
    return AttemptPart(
        ended["attempt"],
        ended["outcome"],
        ended["took_ms"],
        mask.text(attempt.retried),
        status=said.get("status"),
        size=said.get("size", 0),
        content_type=said.get("content_type", "").partition(";")[0].strip()[:_LONGEST_TYPE],
        body=None if kept is None else kept.text,
        cut=kept is not None and (kept.cut or not values["whole"]),
        backend="" if ended["backend"] == backend else ended["backend"],
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000)


def _refused(noted: Noted, mask: Mask, *, keeps_values: bool) -> CallbackEntry:
    fields, values = noted.event.fields, noted.event.values or {}
    mask = hide_inputs(mask, values["inputs"]) if keeps_values else mask
    return CallbackEntry(
        at=round(noted.at, 3),
        trace_id=fields["trace_id"],
        app=values["app"],
        session=fields["session"],
        user=values["user"],
        path=fields["path"],
        route="none",
        code=fields["code"],
        info=fields["reason"],
        took_ms=0.0,
        budget_ms=0.0,
        lookups={},
        inputs=keep_values(values["inputs"], mask) if keeps_values else None,
        variables={} if keeps_values else None,
    )


_MAKERS: dict[str, Callable[..., CallbackEntry | LookupEntry]] = {
    "callback.answered": _callback,
    "callback.refused": _refused,
    "lookup.finished": _lookup,
}
