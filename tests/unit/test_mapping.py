"""The variables that a lookup reads out of a backend's reply."""

import math
from dataclasses import replace

import jmespath
import pytest

from gateway.declared.lookup import Lookup
from gateway.lookups.decoding import decode
from gateway.lookups.reply import Mapped, map_not_found, map_reply

ORDER = {
    "id": 7,
    "status": "shipped",
    "total": {"amount": 19.9},
    "items": [{"name": "lamp"}, {"name": "desk"}],
}


def lookup(
    required: tuple[str, ...] = (), not_found: dict[str, str] | None = None, **variables: str
) -> Lookup:
    """Return a lookup that sets ``variables`` by their expressions."""
    expressions = {name: jmespath.compile(text) for name, text in variables.items()}
    return Lookup("order", "crm", "v1", (), expressions, required=frozenset(required), not_found=not_found)


def test_every_variable_is_read_by_its_expression() -> None:
    """Renaming and reaching into a reply is what the configuration is for."""
    declared = lookup(
        status="status",
        total="total.amount",
        first="items[0].name",
        names="items[].name",
        more="length(items)",
    )
    assert map_reply(declared, ORDER).variables == {
        "status": "shipped",
        "total": "19.9",
        "first": "lamp",
        "names": '["lamp","desk"]',
        "more": "2",
    }


@pytest.mark.parametrize("nothing", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_null(nothing: float) -> None:
    """A Python lookup that reads a table finds NaN where nothing is: ``required`` must not let it pass."""
    declared = lookup(status="status", total="total")
    assert map_reply(declared, {"status": "", "total": nothing}) == (
        {"status": "", "total": ""},
        ("total",),
        (),
    )


def test_an_element_with_attributes_is_its_text() -> None:
    """Some services write ``xsi:type`` now and then; a visitor was told ``{"@i:type":"s","#text":"Ann"}``."""
    body = b"""<order><name xmlns:i="urn:i" i:type="s">Ann</name><total currency="EUR">10</total>
        <item n="1">lamp</item><item>desk</item><note lang="en">for <b>you</b></note></order>"""
    declared = lookup(
        name="order.name",
        total="order.total",
        currency='order.total."@currency"',
        written='order.total."#text"',
        items="order.item[]",
        note="order.note",
    )
    reply = decode(replace(declared, reply="xml"), body, "text/xml")
    assert map_reply(declared, reply).variables == {
        "name": "Ann",
        "total": "10",
        "currency": "EUR",
        "written": "10",
        "items": '["lamp","desk"]',
        "note": '{"@lang":"en","b":"you","#text":"for"}',
    }


@pytest.mark.parametrize("reply", [{}, [], "text", 7, None, True, {"status": None}, {"Status": "x"}])
def test_a_variable_that_is_missing_or_null_is_empty_and_named(reply: object) -> None:
    """Every variable of the lookup is always set, so none keeps a value of an earlier reply."""
    assert map_reply(lookup(status="status", note="'x'"), reply) == Mapped(
        {"status": "", "note": "x"}, nulls=("status",)
    )


@pytest.mark.parametrize("value", ["", 0, False, [], {}])
def test_an_empty_value_is_a_value(value: object) -> None:
    """Zero open orders is an answer."""
    assert map_reply(lookup(status="status"), {"status": value}).nulls == ()


@pytest.mark.parametrize(
    ("expression", "reply"),
    [
        ("join(',', items)", {"items": [1, 2]}),
        ("length(total)", {"total": 7}),
        ("sort(items)", {"items": [1, "a"]}),
        ("max_by(items, &n)", {"items": [{"n": 1}, {"n": "x"}]}),
        ("ceil(to_number(n))", {"n": "inf"}),
        ("ceil(to_number(n))", {"n": "nan"}),
        ("sum(items)", {"items": ["secret-value"]}),
    ],
)
def test_an_expression_that_fails_on_the_reply_spoils_its_own_variable(
    expression: str, reply: object
) -> None:
    """The backend changed one type. Its other values are as good as before."""
    mapped = map_reply(lookup(total=expression, whole="type(@)"), reply)
    assert mapped == Mapped({"total": "", "whole": "object"}, failed=("total",))


def nested(depth: int) -> object:
    """Return a list in a list in a list."""
    reply: object = 1
    for _ in range(depth):
        reply = [reply]
    return reply


@pytest.mark.parametrize(
    ("expression", "reply"), [("&total", ORDER), ("@", nested(5000))], ids=["no value", "deep"]
)
def test_a_value_that_has_no_text_spoils_its_own_variable(expression: str, reply: object) -> None:
    """Another exception would be logged as a bug of ours."""
    mapped = map_reply(lookup(total=expression, kind="type(@)"), reply)
    assert (mapped.variables["total"], mapped.failed) == ("", ("total",))
    assert mapped.variables["kind"]


def test_a_reply_that_only_just_decodes_never_crashes_the_mapping() -> None:
    """Decoding and mapping share one stack: a depth that the one takes may be too much for the other."""
    assert map_reply(lookup(total="to_string(@)"), nested(5000)).failed == ("total",)


@pytest.mark.parametrize("value", ["\ud800", ["\ud800"], {"\udcff": 1}])
def test_text_that_no_encoding_has_spoils_its_own_variable(value: object) -> None:
    """A file name read with ``surrogateescape`` must not stop the whole answer from being sent."""
    mapped = map_reply(lookup(total="total", more="more"), {"total": value, "more": "x"})
    assert mapped == Mapped({"total": "", "more": "x"}, failed=("total",))


def test_not_found_sets_every_variable() -> None:
    """*No such order* must not leave the total of another one standing."""
    declared = lookup(not_found={"status": "none"}, status="status", total="total.amount")
    assert map_not_found(declared) == {"status": "none", "total": ""}


def test_an_empty_not_found_is_an_answer_too() -> None:
    """``not_found = {}`` says: nothing there, all empty; only its absence says: a failure."""
    assert map_not_found(lookup(not_found={}, status="status")) == {"status": ""}
