"""Session events: answered at once with the plain triple, and acted upon behind the answer, once."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.core.messages import SessionEvent
from gateway.core.records import session_name
from gateway.crm.server import Crm
from gateway.front.app import gateway
from gateway.tools.processes import Valkey
from gateway.wire.keys import Keys
from tests.asking import only
from tests.desk import APP, Desk, Heard, Place, when
from workers.main import workers

FAILING = only("error", "status = 500")
PREFETCH = {f"apps.{APP}.prefetch": ["customer", "profile"]}
FORGET = {f"apps.{APP}.forget_on": ["Session.Closed"]}
DOCUMENTED = {
    "CallbackCommand": "Desk.SessionEventNotify",
    "Event": "ChatBot.UserSendMsg",
    "SessionId": "s1",
    "ClientUserId": "user517",
    "CustomerServiceId": "@customer_service_account",
    "ChannelType": "SDK",
    "EventTime": 1731488371000,
}


async def notify(desk: Desk, request_id: str = "", **changed: object) -> Heard:
    """Send the documented event, with fields changed."""
    query = {**desk.query, "CallbackCommand": "Desk.SessionEventNotify"}
    if request_id:
        query["RequestID"] = request_id
    return await desk.send(json.dumps({**DOCUMENTED, **changed}).encode(), query)


def said(lines: list[Any], event: str) -> list[Mapping[str, Any]]:
    """Return the lines of an event."""
    return [line for line in lines if line["event"] == event]


async def test_event_is_answered_with_the_plain_triple(place: Place, desk: Desk) -> None:
    """The app may want much or nothing done on it."""
    async with gateway(place.catalog()) as running:
        with capture_logs() as lines:
            heard = await notify(desk.at(running.callbacks))
            await when(lambda: said(lines, "session.notified"))
    assert (heard.status, heard.envelope) == (200, {"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0})
    (line,) = said(lines, "session.notified")
    assert (line["app"], line["session"], line["name"]) == (APP, "s1", "ChatBot.UserSendMsg")
    assert (line["prefetched"], line["forgotten"], line["reason"]) == ([], 0, "")
    assert not said(lines, "callback.answered")


async def test_first_callback_finds_fresh_what_the_event_had_looked_up(
    place: Place, crm: Crm, desk: Desk
) -> None:
    """The first node of a conversation waits for nobody."""
    catalog = place.catalog(PREFETCH)
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        with capture_logs() as lines:
            await notify(here)
            await when(lambda: len(running.service.memory) == 2)
            heard = await here.call("s1", node="profile")
            await notify(here, Event="ChatBot.Another")
            await when(lambda: len(said(lines, "session.notified")) == 2)
    assert heard.code == Code.OK
    (answered,) = said(lines, "callback.answered")
    assert answered["lookups"]["profile"]["source"] == "fresh"
    assert [line["prefetched"] for line in said(lines, "session.notified")] == [["customer", "profile"], []]
    assert crm.stats.calls == {"/customers/user517": 1, "/profile/user517": 1}
    assert not said(lines, "answer.late")


async def test_what_is_looked_up_ahead_waits_behind_everything(place: Place, desk: Desk) -> None:
    """It is begun as a refresh, and becomes urgent when somebody waits for it."""
    catalog = place.catalog(PREFETCH, budget="60s")
    keys = Keys(place.prefix)
    async with gateway(catalog) as running, Redis.from_url(place.redis_url) as redis:
        here = desk.at(running.callbacks)
        await redis.zadd(keys.free("crm"), {keys.jobs("busy"): 0})
        async with redis.pubsub() as busy:
            await busy.subscribe(keys.jobs("busy"))
            await busy.get_message(timeout=5)
            with capture_logs() as lines:
                await notify(here)
                await when(lambda: said(lines, "session.notified"))
            scores = [score for _, score in await redis.zrange(keys.lane("crm"), 0, -1, withscores=True)]
            assert len(scores) == 2
            assert all(5e11 <= score < 1e12 for score in scores)


async def test_what_is_looked_up_ahead_for_who_is_forgotten_then_leaves_no_record(
    place: Place, crm: Crm, desk: Desk
) -> None:
    """The event came before the word to forget; its lookups are begun a turn of the loop later."""
    catalog = place.catalog(PREFETCH)
    ids = {"SystemSessionID": "s1", "SystemClientUserID": "user517"}
    async with (
        Redis.from_url(place.redis_url) as redis,
        workers(catalog, catalog.lanes, grace=1),
        gateway(catalog) as running,
    ):
        memory = running.service.memory
        running.service.callbacks._events.take(SessionEvent(APP, "s1", "user517", "Begun", ids, ()), "t1")
        memory.erase([session_name(APP, "s1")])  # as another gateway tells it
        await when(lambda: sum(crm.stats.calls.values()) == 2)
        await notify(desk.at(running.callbacks), SessionId="s2")
        await when(lambda: len(memory) == 2)
        jobs = [await redis.get(key) async for key in redis.scan_iter(f"{place.prefix}:flight:*")]
        while await redis.exists(*(b"arq:job:" + job for job in jobs if job)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        kept = {key.decode().split(":")[3] async for key in redis.scan_iter(f"{place.prefix}:record:*")}
        assert kept == {"s2"}
        assert memory.erase([session_name(APP, "s1")]) == 0


async def test_only_the_named_events_prefetch(place: Place, desk: Desk) -> None:
    """A message a second would ask the backend each second; the beginning of a session is enough."""
    catalog = place.catalog(PREFETCH | {f"apps.{APP}.prefetch_on": ["Session.Created"]})
    async with gateway(catalog) as running:
        here = desk.at(running.callbacks)
        with capture_logs() as lines:
            await notify(here)
            await notify(here, Event="Session.Created", SessionId="s2")
            await when(lambda: len(said(lines, "session.notified")) == 2)
    first, second = said(lines, "session.notified")
    assert (first["prefetched"], first["reason"]) == ([], "not in prefetch_on")
    assert second["prefetched"]


async def test_event_without_a_user_prefetches_only_what_needs_none(place: Place, desk: Desk) -> None:
    """The record of a nameless user would be everybody's."""
    catalog = place.catalog(PREFETCH)
    async with gateway(catalog) as running:
        with capture_logs() as lines:
            for number, nobody in enumerate(("", None)):
                heard = await notify(desk.at(running.callbacks), ClientUserId=nobody, EventTime=number)
                assert heard.code == Code.OK
            await when(lambda: len(said(lines, "session.notified")) == 2)
    assert [line["prefetched"] for line in said(lines, "session.notified")] == [[], []]


@pytest.mark.parametrize(
    ("first", "second", "repeated"),
    [
        ({"request_id": "r1"}, {"request_id": "r1", "EventTime": 2}, True),
        ({"request_id": "r1"}, {"request_id": "r2"}, True),
        ({}, {}, True),
        ({"EventTime": 1}, {"EventTime": 2}, False),
        ({"request_id": "r1"}, {"request_id": "r2", "Event": "ChatBot.Another"}, False),
        ({}, {"SessionId": "s2"}, False),
    ],
    ids=str,
)
async def test_retry_does_nothing_twice(
    first: dict[str, Any],
    second: dict[str, Any],
    repeated: bool,  # noqa: FBT001
    place: Place,
    desk: Desk,
) -> None:
    """Desk sends an event again when its answer got lost: the same RequestID, or the same event and time."""
    async with gateway(place.catalog(FORGET)) as running:
        with capture_logs() as lines:
            for fields in (first, second):
                assert (await notify(desk.at(running.callbacks), **fields)).code == Code.OK
            await when(lambda: len(said(lines, "session.notified")) == 2)
    assert [line["reason"] for line in said(lines, "session.notified")] == ["", "a retry" if repeated else ""]


async def test_event_erases_its_session_everywhere(place: Place, crm: Crm, desk: Desk) -> None:
    """A closed session is forgotten in Redis and in both gateways; others are not."""
    catalog = place.catalog(FORGET)
    keys = Keys(place.prefix)
    async with (
        workers(catalog, catalog.lanes, grace=1),
        gateway(catalog) as first,
        gateway(catalog) as second,
        Redis.from_url(place.redis_url) as redis,
    ):
        desks = [desk.at(one.callbacks) for one in (first, second)]
        for here in desks:
            for session in ("s1", "s2"):
                assert (await here.call(session, node="both", orderId="1")).code == Code.OK
        with capture_logs() as lines:
            await notify(desks[0], Event="Session.Closed")
            await when(lambda: [len(one.service.memory) for one in (first, second)] == [2, 2])
            await when(lambda: said(lines, "session.notified"))
        assert [line["forgotten"] for line in said(lines, "session.notified")] == [2]
        left = [key.decode() async for key in redis.scan_iter(f"{keys.record('')}*")]
        assert {key.split(":")[3] for key in left} == {"s2"}
        assert await redis.exists(keys.session(f"{APP}:s1"), keys.session(f"{APP}:s2")) == 1
        crm.put(FAILING)
        known = [(await here.call("s1", node="order", orderId="1")).variables for here in desks]
    assert known == [{"order_id": "unknown"}] * 2


async def test_app_without_such_events_keeps_no_index(place: Place, desk: Desk) -> None:
    """An event that no app uses costs nothing."""
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        await desk.at(running.callbacks).call("s1", node="order", orderId="1")
        async with Redis.from_url(place.redis_url) as redis:
            assert not [key async for key in redis.scan_iter(f"{place.prefix}:session:*")]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", Code.BAD_REQUEST),
        (b"[]", Code.BAD_REQUEST),
        (b'{"CallbackCommand": "Desk.SessionEventNotify"}', Code.BAD_REQUEST),
        (json.dumps({**DOCUMENTED, "SessionId": ""}).encode(), Code.BAD_REQUEST),
        (json.dumps({**DOCUMENTED, "Event": 7}).encode(), Code.BAD_REQUEST),
        (json.dumps({**DOCUMENTED, "SessionId": True}).encode(), Code.BAD_REQUEST),
        (
            json.dumps({**DOCUMENTED, "CallbackCommand": "Chatbot.InterfaceInvocation"}).encode(),
            Code.BAD_REQUEST,
        ),
    ],
)
async def test_what_is_no_event_is_refused(body: bytes, code: Code, place: Place, desk: Desk) -> None:
    """As a callback is."""
    async with gateway(place.catalog()) as running:
        here = desk.at(running.callbacks)
        query = {**here.query, "CallbackCommand": "Desk.SessionEventNotify"}
        assert (await here.send(body, query)).code == code


async def test_sibling_gets_the_plain_reply_and_forgets_as_a_session_event_does(
    place: Place, desk: Desk
) -> None:
    """A transfer to a human may end what the bot shall remember; a message of no session is only logged."""
    catalog = place.catalog({f"apps.{APP}.forget_on": ["ChatBot.OnAssignHuman"]})
    async with gateway(catalog) as running:
        here = desk.at(running.callbacks)
        with capture_logs() as lines:
            for sibling in ({"SessionId": "s1"}, {}):
                body = json.dumps({"CallbackCommand": "ChatBot.OnAssignHuman", **sibling}).encode()
                query = {**here.query, "CallbackCommand": "ChatBot.OnAssignHuman"}
                heard = await here.send(body, query)
                assert heard.envelope == {"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0}
            await when(lambda: len(said(lines, "session.notified")) == 2)
    notified = said(lines, "session.notified")
    assert [line["name"] for line in notified] == ["ChatBot.OnAssignHuman"] * 2
    assert {line["reason"] for line in notified} == {"", "of no session"}


async def test_event_has_to_be_signed_and_of_a_known_app(place: Place, desk: Desk) -> None:
    """An attacker who could send one could have anybody's session forgotten."""
    async with gateway(place.catalog()) as running:
        here = desk.at(running.callbacks)
        for app, code in (("1400000003", Code.UNAUTHENTICATED), ("1400000009", Code.UNKNOWN_APP)):
            assert (await notify(Desk(here.http, here.url, {**here.query, "SdkAppid": app}))).code == code


async def test_without_redis_a_session_is_forgotten_later(valkey: Valkey, place: Place, desk: Desk) -> None:
    """The event is answered at once; The session is forgotten when Redis is back."""
    own = Place(valkey.url, place.prefix, place.crm_url)
    catalog = own.catalog(FORGET)
    async with gateway(catalog) as running:
        here = desk.at(running.callbacks)
        with capture_logs() as lines:
            async with workers(catalog, catalog.lanes, grace=1):
                await here.call("s1", node="order", orderId="1")
            valkey.kill()
            assert (await notify(here, Event="Session.Closed")).code == Code.OK
            await when(lambda: len(running.service.memory) == 0)
            assert not said(lines, "session.notified")
            await asyncio.to_thread(valkey.start)
            await when(lambda: said(lines, "session.notified"))
    assert said(lines, "session.notified")[0]["reason"] == ""


async def test_retry_of_an_event_that_came_to_nothing_is_acted_on(
    valkey: Valkey, place: Place, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis was away for longer than the first one was tried; what it holds of the session must go."""
    monkeypatch.setattr("gateway.front.session_events.FORGET_FOR", 0.1)
    catalog = Place(valkey.url, place.prefix, place.crm_url).catalog(FORGET)
    async with gateway(catalog) as running:
        here = desk.at(running.callbacks)
        with capture_logs() as lines:
            valkey.kill()
            await notify(here, "r1", Event="Session.Closed")
            await when(lambda: said(lines, "session.notified"))
            await asyncio.to_thread(valkey.start)
            await running.service.link.present.wait()
            await notify(here, "r1", Event="Session.Closed")
            await when(lambda: len(said(lines, "session.notified")) == 2)
    first, second = said(lines, "session.notified")
    assert "Redis" in first["reason"]
    assert second["reason"] == ""


async def test_gateway_stops_with_events_in_hand(valkey: Valkey, place: Place, desk: Desk) -> None:
    """A task that cannot be done any more is given up, and an operator hears of it: Desk does not."""
    catalog = Place(valkey.url, place.prefix, place.crm_url).catalog(FORGET, budget="100ms")
    with capture_logs() as lines:
        async with gateway(catalog) as running:
            valkey.kill()
            for number in range(50):
                assert (
                    await notify(desk.at(running.callbacks), Event="Session.Closed", EventTime=number)
                ).code == 0
    kept = said(lines, "session.not_forgotten")
    assert [(line["log_level"], line["reason"]) for line in kept] == [
        ("warning", "the process ended before")
    ] * 50
