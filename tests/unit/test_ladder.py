"""The best variables there are, rung by rung, and a reply that says which rungs they stand on."""

from dataclasses import replace

import jmespath
import pytest

from gateway.core.errors import Code
from gateway.core.messages import Reply
from gateway.core.records import Known
from gateway.declared.app import App, Markers
from gateway.declared.lookup import Lookup
from gateway.front.ladder import (
    Heard,
    Outcome,
    Source,
    descend,
    merge,
    refuse,
    resolve,
    serve,
)

NOW = 1000.0
STRICT = App(1, (), "off", "error", Markers())


def lookup(name: str = "order", stale_if_error: float = 100.0, **fallback: str) -> Lookup:
    """Return a lookup of ``status`` and ``total``, fresh for 10 s."""
    variables = {"status": jmespath.compile("status"), "total": jmespath.compile("total")}
    return Lookup(
        name, "crm", "v1", (), variables, fresh=10.0, stale_if_error=stale_if_error, fallback=fallback
    )


def known(age: float, **variables: str) -> Known:
    """Return a whole record of that age."""
    return Known({"status": "shipped", "total": "5"} | variables, NOW - age)


def live(lookup: Lookup) -> Outcome:
    """Return the outcome of a lookup that was answered just now."""
    return resolve(lookup, Heard(Code.OK, Source.LIVE, known(0.0), took=0.1), NOW)


def serve_record(lookup: Lookup, record: Known) -> Outcome:
    """Return the outcome of a lookup that is answered from its record."""
    outcome = serve(replace(lookup, stale_while_revalidate=5.0), record, NOW)
    assert outcome is not None
    return outcome


def test_a_live_answer_has_no_age_and_no_code() -> None:
    """It came just now."""
    variables = {"status": "shipped", "total": "5"}
    assert live(lookup()) == Outcome("order", Source.LIVE, Code.OK, variables, 0.0, 0.1)


def test_a_fresh_record_has_its_age_and_no_code() -> None:
    """The canonical log line says how old it was."""
    outcome = serve_record(lookup(), known(4.0))
    assert (outcome.source, outcome.code, outcome.age) == (Source.FRESH, Code.OK, 4.0)
    assert outcome.variables == {"status": "shipped", "total": "5"}


@pytest.mark.parametrize(
    ("age", "source"),
    [
        (0.0, Source.FRESH),
        (9.999, Source.FRESH),
        (10.0, Source.REVALIDATING),
        (14.999, Source.REVALIDATING),
        (15.0, None),
    ],
)
def test_a_record_is_served_while_fresh_and_once_more_while_it_is_refreshed(
    age: float, source: Source | None
) -> None:
    """Beyond both, somebody has to be asked first."""
    outcome = serve(replace(lookup(), stale_while_revalidate=5.0), known(age), NOW)
    if source is None:
        assert outcome is None
    else:
        record = known(age)
        assert outcome == Outcome("order", source, Code.OK, record.variables, record.age(NOW))


def test_nothing_is_served_without_a_record() -> None:
    """A new session has to ask."""
    assert serve(lookup(), None, NOW) is None


@pytest.mark.parametrize(
    ("age", "limit", "is_served"),
    [(0.0, 10.0, True), (9.999, 10.0, True), (10.0, 10.0, False), (0.0, 0.0, False)],
)
def test_a_record_is_served_until_the_limit(age: float, limit: float, is_served: bool) -> None:  # noqa: FBT001
    """``fresh = "0s"`` asks every time."""
    outcome = serve(replace(lookup(), fresh=limit), known(age), NOW)
    assert (outcome is not None) is is_served


@pytest.mark.parametrize("variables", [{}, {"status": "x"}, {"status": "x", "total": "1", "more": "2"}])
def test_a_record_with_other_variables_than_the_lookups_is_not_usable(variables: dict[str, str]) -> None:
    """Half an answer would mix with the other half of an earlier one in the session."""
    assert serve(lookup(), Known(variables, NOW), NOW) is None
    assert descend(lookup(), Code.TIMEOUT, Known(variables, NOW), NOW).source is Source.NONE


def test_a_last_known_answer_comes_before_the_fallback() -> None:
    """An answer of a minute ago is better than a value that somebody wrote into a file."""
    outcome = descend(lookup(status="unknown"), Code.TIMEOUT, known(99.0), NOW)
    assert (outcome.source, outcome.code, outcome.age) == (Source.STALE, Code.TIMEOUT, 99.0)
    assert outcome.variables == {"status": "shipped", "total": "5"}


def test_past_stale_if_error_the_fallback_takes_over() -> None:
    """An answer that is too old is worse than none: the owner of the lookup has said how old that is."""
    outcome = descend(lookup(status="unknown"), Code.TIMEOUT, known(100.0), NOW)
    assert (outcome.source, outcome.age, outcome.variables) == (Source.FALLBACK, None, {"status": "unknown"})


def test_the_users_last_answer_comes_between_the_sessions_own_and_the_fallback() -> None:
    """It is about the right user and the right question; only the session is another."""
    shared = replace(lookup(status="unknown"), share="user")
    of_user = known(42.0, status="packed")
    outcome = descend(shared, Code.TIMEOUT, known(100.0), NOW, of_user=of_user)
    assert outcome == Outcome(
        "order", Source.USER, Code.TIMEOUT, of_user.variables, 42.0, known=100.0, of_user=42.0
    )
    outcome = descend(shared, Code.TIMEOUT, known(99.0), NOW, of_user=of_user)
    assert (outcome.source, outcome.age) == (Source.STALE, 99.0)
    outcome = descend(shared, Code.TIMEOUT, None, NOW, of_user=known(100.0))
    assert (outcome.source, outcome.variables) == (Source.FALLBACK, {"status": "unknown"})


def test_the_users_last_answer_is_nothing_to_a_lookup_that_does_not_share_it() -> None:
    """``share = "session"`` is the default."""
    outcome = descend(lookup(), Code.TIMEOUT, None, NOW, of_user=known(0.0))
    assert (outcome.source, outcome.variables) == (Source.NONE, {})


def test_below_the_last_rung_the_variables_are_absent() -> None:
    """An empty text would overwrite what the session has."""
    outcome = descend(lookup(), Code.BACKEND_REJECTED, None, NOW)
    assert (outcome.source, outcome.variables) == (Source.NONE, {})


def test_no_stale_answer_at_all_when_the_lookup_forbids_it() -> None:
    """``stale_if_error = "0s"``: a balance must be right or absent."""
    assert descend(lookup(stale_if_error=0.0), Code.TIMEOUT, known(0.0), NOW).source is Source.NONE


def test_a_lookup_that_cannot_be_asked_for_has_its_fallback_and_names_the_input() -> None:
    """Never a record: it would belong to another input."""
    blank = refuse(lookup(), Code.MISSING_INPUT, "orderId")
    assert (blank.source, dict(blank.variables)) == (Source.NONE, {})
    wrong = refuse(lookup(status="unknown"), Code.INVALID_INPUT, "orderId")
    assert (wrong.source, dict(wrong.variables)) == (Source.FALLBACK, {"status": "unknown"})
    assert merge(STRICT, [wrong, blank]).info == (
        "order: INVALID_INPUT (orderId), fallback; order: MISSING_INPUT (orderId), nothing known"
    )


def test_an_internal_variable_is_not_in_the_reply() -> None:
    """It is for another lookup of the route."""
    reply = merge(STRICT, [live(lookup())], internal={"status", "absent"})
    assert (reply.code, reply.variables) == (Code.OK, {"total": "5"})


def test_no_such_thing_is_fresh_for_its_own_time_and_not_revalidated() -> None:
    """A customer who has just registered shall not hear it once more."""
    declared = replace(lookup(), not_found_fresh=5.0, stale_while_revalidate=60.0)
    for age, source in ((4.9, Source.FRESH), (5.1, None), (9.0, None)):
        outcome = serve(declared, Known(known(0.0).variables, NOW - age, found=False), NOW)
        assert (outcome and outcome.source) == source


def test_the_documented_error_info() -> None:
    """The line that an operator reads in Desk's logs, as documented."""
    outcomes = [
        descend(lookup("order"), Code.TIMEOUT, known(42.0), NOW),
        descend(lookup("customer", customer_tier="standard"), Code.CIRCUIT_OPEN, None, NOW),
        descend(lookup("churn"), Code.LOOKUP_FAILED, None, NOW),
        live(lookup("profile")),
        serve_record(lookup("offers"), known(11.0)),
        descend(replace(lookup("basket"), share="user"), Code.TIMEOUT, None, NOW, of_user=known(42.0)),
    ]
    reply = merge(STRICT, outcomes)
    assert reply.info == (
        "order: TIMEOUT, last known 42 s ago; customer: CIRCUIT_OPEN, fallback"
        "; churn: LOOKUP_FAILED, nothing known; basket: TIMEOUT, from the user's last session 42 s ago"
    )
    assert reply.code == Code.TIMEOUT


def test_the_first_failure_in_route_order_gives_the_code() -> None:
    """The author of the route puts what matters most first."""
    ok = live(lookup("a"))
    one = descend(lookup("b"), Code.BACKEND_REJECTED, None, NOW)
    other = descend(lookup("c"), Code.TIMEOUT, None, NOW)
    assert merge(STRICT, [ok, one, other]).code == Code.BACKEND_REJECTED
    assert merge(STRICT, [other, ok, one]).code == Code.TIMEOUT


def test_a_route_without_lookups_is_answered_with_nothing() -> None:
    """A node that only needs a 200 is served too."""
    assert merge(STRICT, []) == Reply(Code.OK, "", {})


def test_on_degraded_ok_turns_the_code_into_zero_and_keeps_the_marker() -> None:
    """A flow without an exception branch reads the marker instead."""
    markers = Markers(status="DeskgateStatus", age="DeskgateAge", reason="DeskgateReason")
    app = App(1, (), "off", "ok", markers)
    failed = descend(lookup(), Code.TIMEOUT, known(42.9), NOW)
    assert merge(app, [failed]) == Reply(
        Code.OK,
        "",
        {"status": "shipped", "total": "5"}
        | {"DeskgateStatus": "stale", "DeskgateAge": "42", "DeskgateReason": "TIMEOUT"},
    )


def test_markers_show_the_worst_source_and_the_greatest_age() -> None:
    """One variable for a whole reply: it must not say *fresh* when a part was invented."""
    markers = Markers(status="S", age="A", reason="R")
    app = App(1, (), "off", "error", markers)
    outcomes = [
        serve_record(lookup("a"), known(7.0)),
        descend(lookup("b"), Code.TIMEOUT, known(61.0), NOW),
        descend(lookup("c", x="y"), Code.OVERLOADED, None, NOW),
        live(lookup("d")),
    ]
    marks = {name: value for name, value in merge(app, outcomes).variables.items() if name in "SAR"}
    assert marks == {"S": "fallback", "A": "61", "R": "TIMEOUT"}
    marks = {name: value for name, value in merge(app, outcomes[:1]).variables.items() if name in "SAR"}
    assert marks == {"S": "fresh", "A": "7", "R": "OK"}
    assert merge(app, []).variables == {"S": "none", "A": "", "R": "OK"}


def test_the_marker_knows_revalidating_and_user() -> None:
    """The order of the ladder says which source of a reply is the worst."""
    app = App(1, (), "off", "error", Markers(status="S", age="A"))
    own = serve_record(lookup("a"), known(7.0))
    behind = serve_record(lookup("b"), known(12.0))
    stale = descend(lookup("c"), Code.TIMEOUT, known(61.0), NOW)
    shared = descend(replace(lookup("d"), share="user"), Code.TIMEOUT, None, NOW, of_user=known(80.0))
    for outcomes, marks in (
        ([own, behind], {"S": "revalidating", "A": "12"}),
        ([stale, own, behind], {"S": "stale", "A": "61"}),
        ([shared, stale, own, behind], {"S": "user", "A": "80"}),
    ):
        variables = merge(app, outcomes).variables
        assert {name: variables[name] for name in marks} == marks


def test_the_sources_are_spelled_as_documented() -> None:
    """Flows branch on the marker, and dashboards count the log line's sources."""
    names = "live fresh revalidating stale user fallback none"
    assert [source.value for source in Source] == names.split()


def test_an_app_without_markers_gets_none() -> None:
    """Variables that nobody asked for do not appear in a session."""
    assert merge(STRICT, [descend(lookup(), Code.TIMEOUT, None, NOW)]).variables == {}


def test_answer_that_was_heard_is_the_outcome() -> None:
    """A live one is as old as it is: not at all."""
    heard = Heard(Code.OK, Source.LIVE, known(0.0), known(50.0), took=0.2)
    variables = {"status": "shipped", "total": "5"}
    assert resolve(lookup(), heard, NOW) == Outcome("order", Source.LIVE, Code.OK, variables, 0.0, 0.2)


@pytest.mark.parametrize("source", [Source.FRESH, Source.REVALIDATING])
def test_record_that_was_heard_of_has_its_age(source: Source) -> None:
    """Redis held it, and it needed no asking."""
    outcome = resolve(lookup(), Heard(Code.OK, source, known(4.0), known(4.0)), NOW)
    assert (outcome.source, outcome.code, outcome.age) == (source, Code.OK, 4.0)


@pytest.mark.parametrize("answer", [None, Known({"status": "x"}, NOW), Known({}, NOW)])
def test_answer_that_is_not_whole_is_none(answer: Known | None) -> None:
    """A worker with another configuration gave it: the last known answer is better."""
    outcome = resolve(lookup(), Heard(Code.OK, Source.LIVE, answer, known(50.0), took=0.2), NOW)
    assert (outcome.source, outcome.code, outcome.took) == (Source.STALE, Code.LOOKUP_FAILED, 0.2)


def test_failure_that_was_heard_of_stands_on_the_best_record_in_hand() -> None:
    """The session's own comes before that of the user's other sessions."""
    shared = replace(lookup(), share="user")
    own, of_user = known(50.0, status="own"), known(1.0, status="of the user")
    for heard, source in (
        (Heard(Code.TIMEOUT, known=own, of_user=of_user), Source.STALE),
        (Heard(Code.TIMEOUT, of_user=of_user), Source.USER),
        (Heard(Code.TIMEOUT), Source.NONE),
    ):
        outcome = resolve(shared, heard, NOW)
        assert (outcome.source, outcome.code) == (source, Code.TIMEOUT)


def test_variables_under_a_failures_code_are_no_answer() -> None:
    """The code decides, not the variables beside it."""
    outcome = resolve(lookup(), Heard(Code.BAD_BACKEND_REPLY, Source.LIVE, known(0.0)), NOW)
    assert (outcome.source, outcome.code) == (Source.NONE, Code.BAD_BACKEND_REPLY)
