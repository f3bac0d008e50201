"""The HTTP backend asks what the lookup says, as the CRM and other servers see it."""

import asyncio

import pytest
from aiohttp import web

from gateway.core.errors import Code, InvalidInput, LookupFailed
from gateway.crm.data import order, orders_of
from gateway.crm.server import Crm
from tests.asking import ORDER, backend, failure, only, sending, serving

POST = 'request = { path = "/orders/search", method = "POST", json = { customer = "{id}" } }\n'


async def test_a_healthy_backends_reply_becomes_variables(crm: Crm) -> None:
    """The way from an order number to what the user hears."""
    async with backend(crm.url, ORDER) as ask:
        variables = await ask(id="17")
    wanted = order(crm.seed, "17")
    assert wanted is not None
    assert variables == {"id": "17", "status": wanted.status, "total": str(wanted.total.amount)}


@pytest.mark.parametrize(
    "value", ["a/b", "a?b#c", "100%", "%2F", "x..", "Zoë 客 \U0001f600", " a+b&c=d;e ", '"\\\r\n\t']
)
async def test_an_input_reaches_the_backend_as_it_was_typed(value: str, crm: Crm) -> None:
    """The CRM repeats the id that it read: it must be the one that the user meant."""
    async with backend(crm.url, ORDER.replace("{id}", "{id:any}")) as ask:
        assert (await ask(id=value))["id"] == value
    assert crm.stats.report()["total"] == 1


async def test_a_json_body_is_posted(crm: Crm) -> None:
    """Searches take their question in the body, quotes and all."""
    lookup = POST + 'variables = { customer = "customer", count = "length(orders)" }'
    async with backend(crm.url, lookup) as ask:
        variables = await ask(id='4"2\n')
    found = orders_of(crm.seed, '4"2\n')
    assert found is not None
    assert variables == {"customer": '4"2\n', "count": str(len(found.orders))}
    assert _headers(crm, "/orders/search")["Content-Type"] == "application/json"


async def test_query_and_headers_arrive_decoded() -> None:
    """As another program reads them, not as this one wrote them."""
    seen: list[web.BaseRequest] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        seen.append(request)
        return web.json_response({"v": "1"})

    request = '{ path = "/a b/{x:any}", query = { q = "<{x}>" }, headers = { X-User = "{x}" } }'
    lookup = f'request = {request}\nvariables = {{ v = "v" }}'
    async with serving(handle) as url, backend(url + "/api/", lookup) as ask:
        assert await ask(x="é/&?") == {"v": "1"}
    assert seen[0].raw_path.partition("?")[0] == "/api/a%20b/%C3%A9%2F%26%3F"
    assert list(seen[0].query.items()) == [("q", "<é/&?>")]
    assert seen[0].headers["X-User"] == "%C3%A9/&?"
    assert seen[0].headers["Accept"] == "application/json"


CREDENTIALS = {
    "none": ("", None, None),
    "bearer": ('auth = { type = "bearer", token = "t0k" }', "Authorization", "Bearer t0k"),
    "basic": (
        'auth = { type = "basic", username = "Aladdin", password = "open sesame" }',
        "Authorization",
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
    ),
    "header": ('auth = { type = "header", name = "X-Api-Key", value = "k1" }', "X-Api-Key", "k1"),
}


@pytest.mark.parametrize("kind", CREDENTIALS)
async def test_the_declared_credentials_are_sent(kind: str, crm: Crm) -> None:
    """As the backend sees them in its own headers."""
    declared, name, value = CREDENTIALS[kind]
    async with backend(crm.url, ORDER, declared) as ask:
        await ask(id="1")
    headers = _headers(crm, "/orders/1")
    if name is None:
        assert not {"Authorization", "X-Api-Key", "Cookie"} & set(headers)
    else:
        assert headers[name] == value


def _headers(crm: Crm, path: str) -> dict[str, str]:
    report = crm.stats.report()["last_headers"]
    assert isinstance(report, dict)
    return dict(report[path])


@pytest.mark.parametrize("declared", ["Content-Type", "content-type"])
async def test_a_declared_content_type_wins(declared: str) -> None:
    """Some backends insist on a media type of their own; names of headers have no case."""
    seen: list[str] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        seen.extend(request.headers.getall("Content-Type"))
        return web.json_response({"v": 1})

    headers = f'request.headers = {{ {declared} = "application/vnd.api+json" }}\n'
    lookup = 'request.path = "/"\nrequest.method = "POST"\nrequest.json = {}\nvariables = { v = "v" }\n'
    async with serving(handle) as url, backend(url, lookup + headers) as ask:
        await ask()
    assert seen == ["application/vnd.api+json"]


async def test_a_cancelled_call_ends_and_leaves_the_backend_usable() -> None:
    """A worker that drains cancels; the next call must not get the other one's reply."""
    called = asyncio.Event()

    async def handle(request: web.BaseRequest) -> web.Response:
        if not called.is_set():
            called.set()
            await asyncio.get_running_loop().create_future()
        return web.json_response({"v": request.path})

    async with serving(handle) as url, backend(url) as ask:
        task = asyncio.ensure_future(ask())
        await called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await ask() == {"v": "/"}


async def test_cookies_are_not_kept() -> None:
    """A backend's session belongs to one user; the next call is another user's."""
    cookies: list[str | None] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.json_response({"v": "1"}, headers={"Set-Cookie": "session=ada; Path=/"})

    async with serving(handle) as url, backend(url) as ask:
        await ask()
        await ask()
    assert cookies == [None, None]


async def test_calls_in_turn_share_one_connection() -> None:
    """A TLS handshake for each lookup would cost more than the lookup."""
    connections: set[object] = set()

    async def handle(request: web.BaseRequest) -> web.Response:
        connections.add(request.transport)
        return web.json_response({"v": "1"})

    async with serving(handle) as url, backend(url) as ask:
        for _ in range(5):
            await ask()
    assert len(connections) == 1


async def test_calls_side_by_side_do_not_wait_for_one_another(crm: Crm) -> None:
    """The lane's concurrency is the only limit; a second one in the client would be a hidden queue."""
    crm.put(only("ok", 'latency = { fixed = "100ms" }'))
    async with backend(crm.url, ORDER) as ask:
        variables = await asyncio.gather(*(ask(id=str(number)) for number in range(150)))
    assert [one["id"] for one in variables] == [str(number) for number in range(150)]
    assert crm.stats.report()["max_in_flight"] == 150


async def test_a_connection_that_the_backend_closed_meanwhile_costs_nothing() -> None:
    """Servers drop idle connections without a word."""
    body = b'{"v": 1}'
    async with sending(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n" + body) as url, backend(url) as ask:
        for _ in range(3):
            assert await ask() == {"v": "1"}


async def test_inputs_that_would_climb_in_the_path_are_rejected_without_a_call(crm: Crm) -> None:
    """``/orders/..`` is another question, and not one that the author asked."""
    async with backend(crm.url, ORDER) as ask:
        error = await failure(ask(id=".."))
    assert (type(error), error.code, str(error)) == (InvalidInput, Code.INVALID_INPUT, "id")
    assert crm.stats.report()["total"] == 0


async def test_a_job_without_an_input_failed_before_it_was_asked(crm: Crm) -> None:
    """Gateway and worker run different configurations: the message says so, without a value."""
    async with backend(crm.url, ORDER) as ask:
        error = await failure(ask(other="5550123"))
    assert (type(error), error.code) == (LookupFailed, Code.LOOKUP_FAILED)
    assert "different configurations" in str(error)
    assert "5550123" not in str(error)
