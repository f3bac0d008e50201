"""Slips that people make in a configuration: each is named with its place, and with what to write instead."""

import msgspec
import pytest

from gateway.declared.credentials import Auth
from tests.unit.test_config import BACKEND, WHOLE, compiled, faults

KINDS = {one.__struct_config__.tag: one for one in Auth.__args__}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [None, "'text'", "7", "{ heder = 'x' }"])
def test_credentials_that_are_not_whole_are_told_and_no_bug(kind: str, value: str | None) -> None:
    """Nobody who forgets `place` can make anything of a traceback."""
    keys = [field.encode_name for field in msgspec.structs.fields(KINDS[kind])]
    table = "".join(f"{key} = {value}\n" for key in keys if value)
    told = faults(f"{BACKEND}[backends.crm.auth]\ntype = '{kind}'\n{table}")
    assert all(fault.startswith("backends.crm.auth.") for fault in told)


@pytest.mark.parametrize(
    ("auth", "missing"),
    [
        ("type = 'key'\nvalue = 'x'", "place"),
        ("type = 'sign'\nsecret = 'x'\nover = '{body}'", "place"),
        ("type = 'login'\ntoken = 'token'", "request"),
    ],
)
def test_a_table_that_credentials_need_is_missed(auth: str, missing: str) -> None:
    """Once, and by its name."""
    assert faults(f"{BACKEND}[backends.crm.auth]\n{auth}\n") == [f"backends.crm.auth.{missing}: missing"]


LOOKUP = '[lookups.order]\nbackend = "crm"\nvariables = { status = "status" }\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[gateway]\nbudget = 1.6", "gateway.budget: expected text in quotes, such as '1.6s', got a number"),
        ("[gateway]\nlisten = 8080", "gateway.listen: expected text in quotes, such as '127.0.0.1:8080',"),
        ("[[routes]]\nlookups = 'order'", "routes[0].lookups: expected a list in brackets, got text"),
        ("[apps.1]\nsignature = false", "apps.1.signature: expected one of required, optional, off, got a"),
        (f"{BACKEND}breaker = false", "backends.crm.breaker: expected a table, or 'off', got a boolean"),
        (f"{BACKEND}attempts = 2.5", "backends.crm.attempts: expected a whole number without quotes, got a"),
        (
            "[logs]\nlevel = 'warn'",
            "logs.level: 'warn' is not one of debug, info, warning, error; did you mean",
        ),
        (f"{LOOKUP}empty = 'none'", "lookups.order.empty: 'none' is not one of not_found, bad, ok"),
        (
            f"{LOOKUP}variables = {{ a = 3 }}".replace("variables = { s", "#"),
            "lookups.order.variables.a: expected",
        ),
        (f"{LOOKUP}path = '/o'", "lookups.order.path: unknown key; it belongs into `request`"),
        (f"{BACKEND}token = 't'", "backends.crm.token: unknown key; it belongs into `auth`"),
        ("budget = '1s'", "budget: unknown key; it belongs into `gateway`"),
        ("[gateway]\nlogs = 1", "gateway.logs: unknown key"),
        ("[apps]\ntoken = 't'", "apps: its tables have names: write [apps.NAME] before token"),
        (
            "[lookups.order.accept]\ntrim = true",
            "lookups.order.accept: its tables have names: write [lookups.",
        ),
        (
            f"{LOOKUP}attempt_timeout = '1s'",
            "lookups.order.attempt_timeout: unknown key; it belongs into [backends.",
        ),
        (
            "[[routes]]\nlookups = []\nfresh = '5s'",
            "routes[0].fresh: unknown key; it belongs into [lookups.NAME]",
        ),
        ("[worker]\nconcurrency = 5", "worker.concurrency: unknown key; it belongs into [backends.NAME]"),
        ("[worker]\nlevel = 'info'", "worker.level: unknown key"),
        (
            f"{LOOKUP}[backends.CRM]\nurl = 'http://crm'",
            "lookups.order.backend: 'crm' is not a backend; did you",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_told_in_words_of_the_file(text: str, told: str) -> None:
    """Not in those of a library: `str`, `array` and `enum` are no words of TOML."""
    assert any(fault.startswith(told) for fault in faults(text)), faults(text)


def test_tables_without_a_name_are_one_fault() -> None:
    """And what stands in them is not taken for lookups."""
    text = LOOKUP.replace("[lookups.order]", "[lookups]") + "fresh = '5s'\nrequest = { path = '/o' }\n"
    assert faults(BACKEND + text) == [
        "lookups: its tables have names: write [lookups.NAME] before backend, fresh"
    ]


def test_a_number_from_the_environment_is_told_without_its_value() -> None:
    """A variable gives text; whoever wants a number from it learns that."""
    (told,) = faults(f'{BACKEND}attempts = "${{N}}"', N="hunter2")
    assert told.endswith(
        "does not fit here: expected a whole number without quotes, and a variable gives text"
    )
    assert "hunter2" not in told


def warned(text: str) -> list[str]:
    """Return the warnings about a configuration that can be used."""
    return [str(fault) for fault in compiled(text).warnings]


@pytest.mark.parametrize(
    ("first", "second", "covered"),
    [
        ("", "when = { node = 'order' }", True),
        ("when = { node = '*' }", "when = { node = 'order' }", True),
        ("when = { node = 'order' }", "when = { node = 'order', lang = 'en' }", True),
        ("when = { node = '' }", "app = 1\npath = '/a'\nwhen = { node = '' }", True),
        ("app = 1", "app = 1\npath = '/a'", True),
        ("when = { node = '*' }", "when = { node = '' }", False),
        ("when = { node = '*' }", "", False),
        ("when = { node = '' }", "when = { node = 'order' }", False),
        ("when = { node = 'order' }", "when = { node = 'customer' }", False),
        ("app = 1", "", False),
        ("path = '/a'", "path = '/b'", False),
    ],
)
def test_a_route_behind_a_wider_one_is_warned_about(first: str, second: str, covered: bool) -> None:  # noqa: FBT001
    """The first match wins, so its lookups are never made: its author looks for the fault in the flow."""
    app = "[apps.1]\ntoken = 't'\n[apps.2]\ntoken = 't'\n"
    routes = "".join(
        f"[[routes]]\n{one}\n{'' if 'lookups' in one else 'lookups = []'}\n" for one in (first, second)
    )
    text = f"{app}{routes}"
    told = faults(text) if "lookups = 3" in first else warned(text)
    message = "routes[1]: can never match: routes[0] comes first and matches all that this one does"
    assert (message in told) == covered


def test_a_rule_of_a_backend_behind_a_wider_one_is_warned_about_once() -> None:
    """However many lookups ask it."""
    rules = ("status = '4xx'\nis = 'bad'\n", "status = 404\nis = 'ok'\n")
    text = WHOLE + "".join(f"[[backends.crm.answers]]\n{rule}" for rule in rules)
    (warning,) = warned(text + WHOLE.replace(BACKEND, "").replace("order", "other"))
    assert warning.startswith("backends.crm.answers[1]: can never match: backends.crm.answers[0] comes first")


def test_a_fault_in_a_rule_of_a_backend_is_one_fault() -> None:
    """Two lookups ask it; its author has one text to correct."""
    rule = "[[backends.crm.answers]]\nwhen = 'code = 7'\nis = 'bad'\n"
    (fault,) = faults(WHOLE + rule + WHOLE.replace(BACKEND, "").replace("order", "other"))
    assert fault.startswith("backends.crm.answers[0].when: ")


def test_lookups_that_nobody_asks_for_are_known() -> None:
    """A lookup that was forgotten in its route sets nothing."""
    assert compiled(WHOLE).unasked == ("order",)
    assert compiled(f"{WHOLE}[[routes]]\nlookups = ['order']\n").unasked == ()
    assert compiled(f"{WHOLE}[apps.1]\ntoken = 't'\nprefetch = ['order']\n").unasked == ()


def lookup(question: str) -> str:
    """Return a configuration whose lookup asks so."""
    return f'{BACKEND}[lookups.order]\nbackend = "crm"\n{question}\nvariables = {{ status = "status" }}\n'


@pytest.mark.parametrize(
    ("request_", "warning"),
    [
        ("path = '/orders/{{orderId}}'", "path: {{orderId}} is a text, and no place; write {orderId}"),
        ("path = '/orders/{{ orderId }}'", "path: {{ orderId }} is a text, and no place; write {orderId}"),
        ("path = '/orders/:orderId'", "path: :orderId is a text, and no place; write {orderId}"),
        ("path = '/o/<orderId>/x'", "path: <orderId> is a text, and no place; write {orderId}"),
        ("path = '/o', query = { id = '{{id}}' }", "query.id: {{id}} is a text, and no place; write {id}"),
        (
            "path = '/o', headers = { X-Id = '<id>' }",
            "headers.X-Id: <id> is a text, and no place; write {id}",
        ),
        (
            "path = '/o', method = 'POST', json = { a = [{ b = '{{id}}' }], n = 1 }",
            "json.a[0].b: {{id}} is a text, and no place; write {id}",
        ),
    ],
)
def test_a_place_as_another_tool_writes_it_is_warned_about(request_: str, warning: str) -> None:
    """The backend would be asked about an order whose number is "{orderId}"."""
    assert warned(lookup(f"request = {{ {request_} }}")) == [f"lookups.order.request.{warning}"]


@pytest.mark.parametrize(
    "request_",
    [
        "path = '/v1/orders:search'",
        "path = '/orders/{orderId}'",
        "path = '/o', method = 'POST', json = { query = 'query {{ order {{ id }} }}' }",
        "path = '/o', method = 'POST', form = { a = 'b' }",
    ],
)
def test_a_text_that_is_meant_so_is_not_warned_about(request_: str) -> None:
    """GraphQL has braces, and Google's methods a colon."""
    assert warned(lookup(f"request = {{ {request_} }}")) == []


@pytest.mark.parametrize("place", ["not_found", "fallback"])
def test_place_in_a_text_that_goes_out_as_it_is_is_warned_about(place: str) -> None:
    """The visitor would read "{orderId}", and with `not_found` the code is 0."""
    text = "request = { path = '/o/{orderId}' }\n%s = { status = '%s' }"
    assert warned(lookup(text % (place, "no order {orderId}"))) == [
        f"lookups.order.{place}.status: {{orderId}} is a text, and no place: it goes out as it is"
    ]
    assert warned(lookup(text % (place, "say {name}, {0} or {}"))) == []


SQL = BACKEND.replace("http://crm", "sqlite:///x")


@pytest.mark.parametrize(
    "where",
    ["a like :id", "a ILIKE '%' || :id || '%'", "a not like concat('%', lower(:id))", "a similar  to (:id)"],
)
def test_a_parameter_in_a_pattern_is_warned_about(where: str) -> None:
    """A visitor who types a percent sign would be told of somebody else."""
    text = lookup('sql = """select status from o where WHERE"""').replace("WHERE", where)
    text = text.replace("http://crm", "sqlite:///x")
    (warning,) = warned(text)
    assert warning.startswith(
        "lookups.order.sql: a value of :id stands in a pattern, where a visitor's % finds"
    )
    assert warned(text + "\n[lookups.order.accept]\nid = { match = '[A-Z]{2}[0-9]{4,12}' }") == []
    for loose in (".+", "[0-9%]{4,12}", r"\w{8}"):
        assert warned(f"{text}\n[lookups.order.accept]\nid = {{ match = '{loose}' }}") == [warning]


@pytest.mark.parametrize(
    "where", ["a = :id", "a like 'g%' and b = :id", "a = 'like' || :id", "a = :id -- like\n", "likes = :id"]
)
def test_a_parameter_beside_a_pattern_is_not_warned_about(where: str) -> None:
    """The pattern is the author's own."""
    text = lookup('sql = """select status from o where WHERE"""').replace("WHERE", where)
    assert warned(text.replace("http://crm", "sqlite:///x")) == []


@pytest.mark.parametrize(
    ("where", "warning"),
    [
        ("id = ':id'", "':id' is a text, and no parameter; write :id without quotes"),
        ("id = '{id}'", "'{id}' is a text, and no parameter; write :id without quotes"),
        (
            "id like '%:id%'",
            "'%:id%' is a text, and no parameter; write :id without quotes, and behind LIKE '%'",
        ),
        ("id = %(id)s", "%(id)s is no parameter here; write :id"),
        ("id = $1", "$1 is no parameter here; write :orderId"),
        ("id = ?", "? is no parameter here; write :orderId"),
        ("id = :id and a = '12:30' and b = '{1,2}' and c ->> 'x' = 'HH24:MI'", None),
    ],
)
def test_a_parameter_that_is_none_is_warned_about(where: str, warning: str | None) -> None:
    """In quotes it is a text: the statement is right, and finds nobody."""
    text = lookup('sql = """select status from o where WHERE"""').replace("WHERE", where)
    told = warned(text.replace(BACKEND, SQL))
    assert len(told) == (warning is not None)
    assert all(one.startswith(f"lookups.order.sql: {warning}") for one in told)


@pytest.mark.parametrize(
    "token", ["$CRM_TOKEN", "${CRM_TOKEN:-x}", "${env:CRM_TOKEN}", "%CRM_TOKEN%", "{{ CRM_TOKEN }}"]
)
def test_a_variable_as_others_write_it_is_warned_about(token: str) -> None:
    """Else the backend gets the name for the secret. The text is not shown: it may be a password."""
    (warning,) = warned(f'{BACKEND}auth = {{ type = "bearer", token = "{token}" }}')
    assert warning.startswith("backends.crm.auth.token: is taken as it is; a variable is written ${NAME}")
    assert "CRM_TOKEN" not in warning


def test_a_text_with_a_dollar_is_no_variable() -> None:
    """Passwords have signs."""
    assert warned(f'{BACKEND}auth = {{ type = "bearer", token = "pa$$WORD" }}') == []


def test_a_warning_hides_no_fault_of_the_same_place() -> None:
    """Both are told."""
    told = faults(f'{BACKEND}auth = {{ type = "bearer", token = " ${{A" }}')
    assert [one.partition(": ")[2][:12] for one in told] == ["is taken as ", "begins or en"]


def test_a_place_of_the_session_in_the_form_of_the_environment_is_explained() -> None:
    """`${orderId}` is the habit of most templates."""
    (told,) = faults(lookup("request = { path = '/o/${orderId}' }"))
    assert told.endswith(
        "the environment variable orderId is not set; a variable of the session is written {orderId}"
    )


def test_the_word_bearer_is_not_sent_twice() -> None:
    """It is copied with the token from a manual."""
    (warning,) = warned(f'{BACKEND}auth = {{ type = "bearer", token = "Bearer abc" }}')
    assert warning == "backends.crm.auth.token: 'Bearer' is put before it; leave that word out"


def test_a_slow_call_that_never_ends_so_is_warned_about() -> None:
    """A timeout is a failure, and comes first."""
    text = f"{BACKEND}breaker = {{ slow_call = '{{}}' }}".replace
    assert warned(text("{}", "799ms")) == []
    (warning,) = warned(text("{}", "800ms"))
    assert warning.startswith(
        "backends.crm.breaker.slow_call: counts nothing: attempt_timeout ends such a call"
    )


def test_a_hedge_that_never_begins_is_warned_about() -> None:
    """The attempt has ended by then."""
    text = lookup("request = { path = '/o' }\nhedge = '{}'").replace
    assert warned(text("{}", "799ms")) == []
    (warning,) = warned(text("{}", "800ms"))
    assert warning.startswith("lookups.order.hedge: no second attempt begins beside the first one")


@pytest.mark.parametrize(
    ("place", "request_", "missing"),
    [
        ("form", "path = '/o'", "form: missing: the credentials of its backend stand in a form"),
        ("json", "path = '/o'", "json: missing: the credentials of its backend stand in a JSON object"),
        ("json", "path = '/o', method = 'POST', json = [1]", "json: missing: the credentials of its backend"),
        ("json", "path = '/o', method = 'POST', json = { a = 1 }", None),
        ("form", "path = '/o', method = 'POST', form = { a = '1' }", None),
        ("query", "path = '/o'", None),
        ("json", "path = '/o', method = 'POST', body = '{{}}', content_type = 'application/json'", None),
    ],
)
def test_credentials_in_a_body_need_one(place: str, request_: str, missing: str | None) -> None:
    """Else each of its answers is LOOKUP_FAILED."""
    auth = f"[backends.crm.auth]\ntype = 'key'\nvalue = 'x'\nplace = {{ {place} = 'k' }}\n"
    told = faults(lookup(f"request = {{ {request_} }}") + auth)
    assert len(told) == (missing is not None)
    assert all(one.startswith(f"lookups.order.request.{missing}") for one in told)


def test_a_header_of_the_connection_is_warned_about() -> None:
    """A length that is none has the backend wait for a body."""
    headers = "headers = { Content-Length = '3', X-Own = '1' }"
    (warning,) = warned(lookup(f"request = {{ path = '/o', {headers} }}"))
    assert warning.startswith("lookups.order.request.headers.Content-Length: a connection has this header")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[backends.'']\nurl = 'http://crm'", "backends: a name must not be empty"),
        (f'{BACKEND}{LOOKUP}[lookups.""]', "lookups: a name must not be empty"),
        (
            lookup("request = { path = '/o' }").replace("{ status", '{ ""'),
            "lookups.order.variables: a variable's",
        ),
        ("[apps.1]\ntoken = 't'\nmarkers = { age = '' }", "apps.1.markers: a name must not be empty"),
        (
            "[apps.1]\ntoken = 't'\nmarkers = { age = 'a', reason = 'a' }",
            "apps.1.markers: two markers must not",
        ),
        ("[backends.crm]\nurl = 'http://crm/{tenant}'", "backends.crm.url: has no places: write them into"),
        (
            "[backends.crm]\nurl = 'https://.crm.com'",
            "backends.crm.url: must be an http:// or https:// address",
        ),
        (
            "[backends.crm]\nurl = 'https://crm..com'",
            "backends.crm.url: must be an http:// or https:// address",
        ),
    ],
)
def test_a_name_that_is_none_is_a_fault(text: str, told: str) -> None:
    """`https://${TENANT}.crm.com` with an empty variable is an address to look at."""
    assert any(fault.startswith(told) for fault in faults(text)), faults(text)


def test_a_blank_at_an_end_is_warned_about() -> None:
    """Nobody sees it in a file, and every reply is "not found"."""
    (warning,) = warned(lookup("request = { path = '/o ' }"))
    assert warning == "lookups.order.request.path: begins or ends with a blank, which is sent as it is"
    (warning,) = warned(lookup("request = { path = '/o' }").replace("{ status", "{ ' status'"))
    assert warning == "lookups.order.variables. status: the name begins or ends with a blank"


def test_a_host_may_end_with_a_dot() -> None:
    """That is its full name in DNS."""
    assert warned("[backends.crm]\nurl = 'https://crm.example.com.'") == []
