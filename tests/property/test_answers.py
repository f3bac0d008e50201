"""Answer rules: one meaning for any response, and the first rule that matches decides."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import (
    BackendDenied,
    BackendRejected,
    BackendThrottled,
    BackendUnavailable,
    BadBackendReply,
)
from gateway.declared.catalog import compile_catalog, read
from gateway.declared.lookup import Lookup
from gateway.lookups.answers import Response, interpret, pause_of, wants_body
from gateway.lookups.reply import Finding
from tests.variants import varied

BASE = """
[backends.crm]
url = "http://crm"
[lookups.c]
backend = "crm"
request = { path = "/" }
variables = { name = "name", code = "code" }
"""
MEANINGS = ["ok", "not_found", "unauthorized", "throttled", "unavailable", "rejected", "bad"]
FAILURES = (BackendDenied, BackendRejected, BackendThrottled, BackendUnavailable, BadBackendReply)
codes: st.SearchStrategy[object] = st.sampled_from([0, 1, "0", "1", None, True, "", [], {}])
statuses = st.integers(200, 599)
rules = st.fixed_dictionaries(
    {"is": st.sampled_from(MEANINGS)},
    optional={
        "status": statuses
        | st.sampled_from(["2xx", "4xx", "5xx"])
        | st.lists(statuses, min_size=1, max_size=3),
        "when": st.fixed_dictionaries({"code": st.sampled_from([0, 1, "0", "*", "", True, [0, "x"]])}),
    },
).filter(lambda rule: len(rule) > 1)
bodies = st.one_of(
    st.binary(max_size=20),
    st.fixed_dictionaries({"name": st.sampled_from(["Lin", None]), "code": codes}).map(
        lambda value: json.dumps(value).encode()
    ),
)


def declared(own: list[dict[str, object]], backends: list[dict[str, object]], **more: object) -> Lookup:
    """Return a lookup with these rules."""
    changes: dict[str, object] = {"lookups.c.answers": own, "backends.crm.answers": backends}
    changes |= {f"lookups.c.{name}": value for name, value in more.items()}
    return compile_catalog(*read(varied(BASE, changes), {})).lookups["c"]


def outcome(lookup: Lookup, response: Response) -> object:
    """Return what a response means: a Finding, or the failure's type and text."""
    try:
        return interpret(lookup, response, 0.0)
    except FAILURES as error:
        return type(error), str(error)


@given(st.lists(rules, max_size=3), st.lists(rules, max_size=3), statuses, bodies | st.none(), st.booleans())
def test_every_response_has_one_meaning(
    own: list[dict[str, object]],
    backends: list[dict[str, object]],
    status: int,
    body: bytes | None,
    missable: bool,  # noqa: FBT001 - Hypothesis passes by name
) -> None:
    """An answer with all of its variables, or one failure that the table has; the same each time."""
    lookup = declared(own, backends, **({"not_found": {"name": "guest"}} if missable else {}))
    response = Response(status, {}, body)
    first = outcome(lookup, response)
    assert outcome(lookup, response) == first
    if isinstance(first, Finding):
        assert first.variables.keys() == {"name", "code"}
        assert first.found or missable
        assert body is not None or not first.found


def kind(meant: object) -> object:
    """Return a Finding, or the type of a failure: its text has the number of the rule."""
    return meant if isinstance(meant, Finding) else meant[0]  # type: ignore[index]


@given(st.lists(rules, min_size=1, max_size=4), statuses, bodies)
def test_the_first_rule_that_matches_decides(
    every: list[dict[str, object]], status: int, body: bytes
) -> None:
    """Wherever the list is cut between the lookup and its backend."""
    response = Response(status, {}, body)
    meant = [kind(outcome(declared(every[:cut], every[cut:]), response)) for cut in range(len(every) + 1)]
    rejecting = [outcome(declared([{**rule, "is": "rejected"}], []), response) for rule in every]
    matching = [
        rule
        for rule, one in zip(every, rejecting, strict=True)
        if not isinstance(one, Finding) and str(one).find("lookups.c.answers[0]") > 0
    ]
    assert meant == [kind(outcome(declared(matching[:1], []), response))] * len(meant)


@given(st.lists(rules, max_size=3), statuses)
def test_a_body_that_is_not_wanted_changes_nothing(own: list[dict[str, object]], status: int) -> None:
    """It is not read, so it must not matter."""
    lookup = declared(own, [])
    if not wants_body(lookup, status):
        without = outcome(lookup, Response(status, {}, None))
        for body in (b"", b"{}", b'{"name":"Lin","code":0}', b"<html>"):
            assert outcome(lookup, Response(status, {}, body)) == without


@given(
    st.text(max_size=40) | st.floats().map(str) | st.datetimes().map(str),
    st.text(max_size=30),
    st.floats(0, 2e9),
)
def test_a_pause_is_none_or_a_time_that_ends(after: str, date: str, now: float) -> None:
    """Whatever the headers say."""
    pause = pause_of({"Retry-After": after, "Date": date}, now)
    assert pause is None or 0 < pause < math.inf
