"""A judged reply shows each step, and its verdict is a worker's."""

import jmespath
import pytest

from gateway.core.errors import Code, NoAnswer
from gateway.declared.answers import AnswerTable, compile_answers
from gateway.declared.lookup import Lookup
from gateway.lookups.answers import Response, Undecoded, interpret
from gateway.lookups.judged import (
    Given,
    explain_null,
    judge_missing,
    judge_response,
    judge_rows,
    judge_value,
)

ORDER = b'{"status": "shipped", "total": {"amount": 19.90}, "items": [{"sku": null}], "note": null}'


def lookup(rules: tuple[AnswerTable, ...] = (), **variables: str) -> Lookup:
    """Return a lookup that sets these variables, and knows of missing things."""
    parsed = {name: jmespath.compile(text) for name, text in variables.items()}
    compiled = compile_answers("lookups.order.answers", rules, [])
    return Lookup("order", "crm", "v1", (), parsed, rules=compiled, not_found={"status": "none"})


def response(body: bytes = ORDER, status: int = 200) -> Response:
    """Return a response of JSON."""
    return Response(status, {"Content-Type": "application/json"}, body)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("order.status", "the reply has no `order`; it has status, total, items, note"),
        ("total.amont", "`total` has no `amont`; did you mean `amount`?"),
        ("Status", "the reply has no `Status`; did you mean `status`?"),
        ("TOTAL.amount", "the reply has no `TOTAL`; did you mean `total`?"),
        ("items.sku", "`items` is a list, and has no fields: write `[0]` before the field, or a projection"),
        ("items[0].sku", "`sku` of `items[0]` is null"),
        ("items[3]", "`items` has 1 entries, and no [3]"),
        ("items[0].sku.deep", "`sku` of `items[0]` is null"),
        ("note", "`note` of the reply is null"),
        ("status[0]", "`status` is a text, and has no [0]"),
        ("status.name", "`status` is a text, and has no fields"),
        ("total.amount.cents", "`total.amount` is a number, and has no fields"),
        ("[0].status", "the reply is an object, and has no [0]"),
        ("note || nothing", ""),
        ("items[?sku == 'x'] | [0]", ""),
    ],
)
def test_a_null_says_where_the_path_breaks_off(expression: str, why: str) -> None:
    """An author sees the slip, not a null."""
    judged = judge_response(lookup(wanted=expression, status="status"), response(), 0.0)
    assert judged.expressions["wanted"] == Given(expression, None, why)
    assert judged.code == Code.OK
    assert judged.variables == {"wanted": "", "status": "shipped"}
    assert judged.rule == "built in"


@pytest.mark.parametrize(
    ("value", "expression", "why"),
    [
        (None, "a", "the reply is null, and has no fields"),
        (True, "a", "the reply is a truth value, and has no fields"),
        ([None], "[0]", "[0] of the reply is null"),
        ({}, "a", "the reply has no `a`"),
        ([[{"a": 1}]], "[0][0].b", "`[0][0]` has no `b`; it has a"),
        ({"a": {"b": [7]}}, "a.b[1]", "`a.b` has 1 entries, and no [1]"),
        ({"a": {"b": 1}}, "@.a.c", "`a` has no `c`; it has b"),
        ({"a": {"b": 1}}, "(a || x).c", ""),
    ],
)
def test_every_kind_of_reply_is_named(value: object, expression: str, why: str) -> None:
    """Lists, texts and nulls come where objects are expected."""
    assert explain_null(jmespath.compile(expression).parsed, value) == why


def test_an_expression_that_fails_says_why() -> None:
    """Its variable goes out empty; the others do not suffer."""
    judged = judge_response(lookup(count="sum(items)", status="status"), response(), 0.0)
    assert judged.expressions["count"].value is None
    assert judged.expressions["count"].why.startswith("fails: In function sum()")
    assert judged.expressions["status"] == Given("status", "shipped")
    assert judged.variables == {"count": "", "status": "shipped"}


def test_the_rule_that_matched_is_named() -> None:
    """Which of ten rules it was is the first question."""
    rules = (
        AnswerTable(means="rejected", status=400),
        AnswerTable(means="unavailable", when={"status": "*"}),
    )
    judged = judge_response(lookup(rules, status="status"), response(), 0.0)
    assert judged.rule == "lookups.order.answers[1]"
    assert judged.code == Code.BACKEND_UNAVAILABLE
    assert judged.reason == "lookups.order.answers[1]: unavailable (200)"
    assert judged.variables is None
    assert judged.expressions["status"].value == "shipped"


def test_a_missing_thing_is_found_to_be_missing() -> None:
    """The variables of `not_found` go out with code 0, and are told from an answer."""
    judged = judge_response(lookup(status="status"), response(b"{}", 404), 0.0)
    assert (judged.code, judged.found, judged.variables) == (Code.OK, False, {"status": "none"})
    assert judge_missing(lookup(status="status"), "nothing").variables == {"status": "none"}
    assert judge_rows(lookup(status="status"), None).found is False


def test_values_and_rows_are_judged_as_lookups_in_python_and_sql_are() -> None:
    """They come without a status."""
    declared = lookup(status="status", count="length(@)")
    assert judge_value(declared, {"status": "gold"}).variables == {"status": "gold", "count": "1"}
    assert judge_rows(declared, {"status": None}).code == Code.OK
    assert judge_rows(declared, [{"status": "a"}]).expressions["status"].why.startswith("the reply is a list")


def test_a_body_that_cannot_be_read_has_no_expressions() -> None:
    """There is nothing that they could be asked on."""
    judged = judge_response(lookup(status="status"), response(b"<html>"), 0.0)
    assert isinstance(judged.value, Undecoded)
    assert (judged.code, judged.expressions) == (Code.BAD_BACKEND_REPLY, {})


@pytest.mark.parametrize("status", [200, 204, 302, 401, 404, 429, 500, 503])
@pytest.mark.parametrize("body", [ORDER, b"", b"{}", b"[]", b"nonsense", b"null"])
def test_the_verdict_is_a_workers(status: int, body: bytes) -> None:
    """What `deskgate try` says is what callbacks get."""
    declared = lookup((AnswerTable(means="throttled", status=500),), status="status")
    judged = judge_response(declared, response(body, status), 0.0)
    expected: tuple[object, ...]
    try:
        finding = interpret(declared, response(body, status), 0.0)
        expected = Code.OK, "", finding.variables, finding.found
    except NoAnswer as error:
        expected = error.code, str(error), None, True
    assert (judged.code, judged.reason, judged.variables, judged.found) == expected
