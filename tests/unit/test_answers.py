"""A response's status, headers and body: which answer they mean, or which failure."""

from typing import Any

import pytest
from multidict import CIMultiDict

from gateway.core.errors import (
    BackendDenied,
    BackendRejected,
    BackendThrottled,
    BackendUnavailable,
    BadBackendReply,
    Code,
    NoAnswer,
    NotFound,
    NotJson,
    Unmapped,
)
from gateway.declared.catalog import compile_catalog, read
from gateway.declared.lookup import Lookup
from gateway.lookups.answers import (
    Response,
    Undecoded,
    interpret,
    pause_of,
    wants_body,
)
from gateway.lookups.other_answers import interpret_value, judge
from gateway.lookups.reply import Finding

NOW = 1_700_000_000.0
GOOD = b'{"code":0,"data":{"name":"Lin Xia","tier":"gold"}}'
ANSWER = Finding({"name": "Lin Xia", "tier": "gold"})
GUEST = Finding({"name": "guest", "tier": ""}, found=False)
NOT_FOUND = 'not_found = { name = "guest" }'


def lookup(declared: str = "", backend: str = "") -> Lookup:
    """Return a lookup of a name and a tier, with more declared about it and its backend."""
    text = f"""
[backends.crm]
url = "http://crm"
{backend}
[lookups.customer]
backend = "crm"
request = {{ path = "/" }}
variables = {{ name = "data.name", tier = "data.tier" }}
{declared}
"""
    return compile_catalog(*read(text, {})).lookups["customer"]


def rules(text: str, of: str = "lookups.customer") -> str:
    """Return answer rules, one a line, each as the inside of an inline table."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return "\n".join(f"[[{of}.answers]]\n" + "\n".join(line.split(";")) for line in lines)


def meant(declared: Lookup, status: int, body: bytes | None = b"", **headers: str) -> Finding:
    """Return what a response means."""
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return interpret(declared, Response(status, named, body), NOW)


def failing(declared: Lookup, status: int, body: bytes | None = b"", **headers: str) -> NoAnswer:
    """Return the failure that a response means."""
    with pytest.raises(NoAnswer) as caught:
        meant(declared, status, body, **headers)
    return caught.value


PLAIN, MISSABLE = lookup(), lookup(NOT_FOUND)


@pytest.mark.parametrize("status", [200, 201, 203])
def test_a_success_with_a_reply_is_mapped(status: int) -> None:
    """The usual case."""
    assert meant(PLAIN, status, GOOD) == ANSWER


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((status, BackendUnavailable) for status in (202, 408, 425, 500, 502, 503, 504, 599)),
        (429, BackendThrottled),
        (401, BackendDenied),
        *((status, BadBackendReply) for status in (206, 207, 226, 299)),
        *((status, BackendRejected) for status in (300, 302, 304, 399, 400, 403, 404, 405, 410, 422, 499)),
    ],
)
@pytest.mark.parametrize("body", [GOOD, b'{"error":"x"}'])
def test_a_status_that_is_no_success_is_a_failure_whatever_the_body(
    status: int, error: type[NoAnswer], body: bytes
) -> None:
    """A body that looks like an answer does not make it one: 202 promises one, 206 has half of one."""
    failure = failing(PLAIN, status, body)
    assert type(failure) is error
    assert str(status) in str(failure)


@pytest.mark.parametrize("status", [200, 201, 203, 204, 205])
@pytest.mark.parametrize("body", [b"", b" \r\n\t ", b"\xef\xbb\xbf", b"\xff\xfe"])
def test_an_empty_reply_is_not_found_where_that_is_declared(status: int, body: bytes) -> None:
    """Else it is a bad reply, and is not asked for again: the backend meant it."""
    assert meant(MISSABLE, status, body) == GUEST
    failure = failing(PLAIN, status, body)
    assert (failure.code, failure.transient) == (Code.BAD_BACKEND_REPLY, False)
    assert "empty" in str(failure)


@pytest.mark.parametrize("status", [404, 410])
def test_only_the_backends_own_word_says_that_there_is_no_such_thing(status: int) -> None:
    """An ingress says 404 while the backend is being deployed: nobody's order is gone for that."""
    for own in (b'{"error":{"code":"ORDER_NOT_FOUND"}}', b"{}", b"null", b"", b" "):
        assert meant(MISSABLE, status, own) == GUEST
        assert type(failing(PLAIN, status, own)) is BackendRejected
    for page in (b"default backend - 404", b"<html><h1>404 Not Found</h1></html>", b'{"error":', None):
        for declared in (PLAIN, MISSABLE):
            failure = failing(declared, status, page)
            assert (type(failure), failure.transient) == (BackendUnavailable, True)
            assert "page" in str(failure)


@pytest.mark.parametrize(("reply", "own"), [("xml", b"<error>4</error>"), ("json", b'"\xbf\xcd"')])
def test_a_404_in_the_format_and_charset_of_the_replies_is_the_backends_own(reply: str, own: bytes) -> None:
    """Its errors are written as its answers are."""
    declared = lookup(f"{NOT_FOUND}\nreply = '{reply}'")
    assert meant(declared, 404, own, Content_Type="a/b; charset=GBK") == GUEST
    assert isinstance(failing(declared, 404, b"default backend - 404"), BackendUnavailable)


@pytest.mark.parametrize("reply", ["text", "form"])
def test_a_404_with_a_text_says_nothing_where_every_page_is_one(reply: str) -> None:
    """``default backend - 404`` is a text, and a form with one name. A rule may say what else it means."""
    declared = lookup(f"{NOT_FOUND}\nreply = '{reply}'")
    for page in (b"default backend - 404", b"<html>", b"error=4"):
        assert isinstance(failing(declared, 404, page), BackendUnavailable)
    assert meant(declared, 404, b"") == GUEST
    ruled = lookup(f"{NOT_FOUND}\nreply = '{reply}'\n" + rules('status = 404; is = "not_found"'))
    assert meant(ruled, 404, b"no such thing") == GUEST


FAILING = (
    "variables = { name = 'data.name', tags = \"join(',', data.tags)\", vip = \"contains(tags, 'vip')\" }"
)


def mapping(declared: str = "", variables: str = FAILING) -> Lookup:
    """Return a lookup with expressions that can fail."""
    text = '[backends.crm]\nurl = "http://crm"\n[lookups.c]\nbackend = "crm"\nrequest = { path = "/" }\n'
    return compile_catalog(*read(f"{text}{variables}\n{declared}", {})).lookups["c"]


def test_an_expression_that_fails_spoils_its_own_variable() -> None:
    """The others are an answer; the Finding names it for the log."""
    finding = meant(mapping(), 200, b'{"data":{"name":"Lin Xia","tags":[7]},"tags":["vip"]}')
    assert finding == Finding({"name": "Lin Xia", "tags": "", "vip": "true"}, failed=("tags",))


@pytest.mark.parametrize(
    "body", [b'{"data":{"name":"x","tags":["secret"]}}', b'{"data":{"name":"x"},"tags":[]}']
)
def test_a_required_variable_whose_expression_fails_makes_the_reply_bad(body: bytes) -> None:
    """As one that is null does; the message shows nothing of the reply."""
    failure = failing(mapping("required = ['vip', 'tags']"), 200, body)
    assert (type(failure), failure.transient, failure.backend_failed) == (Unmapped, False, False)
    assert "fails on the reply, which is required" in str(failure)
    assert "secret" not in str(failure)


def test_a_reply_that_gives_no_variable_is_judged_as_one_of_nulls() -> None:
    """An expression often fails because there is nothing; a reply must give something to be an answer."""
    nothing = b'{"data":null}'
    assert isinstance(failing(mapping(), 200, nothing), BadBackendReply)
    found = meant(mapping("not_found = { name = 'guest' }"), 200, nothing)
    assert found == Finding({"name": "guest", "tags": "", "vip": ""}, found=False)
    kept = meant(mapping("empty = 'ok'"), 200, nothing)
    assert kept == Finding({"name": "", "tags": "", "vip": ""}, failed=("tags", "vip"))


@pytest.mark.parametrize("declared", ["", "not_found = { name = 'guest' }", "empty = 'ok'"])
def test_a_reply_on_which_every_expression_fails_is_bad(declared: str) -> None:
    """It is another reply than the mapping was made for, and no word that there is nothing."""
    alone = mapping(declared, "variables = { name = 'length(a)', b = 'sum(b)' }")
    failure = failing(alone, 200, b'{"a":7,"b":["secret"]}')
    assert str(failure) == "every expression fails on the reply: name, b"


@pytest.mark.parametrize("status", [300, 302, 399])
def test_redirect_is_named_as_such(status: int) -> None:
    """A login page is the likeliest cause, and the reader of the line should think of it."""
    assert "redirects are not followed" in str(failing(PLAIN, status))


def test_a_reply_that_does_not_decode_is_asked_for_once_more() -> None:
    """A proxy's page passes; a backend that always sends one does not get better by a third request."""
    failure = failing(PLAIN, 200, b"<html>")
    assert isinstance(failure, NotJson)
    assert (failure.transient, failure.most_attempts) == (True, 2)


NULLS = [
    b'{"code":40001,"msg":"access_token expired","data":null}',
    b'{"code":90018,"msg":"request frequency too high"}',
    b'{"result":[],"error":{"message":"Transaction cancelled","detail":""},"status":"failure"}',
    b'{"total":0,"results":[]}',
    b'{"totalSize":0,"done":true,"records":[]}',
    b"[]",
    b"null",
    b'"text"',
    b'{"data":{"name":null,"tier":null}}',
]


@pytest.mark.parametrize("body", NULLS)
def test_a_reply_in_which_every_variable_is_null_is_no_answer(body: bytes) -> None:
    """An error in a 200 would replace the last known good answer with blanks."""
    assert failing(PLAIN, 200, body).code == Code.BAD_BACKEND_REPLY
    assert meant(MISSABLE, 200, body) == GUEST
    assert meant(lookup(NOT_FOUND + '\nrequired = ["name"]'), 200, body) == GUEST
    assert failing(lookup(NOT_FOUND + '\nempty = "bad"'), 200, body).code == Code.BAD_BACKEND_REPLY
    assert meant(lookup('empty = "ok"'), 200, body) == Finding({"name": "", "tier": ""})
    required = failing(lookup('empty = "ok"\nrequired = ["tier"]'), 200, body)
    assert "tier" in str(required)


@pytest.mark.parametrize("value", ["0", "false", '""', "[]", "{}"])
def test_a_value_that_is_empty_is_still_a_value(value: str) -> None:
    """Zero open orders is an answer; only null is the absence of one."""
    finding = meant(MISSABLE, 200, f'{{"data":{{"name":{value}}}}}'.encode())
    assert finding.found


def test_a_required_variable_that_is_null_makes_the_reply_bad() -> None:
    """An answer without it would be worse than the last known one."""
    failure = failing(lookup('required = ["tier"]'), 200, b'{"data":{"name":"Lin Xia"}}')
    assert (failure.code, "tier" in str(failure)) == (Code.BAD_BACKEND_REPLY, True)


ENTERPRISE = lookup(
    NOT_FOUND,
    rules(
        """
        status = 200; when = { errcode = [40001, 42001] }; is = "unauthorized"
        status = 200; when = { errcode = 45009 }; is = "throttled"
        when = { errcode = [-1, "busy"] }; is = "unavailable"
        when = { errcode = 60111 }; is = "not_found"
        when = { errcode = 0 }; is = "ok"
        when = "errcode > `50000`"; is = "rejected"
        when = { errcode = "*" }; is = "bad"
        """,
        "backends.crm",
    ),
)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"errcode":40001,"errmsg":"invalid credential"}', Code.BACKEND_DENIED),
        (b'{"errcode":"42001"}', Code.BACKEND_DENIED),
        (b'{"errcode":45009}', Code.BACKEND_THROTTLED),
        (b'{"errcode":-1}', Code.BACKEND_UNAVAILABLE),
        (b'{"errcode":"busy"}', Code.BACKEND_UNAVAILABLE),
        (b'{"errcode":50002}', Code.BACKEND_REJECTED),
        (b'{"errcode":7}', Code.BAD_BACKEND_REPLY),
        (b'{"errcode":true}', Code.BAD_BACKEND_REPLY),
    ],
)
def test_a_declared_rule_says_what_a_200_means(body: bytes, code: Code) -> None:
    """Most backends say "token expired" with status 200; the reason names the rule."""
    failure = failing(ENTERPRISE, 200, body)
    assert failure.code == code
    assert str(failure).startswith("backends.crm.answers[")


def test_a_rule_may_say_not_found_or_ok() -> None:
    """``ok`` has the reply mapped, with all that holds for replies."""
    assert meant(ENTERPRISE, 200, b'{"errcode":60111}') == GUEST
    body = b'{"errcode":0,"data":{"name":"Lin Xia","tier":"gold"}}'
    assert meant(ENTERPRISE, 200, body) == ANSWER
    assert meant(ENTERPRISE, 200, GOOD) == ANSWER  # no rule speaks of it
    assert meant(ENTERPRISE, 200, b'{"errcode":0}') == GUEST  # every variable is null


def test_the_lookups_rules_come_before_its_backends() -> None:
    """One lookup may know better; the first rule that matches wins."""
    own = rules('when = { code = 5 }; is = "not_found"\nwhen = { code = "*" }; is = "rejected"')
    declared = lookup(f"{NOT_FOUND}\n{own}", rules('when = { code = 5 }; is = "bad"', "backends.crm"))
    assert meant(declared, 200, b'{"code":5}') == GUEST
    assert type(failing(declared, 200, b'{"code":6}')) is BackendRejected
    assert type(failing(declared, 503, b'{"code":6}')) is BackendRejected


@pytest.mark.parametrize(
    ("wanted", "values", "others"),
    [
        ("0", [0, 0.0, "0"], [False, None, "", [], "00", 1, [0]]),
        ('"0"', [0, "0"], [0.5, False, None]),
        ("true", [True, "true"], [1, "True", None]),
        ('"x"', ["x"], ["X", ["x"], None]),
        ("1.5", [1.5, "1.5"], [1, True]),
        ('"*"', [0, False, "x", [0], {"a": None}], [None, "", [], {}]),
        ('""', [None, "", [], {}], [0, False, "x", " "]),
        ('["", 7]', [None, 7, "7"], [0, "x"]),
    ],
)
def test_a_value_of_a_rule_is_compared_as_a_variable_would_be(
    wanted: str, values: list[object], others: list[object]
) -> None:
    """CRMs write a code as a number today and as a text tomorrow; a truth value is no number."""
    declared = lookup("", rules(f'when = {{ "error.code" = {wanted} }}; is = "rejected"', "backends.crm"))
    (rule,) = declared.rules
    for value in values:
        with pytest.raises(BackendRejected):
            interpret_value(declared, {"error": {"code": value}, "data": {"name": "x"}})
    for other in others:
        assert interpret_value(declared, {"error": {"code": other}, "data": {"name": "x"}}).found
    assert wanted.startswith(('["",', '""')) == raises(declared, {"data": {"name": "x"}})
    assert rule.name == "backends.crm.answers[0]"


def raises(declared: Lookup, reply: object) -> bool:
    """True if a rule takes this reply for a failure."""
    try:
        interpret_value(declared, reply)
    except BackendRejected:
        return True
    return False


@pytest.mark.parametrize(
    ("expression", "reply", "holds"),
    [
        ("errors", {"errors": ["x"]}, True),
        ("errors", {"errors": []}, False),
        ("errors", {"errors": None}, False),
        ("errors", {}, False),
        ("ok == `false`", {"ok": False}, True),
        ("ok", {"ok": False}, False),
        ("n", {"n": 0}, True),  # JMESPath: a number is true
        ("length(errors) > `0`", {"errors": 7}, False),  # it fails on this reply, so it does not match
    ],
)
def test_one_text_is_an_expression_that_must_be_true(expression: str, reply: Any, holds: bool) -> None:  # noqa: ANN401, FBT001
    """As JMESPath counts: not false, not null, not empty."""
    declared = lookup("", rules(f"when = '{expression}'; is = 'rejected'", "backends.crm"))
    assert raises(declared, {**reply, "data": {"name": "x"}}) is holds


def test_a_body_that_cannot_be_read_fits_no_condition() -> None:
    """Not even "absent": nobody knows."""
    declared = lookup("", rules('when = { error = "" }; is = "ok"', "backends.crm"))
    assert type(failing(declared, 200, b"<html>")) is NotJson
    assert type(failing(declared, 500, None)) is BackendUnavailable
    assert type(failing(declared, 500, b'{"error":1}')) is BackendUnavailable
    assert meant(declared, 500, GOOD) == ANSWER


def test_a_rule_of_a_status_alone_needs_no_body() -> None:
    """An answer by status costs no reading; ``ok`` has a reply to map."""
    declared = lookup(
        NOT_FOUND, rules('status = "5xx"; is = "not_found"\nstatus = 400; is = "ok"', "backends.crm")
    )
    assert meant(declared, 503, None) == GUEST
    assert meant(declared, 400, GOOD) == ANSWER
    assert type(failing(declared, 400, None)) is NotJson
    assert [wants_body(declared, status) for status in (200, 400, 404, 410, 503, 403, 204)] == [
        *(True, True, True, True),
        *(False, False, False),
    ]
    assert wants_body(lookup("", rules('status = 403; when = "a"; is = "bad"', "backends.crm")), 403)


def test_not_found_without_variables_for_it_is_rejected() -> None:
    """There is nothing to give."""
    declared = lookup("", rules('when = { code = 1 }; is = "not_found"', "backends.crm"))
    assert type(failing(declared, 200, b'{"code":1}')) is BackendRejected


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({}, None),
        ({"Retry-After": "10"}, 10.0),
        ({"Retry-After": " 0.5 "}, 0.5),
        ({"Retry-After": "0"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "86400"}, 86400.0),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:30 GMT"}, 10.0),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:30"}, 10.0),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:10 GMT"}, None),
        ({"Retry-After": "Tue, 14 Nov 99999 22:13:30 GMT"}, None),
        ({"Retry-After": "Wed, 15 Nov 2023 00:00:10 GMT", "Date": "Wed, 15 Nov 2023 00:00:00 GMT"}, 10.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], pause: float | None) -> None:
    """RFC 9110, 10.2.3. A date counts from the backend's own clock, if it says what that shows."""
    assert pause_of(headers, NOW) == pause
    failure = failing(PLAIN, 429, b"", **{name.replace("-", "_"): value for name, value in headers.items()})
    assert isinstance(failure, BackendThrottled)
    assert failure.pause == pause


def test_unavailable_with_a_pause_is_throttled() -> None:
    """The backend says when to come back."""
    failure = failing(PLAIN, 503, b"", Retry_After="120")
    assert isinstance(failure, BackendThrottled)
    assert failure.pause == 120.0


def test_python_lookups_are_judged_by_their_rules_too() -> None:
    """There is no status: rules without one apply, and so do ``empty`` and ``required``."""
    assert interpret_value(MISSABLE, {}) == GUEST
    declared = lookup(rules('when = "error"; is = "unauthorized"'))
    with pytest.raises(BackendDenied, match=r"answers\[0\]: unauthorized$"):
        interpret_value(declared, {"error": "expired"})


RULED = """
[[backends.crm.answers]]
when = { code = 40001 }
is = "unauthorized"
[[backends.crm.answers]]
when = { code = 404 }
is = "not_found"
[[backends.crm.answers]]
status = 418
is = "ok"
"""


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind"),
    [
        (200, b'{"total": 29.90}', {}, None),
        (200, b"", {}, None),
        (204, b"", {}, None),
        (404, b'{"error": "x"}', {}, None),
        (404, b"default backend - 404", {}, BackendUnavailable),
        (418, b"{}", {}, None),
        (401, b"{}", {}, BackendDenied),
        (200, b'{"code": 40001}', {}, BackendDenied),
        (200, b'{"code": 404}', {}, NotFound),
        (429, b"{}", {"Retry-After": "5"}, BackendThrottled),
        (503, b"{}", {"Retry-After": "5"}, BackendThrottled),
        (503, b"{}", {}, BackendUnavailable),
        (408, b"{}", {}, BackendUnavailable),
    ],
)
def test_response_to_a_python_lookup_is_judged_by_the_backends_rules(
    status: int, body: bytes, headers: dict[str, str], kind: type[NoAnswer] | None
) -> None:
    """Its author gets what serves the lookup, and no error that looks like an answer."""
    reading = mapping(RULED)
    response = Response(status, headers, body)
    if kind is None:
        assert not isinstance(judge(reading, response, NOW), Undecoded)
        return
    with pytest.raises(NoAnswer) as caught:
        judge(reading, response, NOW)
    assert type(caught.value) is kind
    assert getattr(caught.value, "pause", None) == (5.0 if kind is BackendThrottled else None)


def test_body_that_cannot_be_read_is_left_to_the_author() -> None:
    """It may be a text that was asked for."""
    assert isinstance(judge(mapping(RULED), Response(200, {}, b"<html>"), NOW), Undecoded)


def test_a_rule_sees_the_text_of_an_element_with_attributes() -> None:
    """Else an error that comes with one is taken for an answer."""
    declared = lookup('reply = "xml"\n' + rules('when = { "r.code" = "9" };is = "unavailable"'))
    body = b'<r><code xmlns:i="urn:i" i:type="int">9</code></r>'
    with pytest.raises(BackendUnavailable):
        meant(declared, 200, body, content_type="text/xml")
