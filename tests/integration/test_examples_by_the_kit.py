"""Mappings of the examples, tested as a user tests their own: three lines each."""

from pathlib import Path

import pytest

from gateway.core.errors import Code
from gateway.testing import Clock, Desk, Reply, ScriptedBackend
from tests.desk import ROOT


def example(name: str) -> Path:
    """Return the configuration of an example."""
    return ROOT / "examples" / name / "deskgate.toml"


def test_zendesk_gives_the_latest_ticket_in_local_time() -> None:
    """The search language gets one word, whatever a visitor types."""
    ticket = {"id": 35436, "status": "open", "updated_at": "2026-11-26T16:05:00Z"}
    zendesk = ScriptedBackend(json={"results": [ticket]})
    reply = Desk(example("zendesk"), zendesk=zendesk).call(email=" Lin@Example.com ")
    assert reply.variables["ticket_updated"] == "27.11.2026 00:05"
    assert zendesk.requests[0].query["query"] == "type:ticket requester:Lin@Example.com"
    assert (
        Desk(example("zendesk"), zendesk=zendesk).call(email="a@b.c status:open").code == Code.INVALID_INPUT
    )


def test_hubspot_finds_nobody() -> None:
    """An empty list of results is an answer."""
    hubspot = ScriptedBackend(json={"total": 0, "results": []})
    reply = Desk(example("hubspot"), hubspot=hubspot).call(email="nobody@example.com")
    assert (reply.code, reply.variables) == (0, {"customer_name": "guest", "customer_stage": ""})
    assert hubspot.requests[0].json()["filterGroups"][0]["filters"][0]["value"] == "nobody@example.com"


FAULT = """<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault>
<faultcode>soap:Client</faultcode></soap:Fault></soap:Body></soap:Envelope>"""


def test_soap_tells_a_fault_of_ours_from_one_of_theirs() -> None:
    """The first is not worth another attempt."""
    soap = ScriptedBackend(Reply(status=500, body=FAULT), Reply(status=500, body="<html>"))
    desk = Desk(example("soap"), soap=soap)
    assert desk.call(orderId="<7>").code == Code.BACKEND_REJECTED
    assert b"<m:Id>&lt;7&gt;</m:Id>" in soap.requests[0].body
    assert desk.call(orderId="8").code == Code.BACKEND_UNAVAILABLE


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([{"extensions": {"code": "THROTTLED"}}], Code.BACKEND_THROTTLED),
        ([{"message": "Field 'x' doesn't exist"}], Code.BACKEND_REJECTED),
    ],
)
def test_shopify_says_errors_with_status_200(errors: list[object], code: Code) -> None:
    """They replace no last known answer."""
    order = {
        "displayFulfillmentStatus": "FULFILLED",
        "createdAt": "2026-11-26T16:05:00Z",
        "totalPriceSet": None,
    }
    good = Reply(json={"data": {"orders": {"nodes": [order]}}})
    clock = Clock()
    desk = Desk(
        example("shopify"), shopify=ScriptedBackend(good, Reply(json={"errors": errors})), clock=clock
    )
    assert desk.call(orderName="#1001").variables["order_date"] == "26.11.2026"
    clock.advance("2m")
    reply = desk.call(orderName="#1001")
    assert (reply.code, reply.variables["order_status"]) == (code, "FULFILLED")


def test_postgresql_without_orders_has_none() -> None:
    """No row is an answer there."""
    warehouse = ScriptedBackend(
        Reply(rows=[{"name": "Lin", "tier": None, "since": "2024-02-29"}]), Reply(rows=[])
    )
    reply = Desk(example("postgresql"), warehouse=warehouse).call()
    assert reply.variables["customer_since"] == "2024"
    assert (reply.code, reply.variables["order_count"], reply.variables["last_order"]) == (0, "0", "")
