"""The ladder: the best variables for each lookup, and the reply that they make.

``live`` → ``fresh`` → ``revalidating`` → ``stale`` → ``user`` → ``fallback`` → ``none``; the code is 0 if and
only if every lookup stands on ``live``, ``fresh`` or ``revalidating``.

Each lookup stands on one rung, with the variables of one answer. Variables of two answers are never mixed.
A record's name changes with the variables that its lookup declares, so a record has all of them. Only a
fallback may declare some of the variables. The reply leaves the others out.
"""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum

import msgspec

from gateway.core.errors import Code
from gateway.core.messages import Reply
from gateway.core.records import Known
from gateway.core.units import brief_duration
from gateway.declared.app import App, Markers
from gateway.declared.lookup import Lookup


class Source(StrEnum):
    """The rungs of the ladder: where a lookup's variables came from, best first."""

    LIVE = "live"
    FRESH = "fresh"
    REVALIDATING = "revalidating"
    STALE = "stale"
    USER = "user"
    FALLBACK = "fallback"
    NONE = "none"


_ORDER = list(Source)
_NO_MARKERS = Markers()


class Outcome(msgspec.Struct, frozen=True):
    """One lookup's part of a reply. ``age`` is the answer's, in seconds, None without an answer or record.

    ``input`` is the name of the variable that is to blame, if the code is about one. ``known`` and
    ``of_user`` are the ages of the records that were looked at in place of an answer, of use or not.
    """

    lookup: str
    source: Source
    code: Code
    variables: Mapping[str, str]
    age: float | None = None
    took: float = 0.0
    input: str = ""
    known: float | None = None
    of_user: float | None = None


class Heard(msgspec.Struct, frozen=True):
    """The result of asking for a lookup, as it stands at the deadline. ``took`` is in seconds.

    With code 0 there is an ``answer``, and ``source`` says where it came from. Another code says why there is
    no answer. ``known`` is the session's record by then, and ``of_user`` the one that the user's sessions
    share.
    """

    code: Code
    source: Source = Source.NONE
    answer: Known | None = None
    known: Known | None = None
    of_user: Known | None = None
    took: float = 0.0


def serve(lookup: Lookup, known: Known | None, now: float) -> Outcome | None:
    """Return the outcome of a lookup whose record is the answer without asking, None if it is not.

    "There is no such thing" is fresh for a shorter time, and is then asked for before it is told again.
    """
    if known is None:
        return None
    fresh = lookup.fresh if known.found else lookup.not_found_fresh
    revalidate = lookup.stale_while_revalidate if known.found else 0.0
    if not _is_usable(lookup, known, now, fresh + revalidate):
        return None
    source = Source.FRESH if known.age(now) < fresh else Source.REVALIDATING
    return Outcome(lookup.name, source, Code.OK, known.variables, known.age(now))


def resolve(lookup: Lookup, heard: Heard, now: float) -> Outcome:
    """Return the outcome of a lookup that was asked for.

    An answer that lacks a variable, or has one too many, does not count: a worker may run another
    configuration.
    """
    answer = heard.answer
    if heard.code == Code.OK and answer is not None and _is_whole(lookup, answer.variables):
        is_live = heard.source is Source.LIVE
        age, took = (0.0, heard.took) if is_live else (answer.age(now), 0.0)
        return Outcome(lookup.name, heard.source, Code.OK, answer.variables, age, took)
    code = heard.code or Code.LOOKUP_FAILED
    return descend(lookup, code, heard.known, now, of_user=heard.of_user, took=heard.took)


def descend(  # noqa: PLR0913 - as many as there are things to decide by
    lookup: Lookup,
    code: Code,
    known: Known | None,
    now: float,
    *,
    of_user: Known | None = None,
    took: float = 0.0,
) -> Outcome:
    """Return the best outcome of a lookup that has no answer because of ``code``.

    The session's own record comes first. The record of the user's other sessions comes next, if the lookup
    shares it. Both may be up to ``stale_if_error`` old. The declared fallback comes last.
    """
    age = None if known is None else known.age(now)
    if known is not None and _is_usable(lookup, known, now, lookup.stale_if_error):
        return Outcome(lookup.name, Source.STALE, code, known.variables, age, took, "", age)
    shared = of_user if lookup.share == "user" else None
    of_users = None if shared is None else shared.age(now)
    if shared is not None and _is_usable(lookup, shared, now, lookup.stale_if_error):
        return Outcome(lookup.name, Source.USER, code, shared.variables, of_users, took, "", age, of_users)
    source = Source.FALLBACK if lookup.fallback else Source.NONE
    return Outcome(lookup.name, source, code, lookup.fallback, None, took, "", age, of_users)


def refuse(lookup: Lookup, code: Code, blamed: str) -> Outcome:
    """Return the outcome of a lookup that cannot be asked for because of an input: it has no record."""
    source = Source.FALLBACK if lookup.fallback else Source.NONE
    return Outcome(lookup.name, source, code, lookup.fallback, input=blamed)


def merge(app: App, outcomes: Sequence[Outcome], internal: Collection[str] = ()) -> Reply:
    """Return the reply that the ``outcomes`` make, given in route order, without the ``internal`` variables.

    Its code is that of the first outcome that failed. ``on_degraded = "ok"`` turns the code into 0: the flow
    then reads the markers, if the app names them.
    """
    variables: dict[str, str] = {}
    for outcome in outcomes:
        variables.update(outcome.variables)
    for name in internal:
        variables.pop(name, None)
    failures = [outcome for outcome in outcomes if outcome.code]
    code = failures[0].code if failures else Code.OK
    if app.markers != _NO_MARKERS:
        variables.update(_marks(app, outcomes, code))
    if app.on_degraded == "ok":
        return Reply(Code.OK, "", variables)
    return Reply(code, "; ".join(map(_explain, failures)), variables)


def _is_usable(lookup: Lookup, known: Known, now: float, limit: float) -> bool:
    """True if ``known`` is a whole answer to ``lookup`` and younger than ``limit`` seconds."""
    return known.age(now) < limit and _is_whole(lookup, known.variables)


def _is_whole(lookup: Lookup, variables: Mapping[str, str]) -> bool:
    """True if ``variables`` are those of ``lookup``: a worker may run another configuration."""
    return variables.keys() == lookup.variables.keys()


def _marks(app: App, outcomes: Sequence[Outcome], code: Code) -> dict[str, str]:
    """Return the marker variables: the worst source, the greatest age in whole seconds, the code's name."""
    worst = max((o.source for o in outcomes), key=_ORDER.index, default=Source.NONE)
    ages = [outcome.age for outcome in outcomes if outcome.age is not None]
    values = (
        (app.markers.status, str(worst)),
        (app.markers.age, str(int(max(ages))) if ages else ""),
        (app.markers.reason, code.name),
    )
    return {name: value for name, value in values if name}


def _explain(outcome: Outcome) -> str:
    """Return the line about one failure, for people: ``order: TIMEOUT, last known 42 s ago``."""
    ago = f"{brief_duration(outcome.age or 0.0)} ago"
    match outcome.source:
        case Source.STALE:
            rung = f"last known {ago}"
        case Source.USER:
            rung = f"from the user's last session {ago}"
        case Source.FALLBACK:
            rung = "fallback"
        case _:
            rung = "nothing known"
    blamed = f" ({outcome.input})" if outcome.input else ""
    return f"{outcome.lookup}: {outcome.code.name}{blamed}, {rung}"
