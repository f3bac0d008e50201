"""The answers of a healthy CRM: method, path and body give status and content. Pure.

========================  =======================================  =========================
``GET /customers/{id}``   a :class:`~gateway.crm.data.Customer`    404: id begins ``missing``
``GET /orders/{id}``      an :class:`~gateway.crm.data.Order`      404: id begins ``missing``
``POST /orders/search``   :class:`~gateway.crm.data.Orders`, for   404: id begins ``missing``,
                          the body ``{"customer": id}``            400: another body
``GET /profile/{user}``   the documented sample's variables
========================  =======================================  =========================

With ``?as_of`` in the query, the answer has a field ``as_of``: the time it was given, Unix time in seconds.
"""

import msgspec
from msgspec import DecodeError, Struct

from gateway.crm import data

Answer = tuple[int, object]
"""An HTTP status and what to encode as JSON."""


class _Search(Struct):
    customer: str


def answer(seed: int, method: str, path: str, body: bytes) -> Answer:
    """Return the answer to one call; ``path`` is decoded and without its query."""
    match method, path.split("/", 2):
        case "POST", ["", "orders", "search"]:
            return _search(seed, body)
        case "GET", ["", "customers", str(found_id)] if found_id:
            return _found(data.customer(seed, found_id), found_id)
        case "GET", ["", "orders", str(found_id)] if found_id:
            return _found(data.order(seed, found_id), found_id)
        case "GET", ["", "profile", str(user)] if user:
            return 200, data.profile(user)
        case "GET" | "POST", _:
            return 404, {"error": "no such page", "path": path}
    return 405, {"error": "GET and POST alone", "path": path}


def stamp(answer: Answer, now: float) -> Answer:
    """Return ``answer`` with ``now`` in it, so that the age of a copy can be known."""
    status, content = answer
    return status, {**msgspec.to_builtins(content), "as_of": now}


def _search(seed: int, body: bytes) -> Answer:
    try:
        search = msgspec.json.decode(body, type=_Search)
    except (DecodeError, UnicodeDecodeError) as error:
        return 400, {"error": str(error)}
    return _found(data.orders_of(seed, search.customer), search.customer)


def _found(thing: object | None, found_id: str) -> Answer:
    return (404, {"error": "not found", "id": found_id}) if thing is None else (200, thing)
