"""Python lookups that ask declared backends: under their credentials and policies, in lanes of their own."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from gateway.core.errors import Code
from gateway.core.messages import Answer, Job
from gateway.declared.catalog import compile_catalog, read
from gateway.front.app import gateway
from gateway.lookups.build import open_backend
from gateway.resilience.board import Board
from tests.asking import serving
from tests.desk import Desk, Place
from workers.main import workers

MODULE = """
import asyncio, time
from gateway.lookup import Ask, NotFound

async def two_steps(ask: Ask):
    crm = ask.backend("crm")
    found = await crm.get("/find", query={"user": "a b"})
    if found.status == 404:
        raise NotFound
    posted = await crm.post("/orders", json={"id": found.json()["id"]}, headers={"X-A": "1"})
    return {"risk": posted.json()["risk"], "text": posted.text()[:1]}

async def astray(ask: Ask):
    await ask.backend("crm").get("no-slash")

async def climb(ask: Ask):
    await ask.backend("crm").get("/customers/../orders")

async def inject(ask: Ask):
    await ask.backend("crm").get("/customers/{id}", places={"id": "../orders"})

async def null(ask: Ask):
    await ask.backend("crm").get("/customers/{id}", places={"id": None})

async def nothing(ask: Ask):
    await ask.backend("crm").get("/customers", query={"phone": None})

async def shapeless(ask: Ask):
    await ask.backend("crm").get("/customers", query={"phone": object()})

async def pass_on(ask: Ask):
    crm = ask.backend("crm")
    total = (await crm.get("/total")).json()["total"]
    heard = await crm.post("/{total}", places={"total": total}, query={"of": total}, json={"total": total})
    return {"risk": "heard"}

async def unplaced(ask: Ask):
    await ask.backend("crm").get("/customers/{id}")

async def words(ask: Ask):
    said = await ask.backend("crm").get("/customers/{id}", places={"id": 7})
    return {"risk": [said.json()["name"], said.text()[:1], said.json()["total"]]}

async def page(ask: Ask):
    said = await ask.backend("crm").get("/page")
    return {"risk": said.text() if ask.options else said.json()}

async def many(ask: Ask):
    crm = ask.backend("crm")
    heard = await asyncio.gather(*(crm.get("/x") for _ in range(9)), return_exceptions=True)
    return {"risk": str(sum(isinstance(one, Exception) for one in heard))}

async def wrong(ask: Ask):
    await ask.backend("crm").post("/x", json=object())

def block(ask: Ask):
    time.sleep(ask.options["seconds"])
    return {"risk": "late"}
"""
CONFIG = """
[backends.crm]
url = "{url}"
idle_before_reuse = "0s"
concurrency = 2
auth = {{ type = "bearer", token = "t0k" }}

[[backends.crm.answers]]
when = {{ errcode = 40001 }}
is = "unauthorized"

[lookups.risk]
python = "{module}:{function}"
variables = {{ risk = "risk" }}
not_found = {{ risk = "none" }}
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of a user's own."""
    name = f"user_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


async def asked(url: str, module: str, function: str) -> Answer:
    """Return the variables of a lookup, or why there are none."""
    catalog = compile_catalog(*read(CONFIG.format(url=url, module=module, function=function), {}))
    backend = open_backend(catalog, "python", Board(), bulkhead=False)
    await backend.start()
    lookup = catalog.lookups["risk"]
    job = Job("risk", {}, 1, "s1", "r", "t1", version=lookup.version)
    try:
        return (await backend.ask(job, "j", 5.0)).answer
    finally:
        await backend.close()


async def test_lookup_asks_a_backend_under_its_credentials_and_retries(module: str) -> None:
    """The author writes what to ask; the rest is declared."""
    seen: list[tuple[str, str, str]] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        seen.append((str(request.rel_url), request.headers["Authorization"], await request.text()))
        if len(seen) == 1:
            return web.json_response({}, status=503)
        return web.json_response({"id": 7, "risk": "high"})

    async with serving(handle) as url:
        answer = await asked(url, module, "two_steps")
    assert answer.variables == {"risk": "high"}
    assert seen == [
        ("/find?user=a%20b", "Bearer t0k", ""),
        ("/find?user=a%20b", "Bearer t0k", ""),
        ("/orders", "Bearer t0k", '{"id":7}'),
    ]


@pytest.mark.parametrize(
    ("status", "code", "info"),
    [
        (404, Code.OK, ""),
        (500, Code.BACKEND_UNAVAILABLE, "the backend answered 500"),
        (401, Code.BACKEND_DENIED, "the backend answered 401"),
        (429, Code.BACKEND_THROTTLED, "the backend answered 429"),
    ],
)
async def test_response_that_serves_nobody_is_the_answer(
    module: str, status: int, code: Code, info: str
) -> None:
    """An author need not look for it."""

    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({}, status=status)

    async with serving(handle) as url:
        answer = await asked(url, module, "two_steps")
    assert (answer.code, answer.info) == (code, info)


async def test_request_that_cannot_be_sent_says_why(module: str) -> None:
    """To its author."""
    for function, info in {
        "astray": "a path begins with '/'",
        "climb": "no '?', '#', '.' or '..'",
        "unplaced": "a place without a value",
        "wrong": "the body is no JSON",
        "shapeless": "phone is no value that can be sent",
    }.items():
        answer = await asked("http://127.0.0.1:1", module, function)
        assert answer.code is Code.LOOKUP_FAILED
        assert info in answer.info
    for function in ("inject", "null", "nothing"):
        assert (await asked("http://127.0.0.1:1", module, function)).code is Code.INVALID_INPUT


async def test_number_of_a_reply_is_sent_with_its_digits(module: str) -> None:
    """To another backend, or to the same one, in whatever part of a request."""
    seen: list[tuple[str, str]] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        seen.append((str(request.rel_url), await request.text()))
        return web.Response(body=b'{"total":19999999999999999.90}', content_type="application/json")

    async with serving(handle) as url:
        assert (await asked(url, module, "pass_on")).code is Code.OK
    number = "19999999999999999.90"
    assert seen[1] == (f"/{number}?of={number}", f'{{"total":{number}}}')


async def test_response_is_read_as_the_backend_writes_it(module: str) -> None:
    """Its charset, and its digits; by the rules of the backend, an error in a 200 is no answer."""
    body = '{"name": "石一", "total": 29.90}'.encode("gbk")

    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Type": "application/json; charset=GBK"})

    async with serving(handle) as url:
        assert (await asked(url, module, "words")).variables == {"risk": '["石一","{",29.90]'}
        body = b'{"errcode": 40001}'
        assert (await asked(url, module, "words")).code is Code.BACKEND_DENIED
        body = b"<html>hello</html>"
        assert (await asked(url, module, "page")).code is Code.BAD_BACKEND_REPLY


async def test_backend_hears_no_more_calls_at_a_time_than_its_concurrency(module: str) -> None:
    """A lookup that asks for nine things at once is refused some."""
    ready = asyncio.Event()
    under_way = most = 0

    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 2:
            ready.set()
        await ready.wait()
        under_way -= 1
        return web.json_response({})

    async with serving(handle) as url:
        answer = await asked(url, module, "many")
    assert (answer.variables, most) == ({"risk": "7"}, 2)


async def test_lookup_that_blocks_fills_its_own_lane_alone(module: str, place: Place, desk: Desk) -> None:
    """Its threads are its own, and so are its slots."""
    changes: dict[str, object] = {
        "backends.slow": {"kind": "python", "concurrency": 2, "attempt_timeout": "300ms"},
        "lookups.block": {
            "backend": "slow",
            "python": f"{module}:block",
            "options": {"seconds": 1.0},
            "variables": {"risk": "risk"},
            "fresh": "0s",
        },
    }
    config = place.config(changes, budget="600ms")
    route = '[[routes]]\nwhen = { node = "block" }\nlookups = ["block"]\n'
    config = config.replace("[[routes]]", f"{route}[[routes]]", 1)
    catalog = compile_catalog(*read(config, place.environ))
    async with gateway(catalog) as running, workers(catalog, catalog.lanes, grace=0):
        here = desk.at(running.callbacks)
        blocked = [asyncio.create_task(here.call(f"b{n}", node="block")) for n in range(6)]
        heard = [await here.call(f"s{n}", node="order", orderId=str(n)) for n in range(5)]
        codes = {(await one).code for one in blocked}
    assert [one.code for one in heard] == [0] * 5
    assert codes <= {Code.TIMEOUT, Code.OVERLOADED}
