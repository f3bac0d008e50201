"""The history tells how callbacks were answered, costs them nothing, and keeps nobody who is forgotten."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from aiohttp import web
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.declared.catalog import Catalog
from gateway.declared.secrets import HIDDEN
from gateway.forgetting.erase import Whom, erase
from gateway.front.app import gateway
from gateway.history.entries import CallbackEntry, Entry, LookupEntry, decode
from gateway.history.recorder import BYTES_AT_ONCE, KEEP, MOST_BYTES, recorder
from gateway.process.lasting import Lasting
from gateway.telemetry.events import instruments
from gateway.tools.explaining.run import read_story
from gateway.tools.explaining.story import Part
from gateway.tools.processes import Valkey
from gateway.wire.keys import Keys
from gateway.wire.link import Script
from tests.asking import only, serving
from tests.desk import APP, Desk, Place, when
from workers.main import workers

pytestmark = pytest.mark.timeout(120)


async def kept(place: Place, session: str = "s1") -> list[Entry]:
    """Return the entries of a session, newest first."""
    async with Redis.from_url(place.redis_url) as redis:
        data = await redis.lrange(Keys(place.prefix).history(f"{APP}:{session}"), 0, -1)
    entries = [decode(one) for one in data]
    return [entry for entry in entries if entry is not None]


async def written(place: Place, count: int, session: str = "s1") -> list[Entry]:
    """Return the entries of a session once there are so many."""
    found: list[Entry] = []
    while len(found) < count:  # in another process nothing sets an event here
        await asyncio.sleep(0.02)
        found = await kept(place, session)
    assert len(found) == count
    return found


async def keys_about(place: Place, word: str) -> list[str]:
    """Return the keys of which the name or the value has a word, whatever their type."""
    found = []
    async with Redis.from_url(place.redis_url) as redis:
        async for key in redis.scan_iter(f"{place.prefix}:*"):
            match await redis.type(key):
                case b"list":
                    value = b"".join(await redis.lrange(key, 0, -1))
                case b"zset":
                    value = b"".join(await redis.zrange(key, 0, -1))
                case b"hash":
                    value = repr(await redis.hgetall(key)).encode()
                case b"set":
                    value = b"".join(await redis.smembers(key))
                case _:
                    value = await redis.get(key) or b""
            if word.encode() in key + value:
                found.append(key.decode().removeprefix(f"{place.prefix}:"))
    return sorted(found)


async def story(place: Place, catalog: Catalog, session: str = "s1") -> list[Mapping[str, Part]]:
    """Return the parts of each callback that is explained, by lookup, oldest first."""
    told = await read_story(catalog, place.redis_url, [APP], session)
    return [{part.lookup: part for part in one.parts} for one in told]


async def test_a_callback_and_its_lookup_are_kept_without_values(place: Place, desk: Desk) -> None:
    """The default: names, sources, codes and times."""
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        await desk.at(running.callbacks).call(node="order", orderId="4711-private")
        entries = await written(place, 2)
    callback = next(one for one in entries if isinstance(one, CallbackEntry))
    lookup = next(one for one in entries if isinstance(one, LookupEntry))
    part = callback.lookups["order"]
    assert (callback.session, callback.user, callback.code) == ("s1", "user517", 0)
    assert (part.source, part.sets) == ("live", ("order_id", "order_total"))
    assert (lookup.trace_id, lookup.lookup, lookup.code, lookup.user) == (
        callback.trace_id,
        "order",
        0,
        "user517",
    )
    assert [(one.number, one.outcome, one.status, one.body) for one in lookup.attempts] == [
        (1, "OK", 200, None)
    ]
    assert callback.inputs is callback.variables is lookup.inputs is lookup.variables is None
    assert [key for key in await keys_about(place, "4711-private") if key.startswith("histor")] == []


async def test_values_are_kept_where_that_is_wished_and_the_hidden_ones_hidden(
    place: Place, crm: Crm, desk: Desk
) -> None:
    """The names that the app names, in variables and in replies; and every secret."""
    changes = {"history.level": "values", f"apps.{APP}.mask": ["total", "secretNote"]}
    catalog = place.catalog(changes)
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        await desk.at(running.callbacks).call(node="order", orderId="7", secretNote="hush", token="t0ken")
        entries = await written(place, 2)
    callback = next(one for one in entries if isinstance(one, CallbackEntry))
    lookup = next(one for one in entries if isinstance(one, LookupEntry))
    assert callback.inputs is not None
    assert callback.inputs["orderId"] == "7"
    assert callback.inputs["secretNote"] == callback.inputs["token"] == HIDDEN
    assert callback.variables is not None
    assert callback.variables["order_id"] == "7"
    assert lookup.inputs == {"orderId": "7"}
    body = lookup.attempts[0].body or ""
    assert '"id":"7"' in body
    assert f'"total":"{HIDDEN}"' in body
    assert crm.stats.calls == {"/orders/7": 1}


async def test_what_a_visitor_typed_is_hidden_where_the_backend_repeats_it(place: Place, desk: Desk) -> None:
    """In its reply, in the variables made of that, and in the callback's."""
    catalog = place.catalog({"history.level": "values", f"apps.{APP}.mask": ["orderId"]})
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        at = desk.at(running.callbacks)
        await at.call(node="order", orderId="4711-mine", said="it is 4711-mine")
        await at.call("s2", node="nothing", orderId="4711-mine", said="it is 4711-mine")
        await written(place, 2)
        await written(place, 1, "s2")
    kept_keys = [key for key in await keys_about(place, "4711-mine") if key.startswith("histor")]
    assert kept_keys == []
    (callback,) = [one for one in await kept(place) if isinstance(one, CallbackEntry)]
    assert callback.variables is not None
    assert callback.variables["order_id"] == HIDDEN


@pytest.mark.parametrize("status", [200, 500])
async def test_a_reply_is_read_in_the_charset_of_its_backend_and_cut_without_half_a_secret(
    place: Place, desk: Desk, status: int
) -> None:
    """Names are found in it so; of the reply to an error, some bytes are kept."""
    key = "s3cret-key-of-a-backend"
    ends = b"x" * 2036 + key.encode() + b"y" * 3000
    names = '{"id": "7", "手机号": "15551234"}'

    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        body = names.encode("gbk") if status == 200 else ends
        return web.Response(status=status, body=body, headers={"Content-Type": 'text/json; name="Eze"'})

    changes: dict[str, object] = {
        "history.level": "values",
        "backends.crm.charset": "GBK",
        "backends.crm.attempts": 1,
        "backends.crm.auth": {"type": "bearer", "token": key},
    }
    async with serving(handle) as url:
        catalog = Place(place.redis_url, place.prefix, url).catalog(changes)
        async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
            await desk.at(running.callbacks).call(node="order", orderId="7")
            entries = await written(place, 2)
    lookup = next(one for one in entries if isinstance(one, LookupEntry))
    body = lookup.attempts[0].body or ""
    assert lookup.attempts[0].content_type == "text/json"
    assert body == (names if status == 200 else "x" * 2036 + HIDDEN)


async def test_off_writes_nothing(place: Place, desk: Desk) -> None:
    """And the recorder hears of nothing."""
    catalog = place.catalog({"history.level": "off"})
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        await desk.at(running.callbacks).call(node="order", orderId="7")
        assert recorder not in instruments
    assert [key for key in await keys_about(place, "") if key.startswith(("histor", "series"))] == []


async def test_what_waits_is_written_at_the_end(place: Place, desk: Desk) -> None:
    """A process that stops loses none of its last callbacks."""
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        await desk.at(running.callbacks).call(node="order", orderId="7")
    assert len(await kept(place)) == 2
    async with Redis.from_url(place.redis_url) as redis:
        slots = [await redis.hgetall(key) async for key in redis.scan_iter(f"{place.prefix}:series:*")]
    assert sum(int(slot.get(b"callbacks//OK", 0)) for slot in slots) == 1


async def test_a_session_keeps_its_latest_callbacks_and_the_fleet_its_latest_sessions(
    place: Place, desk: Desk
) -> None:
    """Redis holds so much of it and no more."""
    catalog = place.catalog({"history.per_session": 2, "history.sessions": 3})
    async with gateway(catalog) as running:
        at = desk.at(running.callbacks)
        for number in range(13):
            await at.call(f"s{max(0, number - 9)}", node="order")
            await asyncio.sleep(0)
    assert [len(await kept(place, f"s{number}")) for number in range(4)] in ([0, 1, 1, 1], [10, 1, 1, 1])
    async with Redis.from_url(place.redis_url) as redis:
        keys = Keys(place.prefix)
        assert await redis.zcard(keys.histories()) <= 3
        assert 86_000 < await redis.ttl(keys.history(f"{APP}:s3")) <= 86_400


@pytest.mark.parametrize("by", ["session", "user"])
async def test_nothing_of_a_forgotten_session_is_left(place: Place, crm: Crm, desk: Desk, by: str) -> None:
    """Whenever the word comes: before the write, between, or while the backend is being asked."""
    crm.put(
        '[[rules]]\nlatency = { lognormal = { median = "30ms", p95 = "120ms" } }\n'
        "shares = { ok = 0.5, error = 0.5 }\n"
    )
    changes = {"history.level": "values", f"apps.{APP}.forget_on": ["x"], "lookups.order.share": "user"}
    catalog, draw = place.catalog(changes), random.Random(7)
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        at = desk.at(running.callbacks)

        async def live(number: int) -> None:
            session, user = f"gone-{number}", f"user-gone-{number}"
            calls = [
                asyncio.create_task(at.call(session, user, node="order", orderId=f"id-gone-{number}"))
                for _ in range(3)
            ]
            await asyncio.sleep(draw.random() * 0.4)
            if draw.random() < 0.5:
                await asyncio.gather(*calls)
            whom = Whom((APP,), APP, session) if by == "session" else Whom((APP,), APP, user=user)
            await erase(place.redis_url, Keys(place.prefix), whom, lambda _: None)
            await asyncio.gather(*calls)

        await asyncio.gather(
            *(live(number) for number in range(25)), at.call("stays", "other", node="order", orderId="1")
        )
        await asyncio.sleep(0.5)
    left = await keys_about(place, "gone-")
    assert [key for key in left if key.startswith(("history", "histories"))] == []
    assert any(key.startswith("history") for key in await keys_about(place, "stays"))


async def test_redis_that_is_away_costs_callbacks_nothing(valkey: Valkey, place: Place, desk: Desk) -> None:
    """What happens meanwhile is told when it is back (empty), if that is soon."""
    place = Place(valkey.url, place.prefix, place.crm_url)
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        at = desk.at(running.callbacks)
        await at.call(node="order", orderId="7")
        await written(place, 2)
        valkey.stop()
        await when(lambda: running.service.link.lost)
        heard = await at.call(node="order", orderId="8")
        assert heard.envelope["ErrorCode"] == Code.QUEUE_UNAVAILABLE
        assert heard.took < 1
        valkey.start()
        await when(running.service.link.present.is_set)
        found = await written(place, 1)
        assert found[0].code == Code.QUEUE_UNAVAILABLE


async def test_each_source_is_explained(place: Place, crm: Crm, desk: Desk) -> None:
    """Where an answer came from, which question gave it, and what the rungs above had."""
    catalog = place.catalog({"lookups.order.fresh": "0s"})
    failing = only("error", "status = 500")
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        at = desk.at(running.callbacks)
        await at.call(node="both", orderId="7")
        await at.call(node="both", orderId="7")
        crm.put(failing)
        await at.call(node="both", orderId="7")
        await at.call(node="order", orderId="8")
        await at.call(node="order")
    first, second, third, fourth, fifth = await story(place, catalog)
    asked = first["order"].asked
    assert asked is not None
    assert (first["order"].part.source, first["order"].joined, first["order"].rungs) == ("live", False, ())
    assert second["customer"].part.source == "fresh"
    assert second["customer"].asked is not None
    assert second["customer"].joined
    assert second["order"].part.source == "live"
    assert third["order"].rungs[0] == "no answer: BACKEND_UNAVAILABLE, the backend answered 500"
    assert third["order"].rungs[1].endswith(" s old, given")
    tried = third["order"].asked
    assert tried is not None
    assert [(one.status, one.outcome) for one in tried.attempts] == [(500, "BACKEND_UNAVAILABLE")] * len(
        tried.attempts
    )
    assert tried.attempts[0].reason == "the backend answered 500"
    assert fourth["order"].rungs[1:] == ("the session's record: none", "fallback: given")
    assert fifth["order"].rungs == (
        "no answer: MISSING_INPUT (orderId)",
        "the session's record: none",
        "fallback: given",
    )
    assert fifth["order"].asked is None


async def test_a_callback_that_joined_anothers_question_is_told_so(
    place: Place, crm: Crm, desk: Desk
) -> None:
    """Both wait for one call to the backend."""
    crm.put('[[rules]]\nlatency = { fixed = "200ms" }\n')
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        at = desk.at(running.callbacks)
        await asyncio.gather(*(at.call(node="order", orderId="7") for _ in range(2)))
    parts = [one["order"] for one in await story(place, catalog)]
    assert sorted(part.joined for part in parts) == [False, True]
    assert parts[0].asked == parts[1].asked


@pytest.mark.parametrize("whom", [{"user": "user517"}, {"app": APP, "user": "user517"}, {"session": "s1"}])
async def test_who_never_had_an_answer_is_forgotten_too(
    place: Place, crm: Crm, desk: Desk, whom: dict[str, Any]
) -> None:
    """There is no record by which the session could be found."""
    crm.put(only("error", "status = 500"))
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        at = desk.at(running.callbacks)
        await at.call(node="order", orderId="7")
        await at.call("s2", "another", node="order", orderId="7")
        await written(place, 2)
        await written(place, 2, "s2")
    await erase(place.redis_url, Keys(place.prefix), Whom((APP,), **whom), lambda _: None)
    assert [len(await kept(place, session)) for session in ("s1", "s2")] == [0, 2]


async def test_a_user_is_forgotten_whose_only_trace_waits_to_be_written(place: Place, desk: Desk) -> None:
    """Neither a record nor a job names the session, so it is found by nobody; the user's name says enough."""
    catalog = place.catalog()
    async with gateway(catalog) as running:
        at = desk.at(running.callbacks)
        calls = [at.call(f"s{number}", "gone", node="order") for number in range(3)]
        await asyncio.gather(*calls, at.call("s1", "stays", node="order"))
        assert (
            await erase(place.redis_url, Keys(place.prefix), Whom((APP,), user="gone"), lambda _: None) == 0
        )
        await written(place, 1)
        await asyncio.sleep(1.2)  # a write may be under way for redis.timeout
        await at.call("s2", "gone", node="order")
        await written(place, 1, "s2")
    assert [len(await kept(place, f"s{number}")) for number in range(3)] == [0, 1, 1]


async def test_a_user_of_another_app_is_not_forgotten(place: Place, desk: Desk) -> None:
    """The same id may be another person there."""
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        await desk.at(running.callbacks).call(node="order", orderId="7")
        await written(place, 2)
    whom = Whom((APP,), 1400000002, user="user517")
    await erase(place.redis_url, Keys(place.prefix), whom, lambda _: None)
    assert len(await kept(place)) == 2


async def test_an_entry_that_is_too_large_is_kept_without_values(place: Place, desk: Desk) -> None:
    """A visitor may type a lot, in many variables."""
    catalog = place.catalog({"history.level": "values"})
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        many = {f"v{number}": "x" * 900 for number in range(60)}
        await desk.at(running.callbacks).call(node="order", orderId="7", **many)
        entries = await written(place, 2)
    callback = next(one for one in entries if isinstance(one, CallbackEntry))
    assert callback.inputs is None
    assert callback.lookups["order"].source == "live"


async def test_what_waits_is_bounded(
    valkey: Valkey, place: Place, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Redis, callbacks go on, and their history is dropped and counted."""
    place = Place(valkey.url, place.prefix, place.crm_url)
    async with gateway(place.catalog({"history.level": "values"})) as running:
        at = desk.at(running.callbacks)
        valkey.stop()
        await when(lambda: running.service.link.lost)
        monkeypatch.setattr(recorder, "_full", Lasting())  # another test may just have had it told
        with capture_logs() as lines:
            much = {f"b{number}": "y" * 900 for number in range(25)}
            for number in range(500):
                await at.call(f"s{number}", node="order", **much)
            assert MOST_BYTES * 0.9 < recorder._bytes <= MOST_BYTES
            assert recorder._bytes == sum(len(row.text) for row in recorder._waiting)
            await when(lambda: any(line["event"] == "history.dropped" for line in lines))
    assert recorder._bytes == 0


async def test_what_has_waited_is_written_in_small_pieces(
    valkey: Valkey, place: Place, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callbacks share the connection. The history of an outage, sent in one piece, was the next outage."""
    place = Place(valkey.url, place.prefix, place.crm_url)
    async with gateway(place.catalog({"history.level": "values"})) as running:
        at, link, sizes = desk.at(running.callbacks), running.service.link, list[int]()
        valkey.stop()
        await when(lambda: link.lost)
        much = {f"b{number}": "y" * 900 for number in range(25)}
        for number in range(40):
            await at.call(f"s{number}", node="order", **much)
        run = link.run

        def run_and_note(
            script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | float]
        ) -> "asyncio.Future[Any]":
            if script is KEEP:
                sizes.append(sum(len(one) for one in arguments if isinstance(one, bytes)))
            return run(script, keys, arguments)

        monkeypatch.setattr(link, "run", run_and_note)
        await asyncio.to_thread(valkey.start)
        await when(lambda: not recorder._waiting)
    assert sum(sizes) > 40 * 25 * 900
    assert max(sizes) <= BYTES_AT_ONCE


async def test_a_reload_turns_the_history_off_and_on(place: Place, desk: Desk) -> None:
    """At once, also while the service of before has callbacks in hand."""
    on, off = place.catalog(), place.catalog({"history.level": "off"})
    async with gateway(on) as running:
        at = desk.at(running.callbacks)
        await at.call(node="order")
        await written(place, 1)
        await running.reload(off)
        await at.call("s2", node="order")
        await running.reload(on)
        await at.call("s3", node="order")
        await written(place, 1, "s3")
    assert await kept(place, "s2") == []


async def test_a_callback_without_a_route_is_kept_too(place: Place, desk: Desk) -> None:
    """The first slip of every newcomer."""
    catalog = place.catalog({"history.level": "values"})
    async with gateway(catalog) as running:
        await desk.at(running.callbacks).call(node="nothing")
        (entry,) = await written(place, 1)
    assert isinstance(entry, CallbackEntry)
    assert (entry.code, entry.route) == (Code.NO_ROUTE, "none")
    assert entry.info == "no route matches this callback; see [[routes]] in the configuration"
    assert entry.inputs is not None
    assert entry.inputs["node"] == "nothing"


async def test_a_key_of_another_type_keeps_nobody_from_being_forgotten(place: Place, desk: Desk) -> None:
    """Whoever has written there; and a mark that cannot be read counts as one."""
    catalog, keys = place.catalog(), Keys(place.prefix)
    async with (
        Redis.from_url(place.redis_url) as redis,
        workers(catalog, catalog.lanes, grace=0),
        gateway(catalog) as running,
    ):
        await redis.set(keys.history(f"{APP}:other"), "x")
        await redis.set(keys.void(f"{APP}:s3"), "x")
        at = desk.at(running.callbacks)
        await at.call("s3", node="order", orderId="7")
        await at.call(node="order", orderId="7")
        await written(place, 2)
        assert await kept(place, "s3") == []
        await erase(place.redis_url, keys, Whom((APP,), user="user517"), lambda _: None)
    assert await kept(place) == []


async def test_a_session_whose_name_is_as_long_as_a_callback_is_not_kept(place: Place, desk: Desk) -> None:
    """Its callbacks are answered."""
    catalog = place.catalog()
    async with gateway(catalog) as running:
        at = desk.at(running.callbacks)
        heard = await at.call("s" * 40_000, node="order")
        assert heard.code == Code.MISSING_INPUT
        await at.call(node="order")
        await written(place, 1)
    assert await keys_about(place, "s" * 100) == []
