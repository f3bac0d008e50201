"""An element of an XML reply that an expression takes for a list is one, also if it stands there once."""

import jmespath
import pytest

from gateway.declared.catalog import compile_catalog, read
from gateway.declared.lists import lists_in
from gateway.lookups.answers import Response, interpret

ONE = "<orders><order><id>7</id><tag>vip</tag></order></orders>"
TWO = "<orders><order><id>7</id><tag>vip</tag></order><order><id>8</id></order></orders>"
LOOKUP = """
[backends.crm]
url = "http://crm"
[lookups.order]
backend = "crm"
request = { path = "/" }
reply = "xml"
not_found = { v = "none" }
"""


@pytest.mark.parametrize(
    ("expression", "lists"),
    [
        ("orders.order[0].id", ["orders.order"]),
        ("orders.order[-1:].id", ["orders.order"]),
        ("orders.order[].id", ["orders.order"]),
        ("orders.order[*].item[0].id", ["orders.order", "orders.order.item"]),
        ("orders.order[?state.line[0] == 'open'].id | [0]", ["orders.order", "orders.order.state.line"]),
        ("orders | order[0]", ["orders.order"]),
        ("{a: orders.order[0], b: @.orders.name}", ["orders.order"]),
        ("not_null(orders.order[0].id, orders.order.id)", ["orders.order"]),
        ("orders.order[0].id || 'none'", ["orders.order"]),
        ("sort_by(orders.order, &at)[-1].id", ["orders.order"]),
        (
            "max_by(orders.order, &to_number(line[0].n)).tag[0]",
            ["orders.order", "orders.order.line", "orders.order.tag"],
        ),
        ("map(&tag[0], orders.order)", ["orders.order", "orders.order.tag"]),
        ("join(', ', orders.name)", ["orders.name"]),
        ('"soap:Envelope"."soap:Body".order[0]."#text"', ["soap:Envelope.soap:Body.order"]),
        ("orders.order.id", []),
        ("length(orders.order)", []),
        ("to_array(orders.order)[0].id", []),
        ("orders.*.line[0]", []),
        ("orders[0].order.id", []),
        ("split(orders.name, ' ')[0]", []),
        ('orders.order."@id"[0]', []),
        ("orders.order[*].id | [0]", ["orders.order"]),
    ],
)
def test_lists_are_those_that_an_expression_can_only_mean_so(expression: str, lists: list[str]) -> None:
    """What it takes out of a list is none: the first of all ids is the text of one."""
    assert sorted(lists_in([jmespath.compile(expression).parsed])) == lists


@pytest.mark.parametrize("body", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("orders.order[0].id", "7"),
        ("orders.order[?tag == 'vip'].id | [0]", "7"),
        ("sort_by(orders.order, &id)[0].id", "7"),
        ("orders.order[0].id || orders.order.id", "7"),
        ("to_array(orders.order)[0].id", "7"),
        ("orders.order[*].tag[0] | [0]", "vip"),
    ],
)
def test_one_order_is_found_as_two_are(body: str, expression: str, value: str) -> None:
    """A customer with a single one was told that there is none."""
    text = f'{LOOKUP}variables = {{ v = "{expression}" }}'
    lookup = compile_catalog(*read(text, {})).lookups["order"]
    assert interpret(lookup, Response(200, {}, body.encode()), 0.0).variables == {"v": value}


def test_list_of_a_rule_is_one_for_expressions_too() -> None:
    """Rules and variables read the same reply; and what is JSON is as it is."""
    rule = """variables = { v = "orders.order" }
[[lookups.order.answers]]
when = "orders.order[?id == '9']"
is = "bad"
"""
    texts = [LOOKUP + rule, LOOKUP.replace("xml", "json") + rule]
    lists = [compile_catalog(*read(text, {})).lookups["order"].force_list for text in texts]
    assert lists == [{"orders.order"}, frozenset()]
