"""The CRM's customers and orders, invented from the seed.

Every id has an answer, and the answer is a function of seed and id. So a test can make the answer that it
expects. Each answer repeats its id.
"""

from hashlib import blake2b

from msgspec import Struct

_TIERS = ("gold", "silver", "bronze")
_STATUSES = ("packed", "shipped", "delivered", "cancelled")
_OPEN = {"packed", "shipped"}
_CURRENCIES = ("EUR", "USD", "GBP")
_FIRST_NAMES = ("Ada", "Bo", "Chidi", "Dana", "Emre", "Fatima", "Goran", "Hana", "Ines", "Jun", "Kofi", "Lin")
_LAST_NAMES = ("Abe", "Brandt", "Costa", "Diaz", "Eze", "Fischer", "Garcia", "Haddad", "Ito", "Jensen")
_GOODS = ("lamp", "desk", "chair", "kettle", "router", "headset", "backpack", "notebook")
_MOST_ORDERS = 4


class Money(Struct, frozen=True):
    """An amount in units of its currency, not in cents."""

    amount: float
    currency: str


class Item(Struct, frozen=True):
    """One line of an order."""

    name: str
    quantity: int


class Order(Struct, frozen=True):
    """An order; ``status`` is packed, shipped, delivered or cancelled."""

    id: str
    status: str
    total: Money
    eta_days: int
    items: list[Item]


class Customer(Struct, frozen=True):
    """A customer; ``tier`` is gold, silver or bronze; ``open_orders`` counts those packed or shipped."""

    id: str
    name: str
    tier: str
    phone: str
    open_orders: int


class Orders(Struct, frozen=True):
    """The orders of a customer."""

    customer: str
    orders: list[Order]


def customer(seed: int, customer_id: str) -> Customer | None:
    """Return the customer, or None when the id begins with ``missing``."""
    found = orders_of(seed, customer_id)
    if found is None:
        return None
    lot = _lot(seed, "customer", customer_id)
    return Customer(
        id=customer_id,
        name=f"{_pick(_FIRST_NAMES, lot[0])} {_pick(_LAST_NAMES, lot[1])}",
        tier=_pick(_TIERS, lot[2]),
        phone=f"+1555{int.from_bytes(lot[3:7]) % 10_000_000:07}",
        open_orders=sum(order.status in _OPEN for order in found.orders),
    )


def order(seed: int, order_id: str) -> Order | None:
    """Return the order, or None when the id begins with ``missing``."""
    if order_id.startswith("missing"):
        return None
    lot = _lot(seed, "order", order_id)
    status = _pick(_STATUSES, lot[0])
    return Order(
        id=order_id,
        status=status,
        total=Money((500 + int.from_bytes(lot[1:3])) / 100, _pick(_CURRENCIES, lot[3])),
        eta_days=1 + lot[4] % 9 if status in _OPEN else 0,
        items=[Item(_pick(_GOODS, byte), 1 + byte % 3) for byte in lot[6 : 7 + lot[5] % 3]],
    )


def orders_of(seed: int, customer_id: str) -> Orders | None:
    """Return a customer's orders, up to four; None when the id begins with ``missing``."""
    if customer_id.startswith("missing"):
        return None
    count = _lot(seed, "orders", customer_id)[0] % (_MOST_ORDERS + 1)
    made = (order(seed, f"{customer_id}-{number}") for number in range(1, count + 1))
    return Orders(customer_id, [one for one in made if one is not None])


def profile(user: str) -> dict[str, object]:
    """Return the variables of the platform's documented sample, the same for every user."""
    return {"user": user, "testKey1": "value1", "testKey3": 10}


def _lot(seed: int, kind: str, thing_id: str) -> bytes:
    """Return 16 bytes to choose by."""
    return blake2b(f"{seed}:{kind}:{thing_id}".encode(), digest_size=16).digest()


def _pick(choices: tuple[str, ...], byte: int) -> str:
    return choices[byte % len(choices)]
