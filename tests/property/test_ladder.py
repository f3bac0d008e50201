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

secrets = st.text(st.sampled_from("§¶µ漢字🂡"), min_size=1, max_size=6)  # no letter of which ErrorInfo has
spans = st.floats(0, 1e5)
apps = st.builds(
    App,
    st.just(1),
    st.just(()),
    st.just("off"),
    st.sampled_from(["error", "ok"]),
    st.sampled_from([Markers(), MARKERS]),
)


@st.composite
def lookups(draw: st.DrawFn, name: str = "lookup") -> Lookup:
    """Return a lookup whose variables begin with its name, as ``check`` makes sure for a route."""
    variables = [f"{name}_{letter}" for letter in draw(st.sets(st.sampled_from("abc"), min_size=1))]
    fallback = draw(st.dictionaries(st.sampled_from(variables), secrets))
    expressions = {variable: jmespath.compile("x") for variable in variables}
    return Lookup(
        name, "crm", "1", (), expressions, fresh=draw(spans), stale_if_error=draw(spans), fallback=fallback
    )


@st.composite
def records(draw: st.DrawFn, lookup: Lookup) -> Known | None:
    """Return a record of the lookup, whole or of another version of it, or none."""
    variables = list(lookup.variables) + draw(st.sampled_from([[], [], [], ["other"]]))
    whole = Known({name: draw(secrets) for name in variables}, NOW - draw(spans))
    return draw(st.sampled_from([whole, whole, None]))


@st.composite
def outcomes(draw: st.DrawFn, name: str = "lookup") -> Outcome:
    """Return what any rung can contribute."""
    lookup = draw(lookups(name))
    known = draw(records(lookup))
    if draw(st.booleans()):
        return degraded(lookup, draw(st.sampled_from(FAILURES)), known, NOW)
    if known is not None and draw(st.booleans()):
        return fresh(lookup, known, NOW)
    return live(lookup, {variable: draw(secrets) for variable in lookup.variables}, 0.1)


routes = st.integers(0, 4).flatmap(lambda count: st.tuples(*(outcomes(f"lookup{n}") for n in range(count))))


@settings(deadline=None)
@given(st.data(), st.sampled_from(FAILURES))
def test_a_lookup_that_failed_takes_the_highest_rung_there_is(data: st.DataObject, code: Code) -> None:
    """Last known before fallback before nothing, and never a value older than ``stale_if_error``."""
    lookup = data.draw(lookups())
    known = data.draw(records(lookup))
    outcome = degraded(lookup, code, known, NOW)
    assert outcome.code == code
    whole = known is not None and known.variables.keys() == lookup.variables.keys()
    if known is not None and whole and known.age(NOW) < lookup.stale_if_error:
        assert (outcome.source, outcome.variables, outcome.age) == (
            Source.STALE,
            known.variables,
            known.age(NOW),
        )
    elif lookup.fallback:
        assert (outcome.source, outcome.variables, outcome.age) == (Source.FALLBACK, lookup.fallback, None)
    else:
        assert (outcome.source, outcome.variables, outcome.age) == (Source.NONE, {}, None)


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
