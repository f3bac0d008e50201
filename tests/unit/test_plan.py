"""Which records and jobs stand for a callback's lookups."""

from dataclasses import replace

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Code, InvalidInput
from gateway.core.messages import Callback, SessionEvent
from gateway.core.records import Known, record_name, user_record_name
from gateway.declared.app import App, Markers
from gateway.declared.catalog import compile_catalog, read
from gateway.declared.lookup import Lookup
from gateway.front.plan import Planned, Refused, plan

APP = App(1, (), "off", "error", Markers(), indexed=5.0)
ORDER = Lookup(
    "order", "crm", "v1", ("id", "lang"), {"status": jmespath.compile("status")}, optional=frozenset({"lang"})
)
SHARED = replace(ORDER, share="user")
INPUTS = {"id": "7", "lang": ""}
OWN = record_name(1, "s1", "order", "v1", INPUTS)
OF_USER = user_record_name(1, "u1", "order", "v1", INPUTS)
MEMORY = {OWN: Known({"status": "own"}, 1.0), OF_USER: Known({"status": "of the user"}, 2.0)}


def planned(lookup: Lookup, user: str = "u1", **variables: str) -> Planned:
    """Plan a lookup of a callback; this process remembers both records."""
    callback = Callback(1, "s1", user, "/", {"id": "7"} | variables)
    return plan(lookup, APP, callback, "t1", MEMORY.get)


def test_job_names_the_record_that_would_answer_it() -> None:
    """The worker writes it there, and the next callback looks there."""
    job = planned(ORDER).job
    assert (job.lookup, job.app, job.session, job.user, job.trace_id) == ("order", 1, "s1", "u1", "t1")
    assert (job.record, job.user_record) == (OWN, "")
    assert job.inputs == INPUTS


def test_remembered_record_comes_with_the_plan() -> None:
    """By it the callback may be answered without asking."""
    assert planned(ORDER).known == MEMORY[OWN]
    assert planned(ORDER, id="8").known is None


@pytest.mark.parametrize(
    ("lookup", "user", "shares"), [(ORDER, "u1", False), (SHARED, "", False), (SHARED, "u1", True)]
)
def test_users_record_counts_only_where_the_lookup_shares_it(lookup: Lookup, user: str, shares: bool) -> None:  # noqa: FBT001
    """An answer of another session is nobody's business, unless the configuration says so."""
    one = planned(lookup, user)
    assert (one.job.user_record, one.of_user) == ((OF_USER, MEMORY[OF_USER]) if shares else ("", None))


def test_another_user_of_a_session_is_asked_for_anew_where_a_function_can_see_who_it_is() -> None:
    """A visitor who logs in must not hear what the function said of somebody else."""
    own = replace(ORDER, python="a:b")
    records = {planned(own, user).job.record for user in ("u1", "u2", "")}
    assert len(records) == 3
    assert {planned(ORDER, user).job.record for user in ("u1", "u2", "")} == {OWN}


@pytest.mark.parametrize("blank", [" ", "\t\n", "\u00a0", "\u3000", "\u200b", " \u200b \u200d"], ids=ascii)
def test_input_in_which_nothing_is_to_be_seen_is_absent(blank: str) -> None:
    """Many backends trim it: a search without its subject finds somebody, and not the one who asks."""
    assert planned(ORDER, id=blank).refused == Refused(Code.MISSING_INPUT, "id")
    assert planned(ORDER, lang=blank).job.record == OWN


@pytest.mark.parametrize("text", ["0", "-", ".", "客", " 7", "\u200b7", "_"], ids=ascii)
def test_input_in_which_something_is_to_be_seen_is_itself(text: str) -> None:
    """It is sent as it came."""
    assert planned(ORDER, id=text).job.inputs["id"] == text


def test_lookup_is_complete_when_every_input_has_a_value() -> None:
    """One that is not would ask a question without its subject."""
    needed = replace(ORDER, optional=frozenset())
    assert planned(needed).refused == Refused(Code.MISSING_INPUT, "lang")
    assert planned(needed, lang="zh").refused is None
    assert planned(ORDER).refused is None


def test_session_event_is_planned_like_a_callback_of_its_session() -> None:
    """Else the first callback would not find what was prefetched for it."""
    event = SessionEvent(1, "s1", "u1", "Session.Created", {"id": "7", "lang": ""}, ())
    assert plan(ORDER, APP, event, "t1", MEMORY.get) == planned(ORDER)


def declared(text: str) -> Lookup:
    """Return a declared lookup of an order."""
    backend = '[backends.crm]\nurl = "http://crm"\n[lookups.order]\nbackend = "crm"\n'
    variables = 'variables = { status = "status" }\n'
    return compile_catalog(*read(backend + variables + text, {})).lookups["order"]


ACCEPT = """
request = { path = "/orders/{id}" }
[lookups.order.accept]
id = { trim = true, fold = true, match = "[0-9]{4,12}", blank = ["null", "undefined", "{orderId}"] }
"""


def test_spellings_of_one_input_are_one_record() -> None:
    """A blank, a line break, full-width digits, an invisible character."""
    plainly = planned(declared(ACCEPT), id="12345").job
    full_width = "\uff11\uff12\uff13\uff14\uff15"
    for spelling in (
        " 12345 ",
        full_width,
        "12345\r\n",
        "\ufeff12345\u200b",
        "\u300012345",
        "\u202d12345\u202c",
        "\u00ad12345",
    ):
        other = planned(declared(ACCEPT), id=spelling).job
        assert (other.record, other.inputs) == (plainly.record, {"id": "12345"})


@pytest.mark.parametrize("value", ["null", "undefined", "{orderId}", "", "  ", "\u200b", " \uff4eull "])
def test_texts_that_say_nothing_count_as_absent(value: str) -> None:
    """A flow without a value sends its name."""
    assert planned(declared(ACCEPT), id=value).refused == Refused(Code.MISSING_INPUT, "id")


@pytest.mark.parametrize("value", ["n/a", " n/a", "\uff4e\uff0f\uff41"])
def test_texts_that_say_nothing_may_be_declared_in_any_spelling(value: str) -> None:
    """As they were copied from a flow: a blank at the end, full-width letters."""
    text = ACCEPT.replace('"undefined"', '" \uff4e/a "')
    assert planned(declared(text), id=value).refused == Refused(Code.MISSING_INPUT, "id")


@pytest.mark.parametrize(
    "value", ["12345\u3002", "abc", "123", "1" * 13, "12 45", "1" * 70_000, "\ud83d1234"]
)
def test_an_input_that_does_not_match_is_named_and_has_no_record(value: str) -> None:
    """What is known about another order must not go out for it."""
    callback = Callback(1, "s1", "", "/", {"id": value})
    one = plan(declared(ACCEPT), APP, callback, "t", lambda _: Known({}, 1.0))
    assert one.refused == Refused(Code.INVALID_INPUT, "id")
    assert (one.known, one.of_user) == (None, None)


def test_a_long_input_that_folds_to_a_longer_one_is_refused() -> None:
    """One character may become eighteen."""
    accept = declared(ACCEPT.replace(', match = "[0-9]{4,12}"', "")).accept["id"]
    with pytest.raises(InvalidInput):
        accept.normalise("id", "\ufdfa" * 1000)
    assert accept.normalise("id", "a" * 1024) == "a" * 1024


@pytest.mark.parametrize(
    ("request_", "value"),
    [
        ('request = { path = "/orders/{id}" }', "lin/../../admin/secret"),
        ('request = { path = "/o", query = { q = "{id:int}" } }', "7a"),
        ('request = { path = "/o", method = "POST", json = { id = "{id:bool}" } }', "maybe"),
        ('request = { path = "/o", method = "POST", body = "<a>{id}</a>", content_type = "text/xml" }', "\0"),
    ],
)
def test_a_value_that_fits_no_place_is_found_before_anybody_is_asked(request_: str, value: str) -> None:
    """No job is begun for it."""
    assert planned(declared(request_), id=value).refused == Refused(Code.INVALID_INPUT, "id")
    assert planned(declared(request_), id="1").refused is None


def test_an_optional_input_may_be_absent() -> None:
    """It is part of the record's name all the same."""
    lookup = declared('request = { path = "/o", query = { phone = "{id}", email = "{email?}" } }')
    assert planned(lookup).refused is None
    assert planned(lookup).job.record != planned(lookup, email="a@b").job.record
    listed = declared('inputs = ["email"]\nrequest = { path = "/{id}", query = { e = "{email?}" } }')
    assert planned(listed).refused == Refused(Code.MISSING_INPUT, "email")


@given(
    st.text() | st.text(st.sampled_from(" \t\u3000\u200b\ufeff\uff11\u2460\ufb01\u00a02anull"), max_size=12)
)
def test_a_form_stays_as_it_is(value: str) -> None:
    """Else one order would be two records after all."""
    accept = declared(ACCEPT.replace(', match = "[0-9]{4,12}"', "")).accept["id"]
    try:
        form = accept.normalise("id", value)
    except InvalidInput:
        return
    assert accept.normalise("id", form) == form


def test_an_input_is_changed_only_as_it_is_declared() -> None:
    """Blanks matter to some backends."""
    bare = declared('request = { path = "/{id}" }\naccept = { id = { match = "[ ab]+" } }')
    assert planned(bare, id=" a ").job.inputs == {"id": " a "}


def test_a_lookup_of_optional_inputs_alone_needs_one_of_them() -> None:
    """Without any it would ask for anybody, and tell the first one found."""
    lookup = declared('request = { path = "/o", query = { phone = "{phone?}", email = "{email?}" } }')
    assert planned(lookup).refused == Refused(Code.MISSING_INPUT, "email")
    assert planned(lookup, phone="1").refused is None
    assert planned(declared('request = { path = "/all" }')).refused is None
