"""The CRM knows everybody, and always tells the same about them."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.crm import data
from gateway.crm.api import answer

seeds = st.integers(0, 2**53)
ids = st.text(min_size=1, max_size=30).filter(lambda text: not text.startswith("missing"))


@given(seeds, ids)
def test_every_id_has_an_order_that_repeats_its_id(seed: int, order_id: str) -> None:
    """A test tells from the reply whose data it got."""
    order = data.order(seed, order_id)
    assert order is not None
    assert order.id == order_id
    assert order.status in {"packed", "shipped", "delivered", "cancelled"}
    assert order.total.amount > 0
    assert order.items
    assert order == data.order(seed, order_id)


@given(seeds, ids)
def test_a_customers_open_orders_are_those_that_the_search_finds(seed: int, customer_id: str) -> None:
    """Two lookups about one customer agree."""
    customer, orders = data.customer(seed, customer_id), data.orders_of(seed, customer_id)
    assert customer is not None
    assert orders is not None
    assert (customer.id, orders.customer) == (customer_id, customer_id)
    assert customer.open_orders == sum(order.status in {"packed", "shipped"} for order in orders.orders)
    assert all(order == data.order(seed, order.id) for order in orders.orders)


def test_the_data_of_a_seed_never_changes() -> None:
    """Expectations written down elsewhere, examples in documents among them, stay true."""
    assert msgspec.to_builtins(data.customer(7, "3")) == {
        "id": "3",
        "name": "Fatima Eze",
        "tier": "bronze",
        "phone": "+15554605017",
        "open_orders": 1,
    }
    assert msgspec.to_builtins(data.order(7, "42")) == {
        "id": "42",
        "status": "cancelled",
        "total": {"amount": 241.88, "currency": "USD"},
        "eta_days": 0,
        "items": [{"name": "lamp", "quantity": 1}],
    }


def test_seeds_and_ids_make_a_difference() -> None:
    """Data that were the same for all would hide answers that went to the wrong session."""
    assert len({str(data.customer(7, str(n))) for n in range(200)}) == 200
    assert data.customer(7, "42") != data.customer(8, "42")


def test_the_documented_sample_comes_from_the_profile() -> None:
    """The platform's sample reply has ``value1`` and the number ten, for every user."""
    status, content = answer(7, "GET", "/profile/user517", b"")
    assert (status, content) == (200, {"user": "user517", "testKey1": "value1", "testKey3": 10})


@given(seeds, st.sampled_from(["GET", "POST", "PUT"]), st.text(max_size=20).map("/".__add__), st.binary())
def test_any_call_gets_an_answer_that_json_can_say(seed: int, method: str, path: str, body: bytes) -> None:
    """The healthy CRM has no accidents of its own: every fault is one that the script asked for."""
    status, content = answer(seed, method, path, body)
    assert status in {200, 400, 404, 405}
    assert msgspec.json.decode(msgspec.json.encode(content))


@given(st.binary())
def test_a_search_without_a_customer_is_a_bad_request(body: bytes) -> None:
    """A lookup with a wrong body is rejected, as a real CRM would."""
    assert answer(7, "POST", "/orders/search", body)[0] == 400
