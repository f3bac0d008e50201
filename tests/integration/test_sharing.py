"""``share = "user"``: answers that a new session of a user may fall back on, or must never get."""

import asyncio

from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.declared.catalog import Catalog
from gateway.front.app import gateway
from gateway.tools.processes import Valkey
from gateway.wire.keys import Keys
from tests.asking import counting, serving
from tests.desk import Desk, Heard, Place, when
from workers.main import workers

FAILING = "seed = 1\n[[rules]]\nshares = { error = 1 }\nstatus = 500\n"
HANGING = "seed = 1\n[[rules]]\nshares = { hang = 1 }\n"
UNKNOWN = {"order_id": "unknown"}


def sharing(place: Place, **knobs: str) -> Catalog:
    """Return the test configuration with a lookup of orders that the user's sessions share."""
    return place.catalog({"lookups.order.share": "user"}, **knobs)


async def ask(desk: Desk, session: str, user: str = "user517", number: str = "1") -> Heard:
    """Return what a session of a user hears about an order."""
    return await desk.call(session, user, node="order", orderId=number)


async def test_new_session_falls_back_on_the_users_last_answer(place: Place, crm: Crm, desk: Desk) -> None:
    """A user who comes back while the CRM is down gets the last answer, marked as old."""
    catalog = sharing(place)
    async with (
        workers(catalog, catalog.lanes, grace=1),
        gateway(catalog) as first,
        gateway(catalog) as second,
    ):
        known = await ask(desk.at(first.callbacks), "s1")
        crm.put(FAILING)
        with capture_logs() as lines:
            from_memory = await ask(desk.at(first.callbacks), "s2")
            from_redis = await ask(desk.at(second.callbacks), "s3")
    for heard in (from_memory, from_redis):
        assert (heard.code, heard.variables) == (Code.BACKEND_UNAVAILABLE, known.variables)
        info = "order: BACKEND_UNAVAILABLE, from the user's last session 0 s ago"
        assert heard.envelope["ErrorInfo"] == info
    answered = [line["lookups"]["order"] for line in lines if line["event"] == "callback.answered"]
    assert [outcome["source"] for outcome in answered] == ["user", "user"]
    assert all(outcome["age_ms"] > 0 and outcome["code"] == Code.BACKEND_UNAVAILABLE for outcome in answered)


async def test_while_the_backend_answers_a_new_session_asks_for_itself(
    place: Place, crm: Crm, desk: Desk
) -> None:
    """Another session's answer is what is left when all else fails, never a fresh one."""
    catalog = sharing(place)
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        heard = [await ask(here, session) for session in ("s1", "s2")]
    assert [one.code for one in heard] == [Code.OK, Code.OK]
    assert crm.stats.report()["total"] == 2


async def test_nobody_else_is_told_and_nothing_else_is_answered(place: Place, crm: Crm, desk: Desk) -> None:
    """Not another user, not one without a name, not another order, not another app."""
    catalog = sharing(place)
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        for session, user in (("s1", "user517"), ("s1-of-nobody", "")):
            assert (await ask(here, session, user)).code == Code.OK
        crm.put(FAILING)
        other_app = Desk(here.http, here.url, {**here.query, "SdkAppid": "1400000002"})
        heard = [
            await ask(here, "s2", "user518"),
            await ask(here, "s2", ""),
            await ask(here, "s2", "user517", "2"),
            await ask(other_app, "s2"),
        ]
    assert [one.variables for one in heard] == [UNKNOWN] * len(heard)


async def test_session_that_is_named_like_a_user_gets_nothing_of_the_users(
    place: Place, crm: Crm, desk: Desk
) -> None:
    """Sessions and users are names from outside: the one must not open the other's records."""
    catalog = sharing(place)
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        assert (await ask(here, "s1", "user517")).code == Code.OK
        crm.put(FAILING)
        named = ("user517", "user=user517", "user", "=user517")
        as_session = [await ask(here, name, "mallory") for name in named]
        as_user = [await ask(here, "s2", name) for name in ("s1", *named[1:])]
    assert [one.variables for one in (*as_session, *as_user)] == [UNKNOWN] * 8


async def test_sessions_own_answer_comes_before_a_younger_one_of_the_users(place: Place, desk: Desk) -> None:
    """A conversation goes on with its own answers."""
    async with serving(counting(2)) as url:
        catalog = sharing(Place(place.redis_url, place.prefix, url), fresh="0s")
        async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
            here = desk.at(running.callbacks)
            heard = [await ask(here, session) for session in ("s1", "s2", "s1", "s3")]
    assert [one.variables["order_id"] for one in heard] == ["1", "2", "1", "2"]
    assert heard[2].envelope["ErrorInfo"] == "order: BACKEND_UNAVAILABLE, last known 0 s ago"
    assert "from the user's last session" in heard[3].envelope["ErrorInfo"]


async def test_lookup_that_does_not_share_keeps_nothing_for_the_user(
    place: Place, crm: Crm, desk: Desk
) -> None:
    """The default is the session alone."""
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        assert (await ask(here, "s1")).code == Code.OK
        crm.put(FAILING)
        assert (await ask(here, "s2")).variables == UNKNOWN
        assert len(running.service.memory) == 1


async def test_users_record_lapses_with_the_sessions(place: Place, desk: Desk) -> None:
    """An answer that nobody may get any more must not stay in Redis."""
    catalog = sharing(place, fresh="5s")
    keys = Keys(place.prefix)
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        assert (await ask(desk.at(running.callbacks), "s1")).code == Code.OK
        async with Redis.from_url(place.redis_url) as redis:
            records = [key async for key in redis.scan_iter(keys.record("*"))]
            lapse = [await redis.pttl(key) for key in records]
    assert sum(b":user=user517:" in key for key in records) == 1
    assert len(records) == 2
    assert all(0 < ms <= catalog.lookups["order"].kept * 1000 for ms in lapse)


async def test_users_last_answer_is_there_without_redis(
    valkey: Valkey, place: Place, crm: Crm, desk: Desk
) -> None:
    """The process that has seen it remembers it."""
    catalog = sharing(Place(valkey.url, place.prefix, crm.url))
    async with gateway(catalog) as running:
        here = desk.at(running.callbacks)
        async with workers(catalog, catalog.lanes, grace=1):
            known = await ask(here, "s1")
        valkey.kill()
        heard = await ask(here, "s2")
    assert (heard.code, heard.variables) == (Code.QUEUE_UNAVAILABLE, known.variables)
    assert heard.envelope["ErrorInfo"] == "order: QUEUE_UNAVAILABLE, from the user's last session 0 s ago"


async def test_users_last_answer_is_there_when_a_callback_is_shed(place: Place, crm: Crm, desk: Desk) -> None:
    """With too many callbacks in hand nobody is asked, and memory is all there is."""
    catalog = place.catalog({"gateway.max_inflight": 1, "lookups.order.share": "user"})
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        known = await ask(here, "s1")
        crm.put(HANGING)
        hanging = asyncio.create_task(ask(here, "s1", number="2"))
        await when(lambda: crm.stats.report()["total"] == 2)
        heard = await ask(here, "s2")
        await hanging
    assert (heard.code, heard.variables) == (Code.OVERLOADED, known.variables)
