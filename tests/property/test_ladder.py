"""The ladder under every combination: nothing too old, nothing mixed, and a code that is true."""

import json
from collections.abc import Mapping
from typing import NamedTuple

import jmespath
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import Code
from gateway.core.records import Known
from gateway.declared.app import App, Markers
from gateway.declared.lookup import Lookup
from gateway.front.dialects.desk import DESK
from gateway.front.ladder import Heard, Outcome, Source, descend, merge, resolve, serve

NOW = 1e6
FAILURES = [code for code in Code if Code.OK < code < Code.BAD_REQUEST]
MARKERS = Markers(status="MarkStatus", age="MarkAge", reason="MarkReason")

# Values in letters that ErrorInfo has none of, and spans on both sides of one another.
HELD, OF_USER, ANSWERED, DECLARED = "¶ held", "ß of the user", "漢 answered", "§ declared"
SOUND = {Source.LIVE, Source.FRESH, Source.REVALIDATING}
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
        stale_while_revalidate=spans,
        stale_if_error=spans,
        share=st.sampled_from(["session", "user"]),
        fallback=st.sampled_from([{}, {f"{name}_a": DECLARED}, dict.fromkeys(variables, DECLARED)]),
    )


class Case(NamedTuple):
    """The case of a lookup: its records as kind and age, and the code that asking gave."""

    lookup: Lookup
    own: tuple[str, float]
    of_user: tuple[str, float]
    asked: Code

    def record(self, whose: tuple[str, float], value: str) -> Known | None:
        """Return a record, or one of another version of the lookup that had a variable more, or none."""
        kind, age = whose
        names = [*self.lookup.variables, *(["other"] if kind == "changed" else [])]
        return None if kind == "absent" else Known(dict.fromkeys(names, value), NOW - age)

    def outcome(self) -> Outcome:
        """Return what the lookup contributes, by the way that the flow takes."""
        known, of_user = self.record(self.own, HELD), self.record(self.of_user, OF_USER)
        if found := serve(self.lookup, known, NOW):
            return found
        if self.asked == Code.OK:
            answer = Known(dict.fromkeys(self.lookup.variables, ANSWERED), NOW)
            return resolve(self.lookup, Heard(Code.OK, Source.LIVE, answer, took=0.1), NOW)
        return descend(self.lookup, self.asked, known, NOW, of_user=of_user)

    def rungs(self) -> list[tuple[Source, Mapping[str, str], float | None]]:
        """Return what could be served, best first: a plain list of the ladder's rungs."""
        lookup, rungs = self.lookup, list[tuple[Source, Mapping[str, str], float | None]]()
        own, of_user = dict.fromkeys(lookup.variables, HELD), dict.fromkeys(lookup.variables, OF_USER)
        served_for = lookup.fresh + lookup.stale_while_revalidate
        (kind, _), (user_kind, _) = self.own, self.of_user
        age, user_age = (NOW - (NOW - age) for _, age in (self.own, self.of_user))
        if kind == "whole" and age < lookup.fresh:
            rungs.append((Source.FRESH, own, age))
        if kind == "whole" and age < served_for:
            rungs.append((Source.REVALIDATING, own, age))
        if self.asked == Code.OK:
            rungs.append((Source.LIVE, dict.fromkeys(lookup.variables, ANSWERED), 0.0))
        if kind == "whole" and age < lookup.stale_if_error:
            rungs.append((Source.STALE, own, age))
        if lookup.share == "user" and user_kind == "whole" and user_age < lookup.stale_if_error:
            rungs.append((Source.USER, of_user, user_age))
        if lookup.fallback:
            rungs.append((Source.FALLBACK, lookup.fallback, None))
        return [*rungs, (Source.NONE, {}, None)]


kinds = st.sampled_from(["whole", "changed", "absent"])
cases = [
    st.builds(
        Case,
        lookups(f"lookup{number}"),
        st.tuples(kinds, spans),
        st.tuples(kinds, spans),
        st.sampled_from([Code.OK, *FAILURES]),
    )
    for number in range(4)
]
outcomes = [case.map(Case.outcome) for case in cases]
routes = st.one_of(*(st.tuples(*outcomes[:count]) for count in range(5)))


@settings(deadline=None)
@given(cases[0])
def test_a_lookup_takes_the_highest_rung_there_is(case: Case) -> None:
    """The order holds in any mixture of what is known, what is too old, and what came of asking.

    A fresh record is never replaced, and nothing is served of another version of the lookup, nor of the
    user's other sessions where the lookup does not share them.
    """
    got = case.outcome()
    source, variables, age = case.rungs()[0]
    assert (got.source, got.variables, got.age) == (source, variables, age)
    assert (got.code == Code.OK) is (source in SOUND)
    assert got.code in {Code.OK, case.asked}


@settings(deadline=None)
@given(cases[0])
def test_nothing_is_older_than_its_limit(case: Case) -> None:
    """The owner of a lookup has said how old an answer may be, for each of its uses."""
    got, lookup = case.outcome(), case.lookup
    limits = {
        Source.FRESH: lookup.fresh,
        Source.REVALIDATING: lookup.fresh + lookup.stale_while_revalidate,
        Source.STALE: lookup.stale_if_error,
        Source.USER: lookup.stale_if_error,
    }
    if got.source in limits:
        assert got.age is not None
        assert 0.0 <= got.age < limits[got.source]


@settings(deadline=None)
@given(cases[0], spans)
def test_the_users_other_sessions_change_nothing_while_the_session_has_an_answer_of_its_own(
    case: Case, age: float
) -> None:
    """Another session's answer fills a gap; it never takes the place of anything but the fallback."""
    without, with_one = case._replace(of_user=("absent", 0.0)), case._replace(of_user=("whole", age))
    if without.outcome().source in {*SOUND, Source.STALE}:
        assert with_one.outcome() == without.outcome()
    elif msgspec.structs.replace(with_one.outcome(), of_user=None) != without.outcome():
        assert (with_one.outcome().source, case.lookup.share) == (Source.USER, "user")


@settings(deadline=None)
@given(apps, routes)
def test_the_code_is_zero_if_and_only_if_every_lookup_is_live_fresh_or_revalidating(
    app: App, route: tuple[Outcome, ...]
) -> None:
    """Unless the app asked for code 0 in any case; then the marker says what the code does not."""
    reply = merge(app, route)
    sound = all(outcome.source in SOUND for outcome in route)
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
    envelope = json.loads(DESK.encode(reply))
    assert list(envelope) == ["ActionStatus", "ErrorInfo", "ErrorCode", "Body"]
    assert envelope["ActionStatus"] == ("OK" if envelope["ErrorCode"] == 0 else "FAIL")
    assert (envelope["ErrorInfo"], envelope["ErrorCode"]) == (reply.info, reply.code)
    assert envelope["Body"] == reply.variables
    assert all(isinstance(value, str) for value in envelope["Body"].values())
    assert 120001 <= envelope["ErrorCode"] <= 130000 or envelope["ErrorCode"] == 0
