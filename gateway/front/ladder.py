"""The ladder: the best variables there are for each lookup, and what the reply says about them.

``live`` → ``fresh`` → ``revalidating`` → ``stale`` → ``user`` → ``fallback`` → ``none``; the code is 0 if and
only if every lookup stands on ``live``, ``fresh`` or ``revalidating``.

Each lookup climbs down for itself, and stands on one answer, whose variables are whole: a record's name
changes with the variables that its lookup declares, so none lacks one of them, and no variable of an older
answer slips in beside those of a newer one. Only the fallback may declare some; the others are left out.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from gateway.core.errors import Code
from gateway.core.messages import Reply
from gateway.core.records import Known
from gateway.core.units import brief_duration
from gateway.declared.app import App, Markers
from gateway.declared.lookup import Lookup


class Source(StrEnum):
    """Where a lookup's variables came from, best first."""

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
    """What one lookup contributes to a reply. ``age`` is in seconds, None when there is no record."""

    lookup: str
    source: Source
    code: Code
    variables: Mapping[str, str]
    age: float | None = None
    took: float = 0.0


class Heard(msgspec.Struct, frozen=True):
    """What an asker heard of a lookup by the deadline. ``took`` is in seconds.

    With code 0, ``answer`` is the answer, and ``source`` says where it came from. Another code says why there
    is none. ``known`` and ``of_user`` are the records in hand by then: the session's, and the one that the
    user's sessions share.
    """

    code: Code
    source: Source = Source.NONE
    answer: Known | None = None
    known: Known | None = None
    of_user: Known | None = None
    took: float = 0.0


def whole(lookup: Lookup, variables: Mapping[str, str]) -> bool:
    """Tell whether ``variables`` are those of ``lookup``: a worker may run another configuration."""
    return variables.keys() == lookup.variables.keys()


def usable(lookup: Lookup, known: Known | None, now: float, limit: float) -> bool:
    """Tell whether ``known`` is a whole answer to ``lookup`` and younger than ``limit`` seconds."""
    return known is not None and known.age(now) < limit and whole(lookup, known.variables)


def live(lookup: Lookup, variables: Mapping[str, str], took: float) -> Outcome:
    """Return the outcome of a lookup that was answered just now."""
    return Outcome(lookup.name, Source.LIVE, Code.OK, variables, 0.0, took)


def fresh(lookup: Lookup, known: Known, now: float) -> Outcome:
    """Return the outcome of a lookup whose record needs no asking."""
    return Outcome(lookup.name, Source.FRESH, Code.OK, known.variables, known.age(now))


def revalidating(lookup: Lookup, known: Known, now: float) -> Outcome:
    """Return the outcome of a lookup whose record is served once more while it is refreshed."""
    return Outcome(lookup.name, Source.REVALIDATING, Code.OK, known.variables, known.age(now))


def served(lookup: Lookup, known: Known | None, now: float) -> Outcome | None:
    """Return the outcome of a lookup whose record is the answer without asking, None when it is not."""
    if known is None or not usable(lookup, known, now, lookup.fresh + lookup.stale_while_revalidate):
        return None
    return (fresh if known.age(now) < lookup.fresh else revalidating)(lookup, known, now)


def resolve(lookup: Lookup, heard: Heard, now: float) -> Outcome:
    """Return what a lookup has come to, by what was heard of it.

    An answer that lacks a variable, or has one too many, is none: a worker may run another configuration.
    """
    answer = heard.answer
    if heard.code == Code.OK and answer is not None and whole(lookup, answer.variables):
        if heard.source is Source.LIVE:
            return live(lookup, answer.variables, heard.took)
        return Outcome(lookup.name, heard.source, Code.OK, answer.variables, answer.age(now))
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

    The session's own record comes first, then that of the user's other sessions where the lookup shares it,
    both within ``stale_if_error``; then the declared fallback. A variable that none gives is left out of the
    reply.
    """
    if known is not None and usable(lookup, known, now, lookup.stale_if_error):
        return Outcome(lookup.name, Source.STALE, code, known.variables, known.age(now), took)
    shared = of_user if lookup.share == "user" else None
    if shared is not None and usable(lookup, shared, now, lookup.stale_if_error):
        return Outcome(lookup.name, Source.USER, code, shared.variables, shared.age(now), took)
    source = Source.FALLBACK if lookup.fallback else Source.NONE
    return Outcome(lookup.name, source, code, lookup.fallback, None, took)


def merge(app: App, outcomes: Sequence[Outcome]) -> Reply:
    """Return the reply that the ``outcomes`` make, given in route order.

    Its code is that of the first outcome with one. ``on_degraded = "ok"`` turns it into 0; the markers,
    where the app names them, tell the flow what the code then does not.
    """
    variables: dict[str, str] = {}
    for outcome in outcomes:
        variables.update(outcome.variables)
    failures = [outcome for outcome in outcomes if outcome.code]
    code = failures[0].code if failures else Code.OK
    if app.markers != _NO_MARKERS:
        variables.update(_marks(app, outcomes, code))
    if app.on_degraded == "ok":
        return Reply(Code.OK, "", variables)
    return Reply(code, "; ".join(map(_explain, failures)), variables)


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
    """Return one failure for people: ``order: TIMEOUT, last known 42 s ago``."""
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
    return f"{outcome.lookup}: {outcome.code.name}, {rung}"
