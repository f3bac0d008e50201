"""The ladder under every combination: nothing too old, nothing mixed, and a code that tells the truth."""

import json

import jmespath
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.catalog import App, Lookup
from gateway.core.config import Markers
from gateway.core.errors import Code
from gateway.core.ladder import Outcome, Source, degraded, fresh, live, merge
from gateway.core.records import Known
from gateway.edge.desk import encode

NOW = 1e6
FAILURES = [code for code in Code if Code.OK < code < Code.BAD_REQUEST]
MARKERS = Markers(status="MarkStatus", age="MarkAge", reason="MarkReason")

# Values in letters that ErrorInfo has none of, and spans on both sides of one another.
HELD, TOLD, DECLARED = "¶ held", "漢 told", "§ declared"
spans = st.sampled_from([0.0, 0.5, 1.0, 59.9, 60.0, 86_400.0]) | st.floats(0, 1e5)
apps = st.builds(
    App,
    st.just(1),
    st.just(()),
    st.just("off"),
    st.sampled_from(["error", "ok"]),
    st.sampled_from([Markers(), MARKERS]),
)


def lookups(name: str) -> st.SearchStrategy[Lookup]:
    """Return lookups whose variables begin with their name, as ``check`` makes sure for a route."""
    variables = {f"{name}_{letter}": jmespath.compile("x") for letter in "ab"}
    return st.builds(
        Lookup,
        st.just(name),
        *map(st.just, ("crm", "1", (), variables)),
        fresh=spans,
        stale_if_error=spans,
        fallback=st.sampled_from([{}, {f"{name}_a": DECLARED}, dict.fromkeys(variables, DECLARED)]),
    )


def record(lookup: Lookup, age: float, *, whole: bool) -> Known:
    """Return a record of the lookup, or of another version of it that had a variable more."""
    return Known(dict.fromkeys([*lookup.variables, *([] if whole else ["other"])], HELD), NOW - age)


def outcome(lookup: Lookup, rung: str, code: Code, age: float) -> Outcome:
    """Return what the lookup contributes from the way to a rung."""
    if rung == "live":
        return live(lookup, dict.fromkeys(lookup.variables, TOLD), 0.1)
    if rung == "fresh":
        return fresh(lookup, record(lookup, age, whole=True), NOW)
    known = None if rung == "unknown" else record(lookup, age, whole=rung == "known")
    return degraded(lookup, code, known, NOW)


rungs = st.sampled_from(["live", "fresh", "known", "changed", "unknown"])
codes = st.sampled_from(FAILURES)
outcomes = [st.builds(outcome, lookups(f"lookup{number}"), rungs, codes, spans) for number in range(4)]
routes = st.one_of(*(st.tuples(*outcomes[:count]) for count in range(5)))


@settings(deadline=None)
@given(lookup=lookups("lookup"), code=codes, age=spans, has=st.booleans(), whole=st.booleans())
def test_a_lookup_that_failed_takes_the_highest_rung_there_is(
    lookup: Lookup, code: Code, age: float, *, has: bool, whole: bool
) -> None:
    """Last known before fallback before nothing, and never a value older than ``stale_if_error``."""
    known = record(lookup, age, whole=whole) if has else None
    got = degraded(lookup, code, known, NOW)
    assert got.code == code
    if known is not None and whole and known.age(NOW) < lookup.stale_if_error:
        assert (got.source, got.variables, got.age) == (Source.STALE, known.variables, known.age(NOW))
    elif lookup.fallback:
        assert (got.source, got.variables, got.age) == (Source.FALLBACK, lookup.fallback, None)
    else:
        assert (got.source, got.variables, got.age) == (Source.NONE, {}, None)


@settings(deadline=None)
@given(apps, routes)
def test_the_code_is_zero_only_when_every_lookup_is_live_or_fresh(
    app: App, route: tuple[Outcome, ...]
) -> None:
    """Unless the app asked for code 0 in any case; then the marker says what the code does not."""
    reply = merge(app, route)
    sound = all(outcome.source in {Source.LIVE, Source.FRESH} for outcome in route)
    failures = [outcome.code for outcome in route if outcome.code]
    assert bool(failures) is not sound
    if app.on_degraded == "ok":
        assert (reply.code, reply.info) == (Code.OK, "")
    else:
        assert reply.code == (Code.OK if sound else failures[0])
        assert (reply.info == "") is sound
    if app.markers is MARKERS:
        assert reply.variables["MarkReason"] == (failures[0].name if failures else "OK")


@settings(deadline=None)
@given(apps, routes)
def test_a_reply_has_the_variables_of_every_lookup_and_the_markers(
    app: App, route: tuple[Outcome, ...]
) -> None:
    """One lookup's failure costs the others nothing."""
    wanted: dict[str, str] = {}
    for outcome in route:
        wanted |= outcome.variables
    variables = dict(merge(app, route).variables)
    marks = {
        name: variables.pop(name) for name in ("MarkStatus", "MarkAge", "MarkReason") if name in variables
    }
    assert variables == wanted
    assert bool(marks) is (app.markers is MARKERS)
    if marks and route:
        order = list(Source)
        assert marks["MarkStatus"] == max((outcome.source for outcome in route), key=order.index)
        ages = [outcome.age for outcome in route if outcome.age is not None]
        assert marks["MarkAge"] == (str(int(max(ages))) if ages else "")


@settings(deadline=None)
@given(apps, routes)
def test_error_info_is_one_line_without_any_variables_value(app: App, route: tuple[Outcome, ...]) -> None:
    """It is stored in logs of other people; a user's data has no business there."""
    info = merge(app, route).info
    assert info.isascii()
    assert info.isprintable()
    if info:
        assert [part.split(": ")[0] for part in info.split("; ")] == [o.lookup for o in route if o.code]


@settings(deadline=None)
@given(apps, routes)
def test_every_reply_is_the_documented_envelope(app: App, route: tuple[Outcome, ...]) -> None:
    """Three required fields, and a Body of strings alone."""
    reply = merge(app, route)
    envelope = json.loads(encode(reply))
    assert list(envelope) == ["ActionStatus", "ErrorInfo", "ErrorCode", "Body"]
    assert envelope["ActionStatus"] == ("OK" if envelope["ErrorCode"] == 0 else "FAIL")
    assert (envelope["ErrorInfo"], envelope["ErrorCode"]) == (reply.info, reply.code)
    assert envelope["Body"] == reply.variables
    assert all(isinstance(value, str) for value in envelope["Body"].values())
    assert 120001 <= envelope["ErrorCode"] <= 130000 or envelope["ErrorCode"] == 0
