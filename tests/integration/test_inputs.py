"""What a visitor types is asked for safely, or nobody is asked."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.declared.catalog import Catalog
from gateway.front.app import gateway
from tests.asking import serving
from tests.desk import Desk, Heard, Place
from workers.main import workers


class Echo:
    """A backend that notes what it is asked, and answers."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.asked: list[tuple[str, str, bytes]] = []

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Note and answer."""
        self.asked.append((request.raw_path.partition("?")[0], request.query_string, await request.read()))
        return web.json_response({"name": f"{len(self.asked)}"})


def declared(place: Place, url: str, lookup: dict[str, object]) -> Catalog:
    """Return a configuration with one lookup."""
    table = {"backend": "crm", "variables": {"name": "name"}, "fallback": {"name": "guest"}, **lookup}
    changes: dict[str, object] = {
        "backends.crm.url": url,
        "lookups": {"find": table},
        "routes": [{"lookups": ["find"]}],
    }
    return place.catalog(changes)


async def heard_of(
    place: Place, desk: Desk, lookup: dict[str, object], *calls: dict[str, str]
) -> tuple[list[Heard], list[tuple[str, str, bytes]], list[Any]]:
    """Return the replies to callbacks of one session, what the backend was asked, and the log."""
    echo = Echo()
    async with serving(echo.handle) as url:
        catalog = declared(place, url, lookup)
        async with gateway(catalog) as running, workers(catalog, catalog.lanes, grace=0):
            here = desk.at(running.callbacks)
            with capture_logs() as lines:
                heard = [await here.call(**variables) for variables in calls]
    return heard, echo.asked, lines


SOQL = "SELECT Name FROM Contact WHERE Phone = '{phone:soql}'"


@pytest.mark.parametrize(
    ("typed", "arrives"), [("x' OR Name != '", r"'x\' OR Name != \''"), ("O'Brien", r"'O\'Brien'")]
)
async def test_a_query_language_hears_a_value(typed: str, arrives: str, place: Place, desk: Desk) -> None:
    """Pasted, it would be a question of the visitor's own, with somebody else's name for an answer."""
    lookup: dict[str, object] = {"request": {"path": "/query", "query": {"q": SOQL}}}
    (heard,), asked, _ = await heard_of(place, desk, lookup, {"phone": typed})
    assert heard.code == 0
    assert dict(parse_qsl(asked[0][1])) == {"q": SOQL.replace("'{phone:soql}'", arrives)}


CLIMBERS = ["lin/orders", "lin/../../admin/secret", "..", "%2e%2e", "a\\b", "..;x=1", "a%2fb", "a\nb"]


@pytest.mark.parametrize("typed", CLIMBERS)
async def test_a_value_stays_in_its_segment_of_the_path(typed: str, place: Place, desk: Desk) -> None:
    """Nobody is asked; the reply and the log name the input, and nothing shows its value."""
    lookup: dict[str, object] = {"request": {"path": "/customers/{customerId}"}}
    (heard,), asked, lines = await heard_of(place, desk, lookup, {"customerId": typed})
    assert (heard.code, heard.variables, asked) == (Code.INVALID_INPUT, {"name": "guest"}, [])
    assert heard.envelope["ErrorInfo"] == "find: INVALID_INPUT (customerId), fallback"
    (line,) = [line for line in lines if line["event"] == "callback.answered"]
    assert line["lookups"]["find"]["input"] == "customerId"
    assert json.dumps(typed) not in json.dumps(lines, default=str)


async def test_a_path_lets_through_what_its_author_lets_through(place: Place, desk: Desk) -> None:
    """Encoded, as one segment."""
    lookup: dict[str, object] = {"request": {"path": "/files/{name:any}"}}
    (heard,), asked, _ = await heard_of(place, desk, lookup, {"name": "a/b"})
    assert (heard.code, asked[0][0]) == (0, "/files/a%2Fb")


async def test_kinds_reach_the_backend_as_json_values(place: Place, desk: Desk) -> None:
    """An API that wants 7, true and a list gets them; "7a" is no whole number, and is not asked for."""
    body = {"id": "{id:int}", "vip": "{vip:bool}", "tags": "{tags:json}", "sum": "{sum:number}"}
    lookup: dict[str, object] = {"request": {"path": "/", "method": "POST", "json": body}}
    good = {"id": "7", "vip": "true", "tags": '["a","b"]', "sum": "29.90"}
    heard, asked, _ = await heard_of(place, desk, lookup, good, good | {"id": "7a"})
    assert [one.code for one in heard] == [0, Code.INVALID_INPUT]
    assert [body for _, _, body in asked] == [b'{"id":7,"vip":true,"tags":["a","b"],"sum":29.90}']


async def test_graphql_is_asked_with_variables(place: Place, desk: Desk) -> None:
    """Doubled braces are braces."""
    query = "query($id: Int!) {{ customer(id: $id) {{ name }} }}"
    body = {"query": query, "variables": {"id": "{id:int}"}}
    lookup: dict[str, object] = {"request": {"path": "/graphql", "method": "POST", "json": body}}
    _, asked, _ = await heard_of(place, desk, lookup, {"id": "7"})
    assert json.loads(asked[0][2]) == {
        "query": "query($id: Int!) { customer(id: $id) { name } }",
        "variables": {"id": 7},
    }


async def test_an_optional_value_is_left_out(place: Place, desk: Desk) -> None:
    """The lookup is made with the phone number alone; without it, it is not."""
    lookup: dict[str, object] = {"request": {"path": "/", "query": {"phone": "{phone}", "email": "{email?}"}}}
    heard, asked, _ = await heard_of(
        place, desk, lookup, {"phone": "1"}, {"phone": "1", "email": "a@b"}, {"email": "a@b"}
    )
    assert [one.code for one in heard] == [0, 0, Code.MISSING_INPUT]
    assert [query for _, query, _ in asked] == ["phone=1", "phone=1&email=a@b"]


async def test_spellings_of_an_order_are_one_question(place: Place, desk: Desk) -> None:
    """Five spellings cost one call; what is no order's number costs none."""
    accept = {"orderId": {"trim": True, "fold": True, "match": "[0-9]{4,12}", "blank": ["null", "undefined"]}}
    lookup: dict[str, object] = {"request": {"path": "/orders/{orderId}"}, "accept": accept}
    spellings = ["12345", " 12345 ", "\uff11\uff12\uff13\uff14\uff15", "12345\n", "\u200b12345"]
    others = ["12345\u3002", "undefined", "null", "{orderId}"]
    heard, asked, _ = await heard_of(
        place, desk, lookup, *({"orderId": typed} for typed in (*spellings, *others))
    )
    assert [path for path, _, _ in asked] == ["/orders/12345"]
    assert [one.variables for one in heard[:5]] == [{"name": "1"}] * 5
    codes = [Code.INVALID_INPUT, Code.MISSING_INPUT, Code.MISSING_INPUT, Code.INVALID_INPUT]
    assert [one.code for one in heard[5:]] == codes
    assert [one.variables for one in heard[5:]] == [{"name": "guest"}] * 4


async def test_soap_and_forms_have_their_content_types(place: Place, desk: Desk) -> None:
    """A backend of the old days."""
    soap = {
        "path": "/soap",
        "method": "POST",
        "body": "<o id='{id}'/>",
        "content_type": "text/xml; charset=utf-8",
    }
    form = {"path": "/form", "method": "POST", "form": {"id": "{id}"}}
    lookups: list[dict[str, object]] = [{"request": soap}, {"request": form}]
    types: list[str] = []
    bodies: list[bytes] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        types.append(request.headers["Content-Type"])
        bodies.append(await request.read())
        return web.json_response({"name": "x"})

    for lookup in lookups:
        async with serving(handle) as url:
            catalog = declared(place, url, lookup)
            async with gateway(catalog) as running, workers(catalog, catalog.lanes, grace=0):
                await asyncio.gather(desk.at(running.callbacks).call(id="7'/><x"))
    assert types == ["text/xml; charset=utf-8", "application/x-www-form-urlencoded"]
    assert bodies == [b"<o id='7&apos;/&gt;&lt;x'/>", b"id=7%27%2F%3E%3Cx"]
