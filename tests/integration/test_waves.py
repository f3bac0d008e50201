"""Lookups that read what others of their route set: one budget, one reply, and never another's input."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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


class Crm:
    """A backend that finds an account by a phone number, and its orders by the account."""

    def __init__(self) -> None:
        """Begin healthy."""
        self.asked: list[str] = []
        self.failing: set[str] = set()
        self.hanging: set[str] = set()
        self.account = "a1"

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer ``/find/PHONE``, ``/orders/ACCOUNT`` and ``/name``."""
        self.asked.append(request.path)
        kind = request.path.split("/")[1]
        if kind in self.hanging:
            await asyncio.Event().wait()
        if kind in self.failing:
            return web.Response(status=503)
        answers = {"find": {"account": self.account}, "name": {"name": "Lin"}}
        return web.json_response(answers.get(kind, {"status": f"of {request.path.split('/')[-1]}"}))


def declared(place: Place, url: str, changes: dict[str, object] | None = None, **knobs: str) -> Catalog:
    """Return a configuration whose ``orders`` read what ``find`` sets."""
    lookups = {
        "orders": {
            "backend": "crm",
            "request": {"path": "/orders/{account_id}"},
            "variables": {"order_status": "status"},
            "fresh": "0s",
        },
        "find": {
            "backend": "crm",
            "request": {"path": "/find/{phone}"},
            "variables": {"account_id": "account"},
            "internal": ["account_id"],
            "fresh": "0s",
        },
        "name": {
            "backend": "crm",
            "request": {"path": "/name"},
            "variables": {"name": "name"},
            "fresh": "0s",
        },
    }
    base: dict[str, object] = {
        "backends.crm.url": url,
        "backends.crm.attempts": 1,
        "lookups": lookups,
        "routes": [{"lookups": ["orders", "find", "name"]}],
    }
    return place.catalog(base | (changes or {}), **knobs)


@asynccontextmanager
async def deployed(
    place: Place, desk: Desk, changes: dict[str, object] | None = None, **knobs: str
) -> AsyncIterator[tuple[Desk, Crm]]:
    """Yield a gateway with its worker, and their backend."""
    crm = Crm()
    async with serving(crm.handle) as url:
        catalog = declared(place, url, changes, **knobs)
        async with gateway(catalog) as running, workers(catalog, catalog.lanes, grace=0):
            yield desk.at(running.callbacks), crm


def looked_up(lines: list[Any]) -> dict[str, Any]:
    """Return the lookups of the last callback, as its line shows them."""
    return dict([line for line in lines if line["event"] == "callback.answered"][-1]["lookups"])


async def test_a_lookup_reads_what_another_one_sets(place: Place, desk: Desk) -> None:
    """The reply has both but the internal variable; the line shows the waves."""
    async with deployed(place, desk) as (here, crm):
        with capture_logs() as lines:
            heard = await here.call(phone="1")
    assert (heard.code, heard.variables) == (0, {"order_status": "of a1", "name": "Lin"})
    assert sorted(crm.asked[:2]) == ["/find/1", "/name"]
    assert crm.asked[2:] == ["/orders/a1"]
    assert {name: one["wave"] for name, one in looked_up(lines).items()} == {
        "find": 1,
        "name": 1,
        "orders": 2,
    }


async def test_a_need_that_failed_stands_on_its_own_ladder(place: Place, desk: Desk) -> None:
    """A stale account still lets the orders be asked for; the code tells of it."""
    async with deployed(place, desk) as (here, crm):
        await here.call(phone="1")
        crm.failing.add("find")
        crm.asked.clear()
        heard = await here.call(phone="1")
    assert (heard.code, heard.variables["order_status"]) == (Code.BACKEND_UNAVAILABLE, "of a1")
    assert heard.envelope["ErrorInfo"].startswith("find: BACKEND_UNAVAILABLE, last known")
    assert "/orders/a1" in crm.asked


async def test_without_the_need_the_next_is_not_made(place: Place, desk: Desk) -> None:
    """Not with the callback's own variable of that name either: it may be another account's."""
    async with deployed(place, desk) as (here, crm):
        crm.failing.add("find")
        heard = await here.call(phone="1", account_id="somebody")
        assert not [path for path in crm.asked if path.startswith("/orders")]
        crm.failing.clear()
        crm.account = ""
        blank = await here.call("s2", phone="1", account_id="somebody")
    assert (heard.code, heard.variables) == (Code.MISSING_INPUT, {"name": "Lin"})
    assert heard.envelope["ErrorInfo"].startswith("orders: MISSING_INPUT (account_id), nothing known; find:")
    assert (blank.code, blank.variables) == (Code.MISSING_INPUT, {"name": "Lin"})
    assert not [path for path in crm.asked if path.startswith("/orders")]


async def test_a_fallback_lets_the_next_be_asked(place: Place, desk: Desk) -> None:
    """It is what the configuration says to tell."""
    changes: dict[str, object] = {"lookups.find.fallback": {"account_id": "default"}}
    async with deployed(place, desk, changes) as (here, crm):
        crm.failing.add("find")
        heard = await here.call(phone="1")
    assert (heard.code, heard.variables["order_status"]) == (Code.BACKEND_UNAVAILABLE, "of default")


async def test_a_record_belongs_to_the_account_that_was_found(place: Place, desk: Desk) -> None:
    """Another account's orders are never the last known ones of this."""
    async with deployed(place, desk) as (here, crm):
        await here.call(phone="1")
        crm.account = "a2"
        crm.failing.add("orders")
        heard = await here.call(phone="1")
    assert (heard.code, heard.variables) == (Code.BACKEND_UNAVAILABLE, {"name": "Lin"})


@pytest.mark.parametrize(("wanted", "code"), [("yes", 0), ("no", 0), (None, 0)])
async def test_a_lookup_is_made_when_its_condition_holds(
    wanted: str | None, code: int, place: Place, desk: Desk
) -> None:
    """Else it has no variables and no code, and the line says so."""
    changes: dict[str, object] = {"lookups.orders.when": {"wants_orders": "yes"}}
    async with deployed(place, desk, changes) as (here, crm):
        with capture_logs() as lines:
            heard = await here.call(phone="1", **({} if wanted is None else {"wants_orders": wanted}))
    assert heard.code == code
    assert ("order_status" in heard.variables) is (wanted == "yes")
    assert looked_up(lines)["orders"]["source"] == ("live" if wanted == "yes" else "skipped")
    assert ("/orders/a1" in crm.asked) is (wanted == "yes")


async def test_a_condition_may_be_about_what_another_lookup_has_found(place: Place, desk: Desk) -> None:
    """Then it waits for it."""
    changes: dict[str, object] = {"lookups.name.when": {"order_status": "of a1"}}
    async with deployed(place, desk, changes) as (here, crm):
        with capture_logs() as lines:
            first = await here.call(phone="1")
        crm.account = "a2"
        second = await here.call("s2", phone="1")
    assert looked_up(lines)["name"]["wave"] == 3
    assert ("name" in first.variables, "name" in second.variables) == (True, False)


async def test_a_need_that_is_skipped_leaves_the_callbacks_own_variable(place: Place, desk: Desk) -> None:
    """The flow knows the account already: look it up only if it does not."""
    changes: dict[str, object] = {"lookups.find.when": {"account_id": ""}}
    async with deployed(place, desk, changes) as (here, _):
        heard = [await here.call(phone="1", account_id="own"), await here.call("s2", phone="1")]
    assert [one.variables["order_status"] for one in heard] == ["of own", "of a1"]
    assert "account_id" not in heard[1].variables


async def test_a_first_wave_that_hangs_leaves_time_for_the_records_of_the_next(
    place: Place, desk: Desk
) -> None:
    """The session's orders are known; a slow search for the account must not lose them."""
    async with deployed(place, desk, budget="1s", redis_timeout="200ms") as (here, crm):
        await here.call(phone="1")
        crm.hanging |= {"find", "orders"}
        heard = await here.call(phone="1")
    assert heard.code == Code.TIMEOUT
    assert heard.variables == {"order_status": "of a1", "name": "Lin"}
    assert heard.took < 1.5


async def test_waves_are_made_without_redis_too(valkey: Valkey, place: Place, desk: Desk) -> None:
    """The gateway asks by itself, one wave after the other."""
    own = Place(valkey.url, place.prefix, place.crm_url)
    async with deployed(own, desk, {f"apps.{APP}.redis_lost": "direct"}) as (here, crm):
        valkey.kill()
        heard = await here.call(phone="1")
    assert (heard.code, heard.variables) == (0, {"order_status": "of a1", "name": "Lin"})
    assert crm.asked[-1] == "/orders/a1"


async def test_fresh_records_answer_all_waves_from_memory(place: Place, desk: Desk) -> None:
    """A second callback asks nobody."""
    changes: dict[str, object] = {f"lookups.{name}.fresh": "60s" for name in ("orders", "find", "name")}
    async with deployed(place, desk, changes) as (here, crm):
        heard: list[Heard] = [await here.call(phone="1") for _ in range(2)]
    assert len(crm.asked) == 3
    assert heard[0].envelope == heard[1].envelope


async def test_a_lookup_with_a_condition_is_prefetched_when_it_holds(place: Place, desk: Desk) -> None:
    """Judged on what the event says."""
    for user, expected in (("user517", ["/name"]), ("another", [])):
        changes: dict[str, object] = {
            f"apps.{APP}.prefetch": ["name"],
            "lookups.name.when": {"SystemClientUserID": "user517"},
        }
        async with deployed(place, desk, changes) as (here, crm):
            query = here.query | {"CallbackCommand": "Desk.SessionEventNotify"}
            command = {"CallbackCommand": "Desk.SessionEventNotify", "Event": "x"}
            with capture_logs() as lines:
                await here.send(
                    json.dumps(command | {"SessionId": "s", "ClientUserId": user}).encode(), query
                )
                await when(lambda: [line for line in lines if line["event"] == "session.notified"])
            await when(lambda: crm.asked == expected)  # noqa: B023
        assert crm.asked == expected
