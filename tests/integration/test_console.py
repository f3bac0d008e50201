"""The console's paths: who may see what, what is shown, and what is done."""

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.console.callbacks import MOST_SESSIONS, Filter, Latest, sample
from gateway.console.files import GUARDS
from gateway.console.overview import Overview
from gateway.console.sight import Sight
from gateway.console.streams import MOST_ROWS, MOST_STREAMS, Streams
from gateway.core.errors import Code, QueueUnavailable
from gateway.crm.server import Crm
from gateway.fleet.reloading import NEVER
from gateway.history.entries import CallbackEntry, LookupPart, encode
from gateway.history.reading import now_ms
from gateway.tools.processes import Valkey
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink
from tests.console import ACT, READ, Opened, Visitor, config_file, opened
from tests.desk import APP, Desk, Place, when
from workers.main import workers

pytestmark = pytest.mark.timeout(120)

RIGHTS = {  # every path behind the door: the method, and the right that it takes
    "login": ("POST", None),
    "logout": ("POST", None),
    "me": ("GET", "read"),
    "overview": ("GET", "read"),
    "session": ("POST", "read"),
    "configuration": ("GET", "read"),
    "events/overview": ("GET", "read"),
    "events/callbacks": ("GET", "read"),
    "try": ("POST", "read"),
    "actions/hold": ("POST", "act"),
    "actions/release": ("POST", "act"),
    "actions/open-breaker": ("POST", "act"),
    "actions/close-breaker": ("POST", "act"),
    "actions/forget": ("POST", "act"),
    "actions/reload": ("POST", "act"),
}
FILES = ("", "index.html", "console.js", "console.css", "icon.svg")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
HELD = {"backend": "crm", "seconds": 60}


@pytest_asyncio.fixture
async def here(place: Place, tmp_path: Path) -> AsyncIterator[Opened]:
    """A gateway with its console, and no worker."""
    async with opened(place, tmp_path / "deskgate.toml") as here:
        yield here


def total(crm: Crm) -> int:
    """Return the number of calls that a CRM has got."""
    return sum(crm.stats.calls.values())


async def status_of(visitor: Visitor, method: str, page: str) -> int:
    """Return the status of a page of which the body does not matter."""
    body = {"token": "x" * 20} if page == "login" else {"lookup": "order", "dry_run": True, "backend": "no"}
    data = json.dumps(body).encode() if method != "TRACE" else None  # a client does not send one
    headers = {"Content-Type": "application/json"}
    if page.startswith("events/") and method == "GET":
        async with visitor.http.get(f"{visitor.url}/console/api/{page}", headers=visitor.headers) as response:
            return response.status
    return (await visitor.ask(method, f"/console/api/{page}", data=data, headers=headers)).status


async def test_every_path_takes_its_method_and_its_right(here: Opened) -> None:
    """Without, with a token or a cookie to read, with one to act: nobody gets further than the table says."""
    assert {name: (page.method, page.right) for name, page in here.console.pages.items()} == RIGHTS
    reader, actor = await here.visitor.log_in(READ), await here.visitor.log_in(ACT)
    who = {
        None: [here.visitor, here.visitor.with_token("none of them, long"), here.visitor.with_cookie("a=b")],
        "read": [here.reader, reader],
        "act": [here.actor, actor],
    }
    for page, (method, wanted) in RIGHTS.items():
        for right, visitors in who.items():
            for visitor in visitors:
                for one in METHODS:
                    status = await status_of(visitor, one, page)
                    case = (page, one, right, status)
                    if one != method:
                        assert status == 405, case
                    elif wanted is not None and right is None:
                        assert status == 401, case
                    elif wanted == "act" and right == "read":
                        assert status == 403, case
                    elif page not in {"login", "logout"}:
                        assert status in {200, 400, 409}, case


async def test_the_page_is_for_everybody_and_says_nothing(here: Opened) -> None:
    """It is the same for each deployment; a login needs it."""
    for name in FILES:
        answered = await here.visitor.ask("GET", f"/console/{name}")
        assert answered.status == 200
        known = {"If-None-Match": answered.headers["ETag"]}
        again = await here.visitor.ask("GET", f"/console/{name}", headers=known)
        assert (again.status, again.value) == (304, b"")
        assert [(await here.visitor.ask(one, f"/console/{name}")).status for one in METHODS] == [
            *(200, 200),
            *[405] * 7,
        ]
    moved = await here.visitor.ask("GET", "/console")
    assert (moved.status, moved.headers["Location"]) == (308, "/console/")
    for name in (
        "../pages.py",
        "%2e%2e/pages.py",
        "static/console.js",
        "api/",
        "api/nothing",
        "api/actions/x",
    ):
        assert (await here.actor.ask("GET", f"/console/{name}")).status == 404


async def test_every_response_is_guarded(here: Opened) -> None:
    """No frame, no script of another's, no guess at a type: also on errors."""
    paths = [
        "",
        "console.js",
        "nothing",
        *(f"api/{page}" for page in RIGHTS if not page.startswith("events")),
    ]
    for visitor in (here.visitor, here.actor):
        for path in paths:
            answered = await visitor.ask("GET", f"/console/{path}")
            assert {name: answered.headers.get(name) for name in GUARDS} == GUARDS, path
            if path.startswith("api/"):
                assert answered.headers["Cache-Control"] == "no-store"
    policy = GUARDS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    "foreign",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
async def test_page_of_another_site_does_nothing_with_our_cookie(
    here: Opened, foreign: dict[str, str]
) -> None:
    """Cross-site request forgery: also from another port of this machine."""
    actor = await here.visitor.log_in(ACT)
    forged = Visitor(actor.http, actor.url, {**actor.headers, **foreign})
    for page, body in (("actions/hold", HELD), ("try", {"lookup": "order"}), ("logout", {}), ("login", {})):
        assert (await forged.post(page, body)).status == 403
    assert here.gateway.service.shut.gates()["crm"].held_s == 0.0


async def test_what_a_form_can_send_is_no_action(here: Opened) -> None:
    """A form of another site needs no leave to send these types."""
    actor = await here.visitor.log_in(ACT)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        data = json.dumps(HELD).encode()
        answered = await actor.ask(
            "POST", "/console/api/actions/hold", data=data, headers={"Content-Type": kind}
        )
        assert answered.status == 415
    assert here.gateway.service.shut.gates()["crm"].held_s == 0.0


async def test_cookie_is_for_the_console_alone_and_no_script_sees_it(here: Opened) -> None:
    """Nor does another site's page send it."""
    answered = await here.visitor.ask(
        "POST", "/console/api/login", {"token": ACT}, headers={"Origin": here.visitor.url}
    )
    cookie, *attributes = answered.headers["Set-Cookie"].split("; ")
    assert ACT not in cookie
    assert attributes == ["Path=/console/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"]
    headers = {"Origin": here.visitor.url.replace("http:", "https:")}
    secure = await here.visitor.ask("POST", "/console/api/login", {"token": ACT}, headers=headers)
    assert secure.headers["Set-Cookie"].endswith("; SameSite=Strict; Secure")  # a proxy has TLS
    out = await (await here.visitor.log_in(ACT)).post("logout")
    assert "Max-Age=0" in out.headers["Set-Cookie"]


async def test_wrong_token_is_refused_and_told(here: Opened) -> None:
    """Somebody tries: the operator sees from where."""
    with capture_logs() as lines:
        answered = await here.visitor.ask(
            "POST",
            "/console/api/login",
            {"token": "guessed-guessed-guessed"},
            headers={"Origin": here.visitor.url},
        )
        assert answered.status == 401
        assert (
            await here.visitor.with_token("guessed-by-a-program").ask("GET", "/console/api/me")
        ).status == 401
    refused = [line["remote"] for line in lines if line["event"] == "console.refused"]
    assert refused == ["127.0.0.1", "127.0.0.1"]
    assert "guessed" not in json.dumps(lines, default=str)


async def test_bodies_that_are_too_large_or_none_at_all_are_refused(here: Opened) -> None:
    """Whoever sends them."""
    json_type = {"Content-Type": "application/json"}
    huge = await here.actor.ask("POST", "/console/api/try", "x" * 1024 * 1024)
    assert huge.status == 413
    for data in (b"", b"[]", b"\xff", b"{", b'{"lookup": 7}', b"[" * 100_000):
        assert (await here.actor.ask("POST", "/console/api/try", data=data, headers=json_type)).status == 400
        assert (
            await here.actor.ask("POST", "/console/api/actions/hold", data=data, headers=json_type)
        ).status in {*(400, 409)}


async def test_without_tokens_this_machine_may_look_and_nobody_may_act(place: Place, tmp_path: Path) -> None:
    """A page of another site may have its name lead here (DNS rebinding), and may not look."""
    async with opened(place, tmp_path / "deskgate.toml", {"gateway.admin_token": None}) as here:
        me = await here.visitor.get("me")
        assert (me["right"], me["tokens"]) == ("read", False)
        page = Visitor(here.visitor.http, here.visitor.url, {"Origin": here.visitor.url})
        assert (await page.post("actions/hold", HELD)).status == 403
        assert (await page.post("try", {"lookup": "order", "variables": {"orderId": "7"}})).status == 403
        assert (await page.post("login", {"token": "x"})).status == 409
        for host in ("evil.example", "evil.example:8081", "10.0.0.1"):
            assert (await here.visitor.ask("GET", "/console/api/me", headers={"Host": host})).status == 403
            assert (await here.visitor.ask("GET", "/console/", headers={"Host": host})).status == 403
        assert (await here.visitor.ask("GET", "/ready", headers={"Host": "evil.example"})).status == 200


async def test_without_tokens_there_is_no_console_where_others_reach_it(place: Place, tmp_path: Path) -> None:
    """Whatever is asked: neither the page nor anything behind it."""
    changes = {"gateway.admin_token": None, "gateway.admin": "0.0.0.0:0"}
    async with opened(place, tmp_path / "deskgate.toml", changes) as here:
        for path in ("/console", "/console/", "/console/console.js", "/console/api/me"):
            answered = await here.visitor.ask("GET", path)
            assert answered.status == 404
            assert "gateway.admin_token" in answered.value["error"]
        assert (await here.visitor.ask("GET", "/live")).status == 200
    async with opened(place, tmp_path / "deskgate.toml", {"gateway.admin": "0.0.0.0:0"}) as here:
        assert (
            await here.visitor.ask("GET", "/console/api/me", headers={"Host": "evil.example"})
        ).status == 401


async def test_token_that_is_taken_away_ends_its_logins_and_their_streams(
    place: Place, tmp_path: Path
) -> None:
    """At once, in every process: nobody keeps a list."""
    path = tmp_path / "deskgate.toml"
    async with opened(place, path) as here:
        reader = await here.visitor.log_in(READ)
        async with reader.events("overview") as events:
            await anext(events)
            other = place.config({"gateway.admin_token": {"read": "another-token-here"}})
            await here.gateway.reload(config_file(place, path, other).catalog)
            assert [event async for event in events][1:] == []
        assert (await status_of(reader, "GET", "me")) == 401


async def test_held_backend_is_asked_by_nobody_and_its_last_known_answer_goes_out(
    place: Place, tmp_path: Path, crm: Crm, desk: Desk
) -> None:
    """By gateways and workers; until it is released."""
    async with opened(place, tmp_path / "deskgate.toml", fresh="0s") as here:
        catalog = here.gateway.service.catalog
        async with workers(catalog, catalog.lanes, grace=0):
            at = desk.at(here.gateway.callbacks)
            known = await at.call(node="order", orderId="7")
            assert known.code == 0
            with capture_logs() as lines:
                answered = await here.actor.post("actions/hold", HELD)
            assert (
                answered.status,
                "60 s" in answered.value["done"] or "1 min" in answered.value["done"],
            ) == (*(200, True),)
            (line,) = [line for line in lines if line["event"] == "console.acted"]
            assert (line["action"], line["about"], line["remote"]) == ("hold", "crm", "127.0.0.1")
            calls = total(crm)
            held = await at.call(node="order", orderId="7")
            assert (held.code, held.variables) == (Code.CIRCUIT_OPEN, known.variables)
            assert total(crm) == calls
            (backend,) = (await here.reader.get("overview"))["backends"]
            assert 55 < backend["lane"]["held_s"] <= 60
            assert (await here.actor.post("actions/release", HELD)).status == 200
            assert (await at.call(node="order", orderId="7")).code == 0


async def test_breaker_is_opened_and_closed(here: Opened) -> None:
    """And shown as it stands at once."""

    async def state() -> str:
        (backend,) = (await here.reader.get("overview"))["backends"]
        return str(backend["lane"]["breaker"])

    assert await state() == "closed"
    assert (await here.actor.post("actions/open-breaker", HELD)).status == 200
    assert await state() == "open"
    assert (await here.actor.post("actions/close-breaker", HELD)).status == 200
    assert await state() == "closed"


async def test_actions_that_mean_nothing_are_refused(place: Place, tmp_path: Path) -> None:
    """With a word about why."""
    async with opened(place, tmp_path / "deskgate.toml", {"backends.crm.breaker": "off"}) as here:
        for action, body, why in (
            ("hold", {"backend": "erp"}, "there is no backend"),
            ("hold", {"backend": "crm", "seconds": 0}, "more than zero"),
            ("hold", {"backend": "crm", "seconds": -1}, "more than zero"),
            ("open-breaker", {"backend": "crm"}, "has no breaker"),
            ("close-breaker", {"backend": "crm"}, "has no breaker"),
            ("forget", {}, "name a session"),
        ):
            answered = await here.actor.post(f"actions/{action}", body)
            assert answered.status == 409
            assert why in answered.value["error"]
        assert (await here.actor.post("actions/hold", {"backend": "crm", "seconds": 1e300})).status == 200
        assert here.gateway.service.shut.gates()["crm"].held_s <= 3600


async def test_forgotten_session_is_gone_with_its_history(
    place: Place, tmp_path: Path, crm: Crm, desk: Desk
) -> None:
    """In Redis, in memory, and on the page."""
    async with opened(place, tmp_path / "deskgate.toml") as here:
        catalog = here.gateway.service.catalog
        async with workers(catalog, catalog.lanes, grace=0):
            at = desk.at(here.gateway.callbacks)
            for session in ("s1", "s2"):
                await at.call(session, node="order", orderId="7")

            async def told(session: str) -> list[Any]:
                found = await here.reader.post("session", {"session": session, "app": APP})
                return list(found.value["callbacks"])

            while not (await told("s1") and await told("s2")):  # noqa: ASYNC110 - written behind the callback
                await asyncio.sleep(0.05)
            answered = await here.actor.post("actions/forget", {"session": "s1"})
            assert answered.value["done"].startswith("forgotten: 1 record,")
            assert (await told("s1"), len(await told("s2"))) == ([], 1)
            calls = total(crm)
            await at.call("s2", node="order", orderId="7")
            assert total(crm) == calls
            await at.call("s1", node="order", orderId="7")
            assert total(crm) == calls + 1


async def see_both(at: Desk, watched: AsyncIterator[dict[str, Any]]) -> None:
    """Call for two sessions, ``gone`` and ``stays``, and wait until the console has shown both."""
    for session in ("gone", "stays"):
        await at.call(session, node="order")
    seen = set[str]()
    while seen != {"gone", "stays"}:
        seen |= {row["session"] for row in (await anext(watched))["rows"]}


async def test_forgotten_session_is_shown_to_nobody_who_looks_later(
    place: Place, tmp_path: Path, desk: Desk
) -> None:
    """Others watch since before, so the callbacks of the last minutes are remembered."""
    async with (
        opened(place, tmp_path / "deskgate.toml") as here,
        here.reader.events("callbacks") as watched,
    ):
        await see_both(desk.at(here.gateway.callbacks), watched)
        await here.actor.post("actions/forget", {"session": "gone"})
        for _ in range(3):  # a look that had begun, and the next one
            await anext(watched)
        async with here.reader.events("callbacks") as later:
            assert [row["session"] for row in (await anext(later))["rows"]] == ["stays"]


async def test_session_forgotten_while_the_console_sees_nothing_is_shown_to_nobody(
    place: Place, tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow Redis answers the forgetting, and not the look beside it."""
    blind = False

    async def now(link: RedisLink) -> float:
        if blind:
            msg = "too slow"
            raise QueueUnavailable(msg)
        return await now_ms(link)

    monkeypatch.setattr("gateway.console.callbacks.now_ms", now)
    async with (
        opened(place, tmp_path / "deskgate.toml") as here,
        here.reader.events("callbacks") as watched,
    ):
        await see_both(desk.at(here.gateway.callbacks), watched)
        blind = True
        while not (await anext(watched))["error"]:
            pass
        await here.actor.post("actions/forget", {"session": "gone"})
        blind = False
        while (await anext(watched))["error"]:
            pass
        async with here.reader.events("callbacks") as later:
            assert [row["session"] for row in (await anext(later))["rows"]] == ["stays"]


async def test_session_is_explained_newest_first(place: Place, tmp_path: Path, desk: Desk) -> None:
    """As the command explains it."""
    async with opened(place, tmp_path / "deskgate.toml") as here:
        catalog = here.gateway.service.catalog
        async with workers(catalog, catalog.lanes, grace=0):
            for _ in range(2):
                await desk.at(here.gateway.callbacks).call("s/1?é", node="order", orderId="7")
            found: list[Any] = []
            while len(found) < 2 or found[1]["lookups"]["order"]["asked"] is None:
                await asyncio.sleep(0.05)
                found = (await here.reader.post("session", {"session": "s/1?é"})).value["callbacks"]
    assert [one["lookups"]["order"]["source"] for one in found] == ["fresh", "live"]
    assert found[1]["lookups"]["order"]["asked"]["attempts"][0]["status"] == 200
    assert found[0]["at"] >= found[1]["at"]


@pytest.mark.parametrize("body", [{}, {"session": ""}, {"session": "s", "app": "x"}, {"session": 7}])
async def test_session_must_be_named(here: Opened, body: dict[str, object]) -> None:
    """And an app by its number."""
    assert (await here.reader.post("session", body)).status == 400
    none = await here.reader.post("session", {"session": "s", "app": -1})
    assert (none.status, none.value) == (200, {"callbacks": []})


async def test_charts_count_every_callback_and_every_call(
    place: Place, tmp_path: Path, crm: Crm, desk: Desk
) -> None:
    """Of the whole fleet: what the workers count, a gateway shows."""
    async with opened(place, tmp_path / "deskgate.toml", fresh="0s") as here:
        catalog = here.gateway.service.catalog
        async with workers(catalog, catalog.lanes, grace=0):
            at = desk.at(here.gateway.callbacks)
            await asyncio.gather(*(at.call(f"s{n}", node="order", orderId=str(n + 1)) for n in range(20)))
            await at.call(node="nowhere")
            seen: dict[str, Any] = {"callbacks": {"counts": []}}
            while sum(seen["callbacks"]["counts"]) < 21 or sum(seen["backends"][0]["chart"]["counts"]) < 20:
                await asyncio.sleep(0.3)
                seen = await here.reader.get("overview")
    callbacks, (backend,) = seen["callbacks"], seen["backends"]
    assert (callbacks["outcomes"], sum(callbacks["wrong"])) == ({"OK": 20, "NO_ROUTE": 1}, 1)
    assert callbacks["error_share"] == pytest.approx(1 / 21, abs=1e-3)
    assert sum(backend["chart"]["counts"]) == total(crm) == 20
    assert backend["chart"]["p50_ms"] <= backend["chart"]["p95_ms"]
    assert (backend["name"], backend["health"], backend["lookups"]) == (
        *("crm", "ok"),
        ["profile", "customer", "order"],
    )
    assert (seen["redis"]["up"], seen["gateways"], seen["history"]) == (True, 1, "base")


async def test_every_kind_of_backend_is_shown(place: Place, tmp_path: Path) -> None:
    """HTTP, SQL, Python, and one that only Python lookups ask."""
    sql = {"backend": "db", "sql": "select 1 as v", "variables": {"a": "v"}}
    changes = {
        "backends.db": {"url": "sqlite:///:memory:", "breaker": "off"},
        "backends.extra": {"url": "http://127.0.0.1:9", "rate": "50/s"},
        "lookups.tier": sql,
        "lookups.churn": {"python": "tests.bench.noop:noop", "variables": {"b": "answer"}},
    }
    async with opened(place, tmp_path / "deskgate.toml", changes) as here:
        seen = (await here.reader.get("overview"))["backends"]
    shown = {one["name"]: (one["kind"], one["health"], one["lookups"], one["rate"]) for one in seen}
    assert shown == {
        "crm": ("http", "no worker", ["profile", "customer", "order"], None),
        "db": ("sql", "no worker", ["tier"], None),
        "python": ("python", "no worker", ["churn"], None),
        "extra": ("http", "unused", [], 50.0),
    }
    assert [one["lane"]["breaker"] if one["lane"] else "no lane" for one in seen] == [
        *("closed", None, None, "no lane")
    ]


async def test_callbacks_are_streamed_as_they_are_answered(place: Place, tmp_path: Path, desk: Desk) -> None:
    """Those that are wanted: by code, lookup, session, time; once each, newest first."""
    async with opened(place, tmp_path / "deskgate.toml") as here:
        catalog = here.gateway.service.catalog
        async with workers(catalog, catalog.lanes, grace=0):
            at = desk.at(here.gateway.callbacks)
            await at.call("before", node="order", orderId="1")

            async def rows(query: str, count: int) -> list[Any]:
                found: list[Any] = []
                async with here.reader.events(f"callbacks{query}") as events:
                    while len(found) < count:
                        found = [*(await anext(events))["rows"], *found]
                return found

            (first,) = await rows("", 1)
            assert (first["session"], first["code"]) == ("before", "OK")
            assert first["lookups"]["order"]["source"] == "live"
            await at.call("after", node="profile")
            await at.call("after", node="nowhere")
            assert [one["code"] for one in await rows("", 3)] == ["NO_ROUTE", "OK", "OK"]
            assert [one["code"] for one in await rows("?bad=1", 1)] == ["NO_ROUTE"]
            assert [one["code"] for one in await rows("?code=NO_ROUTE", 1)] == ["NO_ROUTE"]
            assert [set(one["lookups"]) for one in await rows("?lookup=profile", 1)] == [{"profile"}]
            assert [one["session"] for one in await rows("?session=efor", 1)] == ["before"]
            assert (await here.reader.ask("GET", "/console/api/events/callbacks?slow=x")).status == 400
            async with here.reader.events("callbacks?slow=60000") as events:
                assert (await anext(events))["rows"] == []


async def test_of_many_sessions_a_sample_is_read_and_it_is_said(place: Place, tmp_path: Path) -> None:
    """And one key that somebody has spoilt hides no other session."""
    keys, at = Keys(place.prefix), time.time()
    async with opened(place, tmp_path / "deskgate.toml") as here, Redis.from_url(place.redis_url) as redis:
        for number in range(MOST_SESSIONS * 2):
            name = f"{APP}:s{number}"
            part = {"order": LookupPart("live", 0)}
            entry = CallbackEntry(at, f"t{number}", APP, name, "", "/", "r", 0, 1.0, 1000.0, part)
            await redis.lpush(keys.history(name), *([encode(entry), b"{", b"\xff"] if number else [b""]))
            await redis.zadd(keys.histories(), {name: at * 1000})
        await redis.delete(keys.history(f"{APP}:s0"))
        await redis.set(keys.history(f"{APP}:s0"), "no list")
        async with here.reader.events("callbacks") as events:
            found = await anext(events)
        assert (found["sessions"], found["read"], found["error"]) == (2 * MOST_SESSIONS, MOST_SESSIONS, "")
        assert len(found["rows"]) == MOST_SESSIONS - 1


async def test_who_looks_again_sees_as_much_as_the_first_one_and_at_once(place: Place, here: Opened) -> None:
    """What was remembered is forgotten when the last one goes: the first message must wait for a look."""
    keys, at, many = Keys(place.prefix), time.time(), MOST_ROWS + 10
    async with Redis.from_url(place.redis_url) as redis:
        for number in range(many):
            name = f"{APP}:s{number}"
            entry = CallbackEntry(at, f"t{number}", APP, name, "", "/", "r", 0, 1.0, 1000.0, {})
            await redis.lpush(keys.history(name), encode(entry))
            await redis.zadd(keys.histories(), {name: at * 1000})
    sight = Sight(lambda: here.gateway.service)
    streams = Streams(Overview(sight), Latest(sight))
    for _ in range(2):
        async with aclosing(streams.callbacks(Filter())) as messages:
            _, found = await anext(messages)
        assert len(found["rows"]) == many
    await sight.close()


def test_sample_is_spread_evenly() -> None:
    """Of a thousand sessions the first hundred would all be of one moment."""
    names = [str(number) for number in range(1000)]
    assert sample(names[:7], MOST_SESSIONS) == names[:7]
    some = sample(names, MOST_SESSIONS)
    assert len(some) == len(set(some)) == MOST_SESSIONS
    assert {int(name) // 100 for name in some} == set(range(10))


async def test_bug_in_a_stream_is_told(here: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its page has begun, so no error can be shown in it: it ended without a word."""
    error = RuntimeError("a bug")

    async def look(_: Overview) -> None:
        raise error

    async with here.reader.events("overview") as events:
        await anext(events)
        with capture_logs() as lines:
            monkeypatch.setattr(Overview, "look", look)
            await when(lambda: any(line["event"] == "edge.failed" for line in lines))
    (failed,) = [line for line in lines if line["event"] == "edge.failed"]
    assert failed["exc_info"] is error


async def test_streams_are_few_and_end_with_their_browsers(here: Opened) -> None:
    """The admin port is for supervisors, too."""
    async with AsyncExitStack() as stack:
        for _ in range(MOST_STREAMS):
            events = await stack.enter_async_context(here.reader.events("overview"))
            await anext(events)
        assert (await here.reader.ask("GET", "/console/api/events/overview")).status == 503
        assert (await here.visitor.ask("GET", "/ready")).status == 200
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        while (await status_of(here.reader, "GET", "events/overview")) == 503:  # noqa: ASYNC110 - the kernel's
            await asyncio.sleep(0.1)


async def test_browser_that_reads_nothing_holds_up_nobody(here: Opened) -> None:
    """It costs one task, and what the kernel buffers."""
    reader, writer = await asyncio.open_connection(*here.gateway.admin)
    head = f"GET /console/api/events/overview HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {READ}\r\n\r\n"
    writer.write(head.encode())
    await reader.readline()
    async with here.reader.events("overview") as events:
        await anext(events)
        await anext(events)
    writer.close()


async def test_console_that_closes_ends_its_streams(place: Place, tmp_path: Path) -> None:
    """A gateway that is told to stop does not wait for browsers."""
    async with opened(place, tmp_path / "deskgate.toml") as here, here.reader.events("overview") as events:
        await anext(events)
        async with asyncio.timeout(3):
            await here.console.close()
            assert [event async for event in events] == []
        # A page comes back at once: a port that closes would wait for its new stream.
        assert (await here.reader.ask("GET", "/console/api/events/overview")).status == 503


async def test_without_redis_what_is_known_is_shown_and_nothing_is_done(
    valkey: Valkey, place: Place, tmp_path: Path
) -> None:
    """The other processes would not hear of it."""
    own = Place(valkey.url, place.prefix, place.crm_url)
    async with (
        opened(own, tmp_path / "deskgate.toml") as here,
        here.reader.events("overview") as events,
        here.reader.events("callbacks") as callbacks,
    ):
        assert (await anext(events))["redis"]["up"]
        assert (await anext(callbacks))["error"] == ""
        valkey.stop()
        await when(lambda: here.gateway.service.link.lost)
        answered = await here.actor.post("actions/hold", HELD)
        assert (answered.status, "Redis" in answered.value["error"]) == (409, True)
        assert here.gateway.service.shut.gates()["crm"].held_s == 0.0
        assert (await here.reader.post("session", {"session": "s1"})).status == 503
        while (await anext(events))["redis"]["up"]:
            pass
        while (seen := await anext(callbacks))["error"] == "":
            pass
        assert seen["rows"] == []
        valkey.start()
        while not (await anext(events))["redis"]["up"]:
            pass
        while (await anext(callbacks))["error"]:
            pass


async def test_what_redis_refuses_is_not_said_to_be_done(
    valkey: Valkey, place: Place, tmp_path: Path
) -> None:
    """A Redis that is full is there, and takes nothing: this process alone would have held the backend."""
    own = Place(valkey.url, place.prefix, place.crm_url)
    async with opened(own, tmp_path / "deskgate.toml") as here, Redis.from_url(valkey.url) as redis:
        await redis.config_set("maxmemory", "1")
        for action in ("hold", "release", "open-breaker", "close-breaker", "reload"):
            answered = await here.actor.post(f"actions/{action}", HELD)
            assert (answered.status, "maxmemory" in answered.value["error"]) == (409, True), answered.value
        gates = here.gateway.service.shut.gates()["crm"]
        assert (gates.held_s, gates.breaker) == (0.0, "closed")
        assert not here.gateway.service.link.lost


async def test_configuration_is_shown_as_it_runs(place: Place, tmp_path: Path) -> None:
    """And why a newer one does not."""
    path = tmp_path / "deskgate.toml"
    async with opened(place, path) as here:
        shown = await here.reader.get("configuration")
        assert shown["tables"]["gateway"]["budget"] == "4s"
        assert (shown["file"], shown["digest"]) == (str(path), here.file.catalog.digest)
        text = json.dumps(shown)
        assert READ not in text
        assert ACT not in text
        assert place.redis_url not in text
        path.write_text("[gateway]\nbugdet = '1s'\n", encoding="utf-8")
        with capture_logs():
            await here.file.look(asked=True)
        shown = await here.reader.get("configuration")
        assert shown["refused"] == ["gateway.bugdet: unknown key; did you mean 'budget'?"]
        assert shown["tables"]["gateway"]["budget"] == "4s"
        path.write_text(place.config({"gateway.admin_token": {"read": READ}}, budget="3s"), encoding="utf-8")
        with capture_logs():
            await here.file.look(asked=True)
        shown = await here.reader.get("configuration")
        assert (shown["refused"], shown["tables"]["gateway"]["budget"]) == ([], "3s")


async def test_wish_to_reload_reaches_the_process_that_was_asked(here: Opened) -> None:
    """And by the board all others."""
    heard = asyncio.Event()
    here.gateway.service.board.entry("reload", NEVER).watch(heard.set)
    assert (await here.actor.post("actions/reload")).status == 200
    async with asyncio.timeout(5):
        await heard.wait()


async def test_connection_of_a_scrape_is_idle_behind_its_answer(place: Place, tmp_path: Path) -> None:
    """Else a port with 32 connections is full when as many have scraped once."""
    changes = {"gateway.idle_timeout": "200ms"}
    async with opened(place, tmp_path / "deskgate.toml", changes) as here:

        async def until_closed(path: str) -> bytes:
            reader, writer = await asyncio.open_connection(*here.gateway.admin)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            return answer

        paths = ("/metrics", "/console", "/console/", "/console/api/me", "/live", "/nothing")
        answers = await asyncio.gather(*map(until_closed, paths))
        assert all(answer.startswith(b"HTTP/1.1 ") for answer in answers)


@pytest.mark.parametrize(
    "name", ["Authorization", "Cookie", "Origin", "Host", "Sec-Fetch-Site", "If-None-Match", "Content-Type"]
)
async def test_headers_that_make_no_sense_open_nothing(here: Opened, name: str) -> None:
    """Whatever bytes a stranger sends: an answer, never a right, and never a failure of ours."""
    rng = random.Random(name)
    pieces = [
        b"deskgate_console=",
        b"act.",
        b"9999999999.",
        b"Bearer ",
        b"same-origin",
        b"=",
        b";",
        b'"',
        b"\xff",
    ]
    pieces += [
        b"http://",
        b"127.0.0.1",
        b"[",
        b"]",
        b":",
        b"\xc3\xa9",
        b"%00",
        b"\t",
        b" ",
        b"a" * 5000,
        b"null",
    ]
    with capture_logs() as lines:
        for _ in range(60):
            value = b"".join(rng.choices(pieces, k=rng.randint(0, 6)))
            path = rng.choice(
                ["", "console.js", "api/me", "api/login", "api/actions/hold", "api/events/overview"]
            )
            method = rng.choice(["GET", "POST"])
            host = b"" if name == "Host" else b"Host: x\r\n"
            reader, writer = await asyncio.open_connection(*here.gateway.admin)
            head = f"{method} /console/{path} HTTP/1.1\r\n{name}: ".encode() + value + b"\r\n" + host
            writer.write(head + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}")
            status = int((await reader.readline()).split()[1])
            writer.close()
            assert status in (
                {200, 304, 400, 405} if not path.startswith("api/") else {400, 401, 403, 405, 415}
            )
    assert [line for line in lines if line["log_level"] == "error"] == []
    assert here.gateway.service.shut.gates()["crm"].held_s == 0.0


async def test_trial_runs_beside_the_gateway_and_ends_with_it(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, desk: Desk
) -> None:
    """A Python lookup that blocks would hold up every callback; two at a time; none outlives the gateway."""
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "blocking.py").write_text(
        "import time\nasync def ask(ask): time.sleep(60)\n", encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    lookup = {"python": "blocking:ask", "variables": {"v": "v"}}
    changes = {"lookups.slow": lookup, "apps.1400000001.redis_lost": "records"}
    async with opened(place, tmp_path / "deskgate.toml", changes) as here:
        begun = [asyncio.create_task(here.actor.post("try", {"lookup": "slow"})) for _ in range(2)]
        await when(lambda: len(here.console.trials.running) == 2)
        third = await here.actor.post("try", {"lookup": "slow"})
        assert (third.status, "already" in third.value["error"]) == (409, True)
        heard = await desk.at(here.gateway.callbacks).call(node="nowhere")
        assert heard.took < 1
        pids = [process.pid for process in here.console.trials.running]
        await here.console.close()
        assert [(await one).status for one in begun] == [409, 409]
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


async def test_trial_says_why_it_cannot_be_made(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lookup that there is none of, a file with faults, a status that is none."""
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "deskgate.toml"
    async with opened(place, path) as here:
        unknown = await here.actor.post("try", {"lookup": "ordre"})
        assert (unknown.status, "did you mean 'order'?" in unknown.value["error"]) == (409, True)
        assert (await here.actor.post("try", {"lookup": "order", "reply": "{}", "status": 99})).status == 400
        tried = await here.reader.post(
            "try", {"lookup": "order", "variables": {"orderId": "7"}, "dry_run": True}
        )
        assert tried.value["question"]["line"].endswith("/orders/7")
        path.write_text("[gateway]\nbugdet = 1\n", encoding="utf-8")
        faulty = await here.actor.post("try", {"lookup": "order", "dry_run": True})
        assert (faulty.status, "did you mean 'budget'?" in faulty.value["error"]) == (409, True)
