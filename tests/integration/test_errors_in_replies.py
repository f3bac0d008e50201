"""No error of a backend becomes an answer or a record, by any door: it would be told for a day."""

import asyncio
import gzip
import json
import signal
from dataclasses import dataclass, field
from email.utils import formatdate
from time import time
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.declared.catalog import Catalog
from gateway.front.app import gateway
from gateway.tools.processes import Valkey
from tests.asking import serving
from tests.desk import APP, Desk, Heard, Place, when
from workers.main import workers

LIN = {"customer_name": "Lin Xia", "customer_tier": "gold"}
RULES = [
    {"when": {"code": [40001, 42001]}, "is": "unauthorized"},
    {"when": {"code": 90018}, "is": "throttled"},
    {"when": {"status": "failure"}, "is": "unavailable"},
]
JSON = "application/json"


@dataclass(slots=True)
class Backend:
    """A backend that answers as it is told; ``headers`` hold the last request's."""

    status: int = 200
    body: bytes = b'{"code":0,"data":{"name":"Lin Xia","tier":"gold"}}'
    headers: dict[str, str] = field(default_factory=dict)
    asked: int = 0

    def will(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer so from now on."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.status, self.body, self.headers = status, body, {"Content-Type": JSON} | named

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer."""
        self.asked += 1
        if self.headers.get("Transfer-Encoding") == "chunked":
            response = web.StreamResponse(status=self.status)
            response.enable_chunked_encoding()
            await response.prepare(request)
            return response
        return web.Response(status=self.status, body=self.body, headers=self.headers)


def declared(place: Place, url: str, changes: dict[str, object] | None = None) -> Catalog:
    """Return a configuration with one lookup of a customer, at the backend at ``url``."""
    return place.catalog(
        {
            "backends.crm.url": url,
            "backends.crm.attempts": 2,
            "lookups.customer.request.path": "/",
            "lookups.customer.variables": {"customer_name": "data.name", "customer_tier": "data.tier"},
            "lookups.customer.required": None,
            "lookups.customer.fallback": None,
            "lookups.customer.inputs": ["SystemClientUserID"],
            "lookups.order": None,
            "routes": [{"lookups": ["customer"]}],
            **(changes or {}),
        },
        fresh="0s",
    )


ERRORS: dict[str, tuple[int, bytes, dict[str, str], Code]] = {
    "an expired token": (200, b'{"code":40001,"msg":"expired","data":null}', {}, Code.BACKEND_DENIED),
    "too many requests": (200, b'{"code":90018,"msg":"too high"}', {}, Code.BACKEND_THROTTLED),
    "a cancelled transaction": (
        *(200, b'{"result":[],"error":{"message":"Transaction cancelled"},"status":"failure"}'),
        *({}, Code.BACKEND_UNAVAILABLE),
    ),
    "another error": (200, b'{"code":7,"msg":"oops","data":null}', {}, Code.BAD_BACKEND_REPLY),
    "a search that finds nothing": (200, b'{"total":0,"results":[]}', {}, Code.BAD_BACKEND_REPLY),
    "no content": (204, b"", {}, Code.BAD_BACKEND_REPLY),
    "nothing": (200, b"", {}, Code.BAD_BACKEND_REPLY),
    "no chunk": (200, b"", {"Transfer-Encoding": "chunked"}, Code.BAD_BACKEND_REPLY),
    "white space": (200, b" \r\n", {}, Code.BAD_BACKEND_REPLY),
    "a promise": (202, b'{"status":"processing"}', {}, Code.BACKEND_UNAVAILABLE),
    "a part": (206, b'{"data":{"name":"Lin', {}, Code.BAD_BACKEND_REPLY),
    "a page": (200, b"<html>login</html>", {"Content-Type": "text/html"}, Code.BAD_BACKEND_REPLY),
    "an ingress": (404, b"default backend - 404", {"Content-Type": "text/plain"}, Code.BACKEND_UNAVAILABLE),
    "nginx": (404, b"<html><h1>404</h1></html>", {"Content-Type": "text/html"}, Code.BACKEND_UNAVAILABLE),
    "a page that says JSON": (404, b"<html>", {}, Code.BACKEND_UNAVAILABLE),
    "a missing order": (404, b'{"error":{"code":"NOT_FOUND"}}', {}, Code.BACKEND_REJECTED),
    "a timeout": (408, b"", {}, Code.BACKEND_UNAVAILABLE),
    "a refusal": (401, b'{"data":{"name":"x","tier":"y"}}', {}, Code.BACKEND_DENIED),
    "a limit": (429, b"", {"Retry-After": "30"}, Code.BACKEND_THROTTLED),
    "broken gzip": (200, b"\x1f\x8bxx", {"Content-Encoding": "gzip"}, Code.BAD_BACKEND_REPLY),
}


@pytest.mark.parametrize("kind", ERRORS)
async def test_an_error_leaves_the_last_known_answer(kind: str, place: Place, desk: Desk) -> None:
    """Live, behind a revalidated record, for another session of the user, and in an outage that follows."""
    status, body, headers, code = ERRORS[kind]
    backend = Backend()
    async with serving(backend.handle) as url:
        shared: dict[str, object] = {"backends.crm.answers": RULES, "lookups.customer.share": "user"}
        behind = shared | {"lookups.customer.stale_while_revalidate": "60s"}
        live, refreshing = declared(place, url, shared), declared(place, url, behind)
        async with gateway(live) as here, gateway(refreshing) as other, workers(live, live.lanes, grace=0):
            first = await desk.at(here.callbacks).call()
            backend.will(status, body, **headers)
            heard = [await desk.at(here.callbacks).call(session) for session in ("s1", "s2")]
            with capture_logs() as lines:
                refreshed = [await desk.at(other.callbacks).call() for _ in range(2)]
                # A backend that asks to be left alone is not asked by a refresh either.
                event = "callback.answered" if code is Code.BACKEND_THROTTLED else "lookup.finished"
                await when(lambda: said(lines, event))
            backend.will(503)
            heard += [await desk.at(here.callbacks).call(session) for session in ("s1", "s2")]
    assert (first.code, first.variables) == (0, LIN)
    assert [one.variables for one in heard] == [LIN] * 4
    assert [one.code for one in heard[:2]] == [code] * 2
    assert all(one.code for one in heard)
    assert [(one.code, one.variables) for one in refreshed] == [(0, LIN)] * 2


@pytest.mark.parametrize("kind", ERRORS)
async def test_an_error_is_no_answer_without_redis(
    kind: str, valkey: Valkey, place: Place, desk: Desk
) -> None:
    """The gateway asks by itself then, by the same rules, and writes nothing wrong when Redis is back."""
    status, body, headers, code = ERRORS[kind]
    backend = Backend()
    changes: dict[str, object] = {"backends.crm.answers": RULES, f"apps.{APP}.redis_lost": "direct"}
    async with serving(backend.handle) as url:
        catalog = declared(Place(valkey.url, place.prefix, place.crm_url), url, changes)
        async with gateway(catalog) as running:
            here = desk.at(running.callbacks)
            valkey.signal(signal.SIGSTOP)
            first = await here.call()
            backend.will(status, body, **headers)
            heard = await here.call()
            valkey.signal(signal.SIGCONT)
    assert (first.code, first.variables) == (0, LIN)
    assert (heard.code, heard.variables) == (code, LIN)


async def test_an_error_that_was_fetched_ahead_is_not_served(place: Place, desk: Desk) -> None:
    """The session's first event makes the lookup; the callback finds no record and asks again."""
    backend = Backend()
    backend.will(200, b'{"code":7,"msg":"oops","data":null}')
    changes: dict[str, object] = {f"apps.{APP}.prefetch": ["customer"], "lookups.customer.fresh": "60s"}
    async with serving(backend.handle) as url:
        catalog = declared(place, url, changes)
        async with gateway(catalog) as running, workers(catalog, catalog.lanes, grace=0):
            here = desk.at(running.callbacks)
            event = {"CallbackCommand": "Desk.SessionEventNotify", "Event": "x", "SessionId": "s1"}
            with capture_logs() as lines:
                body = json.dumps(event | {"ClientUserId": "user517"}).encode()
                await here.send(body, desk.query | {"CallbackCommand": "Desk.SessionEventNotify"})
                await when(lambda: said(lines, "lookup.finished"))
            heard = await here.call()
    assert (heard.code, heard.variables) == (Code.BAD_BACKEND_REPLY, {})


EMPTY_SEARCHES = [b'{"total":0,"results":[]}', b'{"totalSize":0,"done":true,"records":[]}', b"[]"]


@pytest.mark.parametrize("body", EMPTY_SEARCHES)
async def test_a_search_that_finds_nothing_is_not_found(body: bytes, place: Place, desk: Desk) -> None:
    """Yesterday's customer has been deleted: the flow hears so, with code 0."""
    backend = Backend()
    changes: dict[str, object] = {
        "lookups.customer.not_found": {"customer_name": "guest"},
        "lookups.customer.required": ["customer_name"],
    }
    async with serving(backend.handle) as url:
        catalog = declared(place, url, changes)
        async with gateway(catalog) as running, workers(catalog, catalog.lanes, grace=0):
            here = desk.at(running.callbacks)
            await here.call()
            backend.will(200, body)
            heard = await here.call()
            backend.will(503)
            after = await here.call()
    assert (heard.code, heard.variables) == (0, {"customer_name": "guest", "customer_tier": ""})
    assert (after.code, after.variables) == (Code.BACKEND_UNAVAILABLE, heard.variables)


@pytest.mark.parametrize(
    ("status", "asked"), [(204, 1), (200, 1), (401, 1), (403, 1), (206, 1), (202, 2), (425, 2), (503, 2)]
)
async def test_a_backend_is_asked_again_only_where_that_may_help(
    status: int, asked: int, place: Place, desk: Desk
) -> None:
    """An empty reply stays empty."""
    backend = Backend()
    backend.will(status)
    async with serving(backend.handle) as url:
        catalog = declared(place, url)
        async with gateway(catalog) as running, workers(catalog, catalog.lanes, grace=0):
            await desk.at(running.callbacks).call()
    assert backend.asked == asked


async def test_a_page_in_a_200_is_asked_for_once_more(place: Place, desk: Desk) -> None:
    """However many attempts there are: a login page stays one."""
    backend = Backend()
    backend.will(200, b"<html>")
    async with serving(backend.handle) as url:
        catalog = declared(place, url, {"backends.crm.attempts": 5})
        async with gateway(catalog) as running, workers(catalog, catalog.lanes, grace=0):
            heard = await desk.at(running.callbacks).call()
    assert (heard.code, backend.asked) == (Code.BAD_BACKEND_REPLY, 2)


def in_ten_seconds() -> str:
    """Return a date as HTTP writes it."""
    return formatdate(time() + 10, usegmt=True)


@pytest.mark.parametrize(
    ("status", "after"), [(429, "10"), (429, "a date"), (503, "120"), (429, "")], ids=str
)
async def test_a_throttled_backend_is_left_alone_and_callbacks_are_answered_at_once(
    status: int, after: str, place: Place, desk: Desk
) -> None:
    """Fifty warm sessions call; after the first "too many" nobody asks, and each hears what is known."""
    headers = {"Retry_After": in_ten_seconds() if after == "a date" else after} if after else {}
    backend = Backend()
    async with serving(backend.handle) as url:
        catalog = declared(place, url, {"backends.crm.concurrency": 5, "backends.crm.attempts": 3})
        async with gateway(catalog) as running, workers(catalog, catalog.lanes, grace=0):
            here = desk.at(running.callbacks)
            for number in range(50):
                await here.call(f"s{number}")
            backend.will(status, b"", **headers)
            backend.asked = 0
            heard: list[Heard] = []
            for number in range(0, 50, 5):
                heard += await asyncio.gather(*(here.call(f"s{number + i}") for i in range(5)))
    assert backend.asked <= 5
    assert {one.code for one in heard} == {Code.BACKEND_THROTTLED}
    assert all(one.variables == LIN for one in heard)
    assert max(one.took for one in heard) < 1.0


async def test_a_rule_that_reads_the_body_of_an_error_reads_it_whole(place: Place, desk: Desk) -> None:
    """Compressed, too; and a body that is too large to be read does not hide the status."""
    backend = Backend()
    rule = {"status": "4xx", "when": {"error": "invalid_token"}, "is": "unauthorized"}
    async with serving(backend.handle) as url:
        catalog = declared(place, url, {"backends.crm.answers": [rule], "backends.crm.max_reply": "10KiB"})
        async with gateway(catalog) as running, workers(catalog, catalog.lanes, grace=0):
            here = desk.at(running.callbacks)
            backend.will(400, gzip.compress(b'{"error":"invalid_token"}'), Content_Encoding="gzip")
            denied = await here.call()
            backend.will(400, b" " * 20_000 + b'{"error":"invalid_token"}')
            rejected = await here.call()
    assert (denied.code, rejected.code) == (Code.BACKEND_DENIED, Code.BACKEND_REJECTED)


def said(lines: list[Any], event: str) -> list[Any]:
    """Return the lines of an event."""
    return [line for line in lines if line["event"] == event]
