"""``redis_lost = "direct"``: without Redis the gateway asks the backends itself. Redis gets the answers."""

import asyncio
import json
import math
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from aiohttp import web
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.core.messages import Answer, Job
from gateway.core.records import Record, record_name, session_name, user_name, user_record_name
from gateway.crm.server import Crm
from gateway.declared.catalog import Catalog
from gateway.forgetting.forget import Forgetter
from gateway.front.alone.fleet_else_alone import FleetElseAlone
from gateway.front.alone.restorer import BYTES_AT_ONCE, Restorer
from gateway.front.app import gateway
from gateway.front.askers import FleetAsker
from gateway.records.memory import RecordMemory
from gateway.tools.processes import Valkey
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink, Script
from tests.asking import serving
from tests.desk import APP, Desk, Heard, Place, when
from workers.main import workers

FAILING = "seed = 1\n[[rules]]\nshares = { error = 1 }\nstatus = 500\n"
HANGING = "seed = 1\n[[rules]]\nshares = { hang = 1 }\n"
OTHER_APP = 1400000002
ROOMY = {"budget": "5s", "attempt_timeout": "5s"}
"""Knobs for tests in which nothing shall be decided by the speed of the machine."""


@pytest.fixture
def own_place(valkey: Valkey, place: Place) -> Place:
    """Where this test's parts live: on a Valkey that it may kill."""
    return Place(valkey.url, place.prefix, place.crm_url)


def direct(place: Place, changes: Mapping[str, object] | None = None, /, **knobs: str) -> Catalog:
    """Return the test configuration with an app that is direct, and what else is changed."""
    return place.catalog({f"apps.{APP}.redis_lost": "direct", **(changes or {})}, **knobs)


async def ask(desk: Desk, session: str = "s1", number: str = "1") -> Heard:
    """Return what a session hears about an order."""
    return await desk.call(session, node="order", orderId=number)


async def close_session(desk: Desk, session: str) -> None:
    """Tell the gateway that a session was closed."""
    query = desk.query | {"CallbackCommand": "Desk.SessionEventNotify"}
    event = {
        "CallbackCommand": "Desk.SessionEventNotify",
        "Event": "Session.Closed",
        "SessionId": session,
        "ClientUserId": "user517",
    }
    assert (await desk.send(json.dumps(event).encode(), query)).code == Code.OK


def said(lines: list[Any], event: str) -> list[Mapping[str, Any]]:
    """Return the lines of an event."""
    return [line for line in lines if line["event"] == event]


def sources(lines: list[Any]) -> list[str]:
    """Return where the order of each callback came from."""
    return [line["lookups"]["order"]["source"] for line in said(lines, "callback.answered")]


@dataclass(slots=True)
class Gate:
    """A backend that answers when it is let."""

    asked: int = 0
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, _: web.BaseRequest) -> web.Response:
        """Answer once the gate is open."""
        self.asked += 1
        await self.opened.wait()
        return web.json_response({"id": str(self.asked)})


@pytest.mark.parametrize("way", ["killed", "hanging"])
async def test_backend_is_asked_while_redis_is_away(
    way: str, own_place: Place, valkey: Valkey, crm: Crm, desk: Desk
) -> None:
    """The answer is as good as a worker's: live, with code 0, in time, and fresh for the next callback."""
    async with gateway(direct(own_place, **ROOMY)) as running:
        here = desk.at(running.callbacks)
        if way == "killed":
            valkey.kill()
        else:
            valkey.signal(signal.SIGSTOP)
        with capture_logs() as lines:
            heard = [await ask(here) for _ in range(2)]
        if way == "hanging":
            valkey.signal(signal.SIGCONT)
    assert [(one.code, one.variables["order_id"]) for one in heard] == [(Code.OK, "1")] * 2
    assert sources(lines) == ["live", "fresh"]
    assert crm.stats.report()["total"] == 1
    (finished,) = said(lines, "lookup.finished")
    (first, _) = said(lines, "callback.answered")
    assert finished["trace_id"] == first["trace_id"]
    shown = {
        name: finished[name] for name in ("lookup", "backend", "lane", "outcome", "attempts", "queue_ms")
    }
    assert shown == {
        "lookup": "order",
        "backend": "crm",
        "lane": "crm",
        "outcome": "OK",
        "attempts": 1,
        "queue_ms": 0.0,
    }


async def test_backend_is_asked_until_workers_have_found_redis_again(
    own_place: Place, valkey: Valkey, desk: Desk
) -> None:
    """Redis is back and empty, and each worker finds it in its own time: until then the gateway stands in."""
    catalog = direct(own_place, **ROOMY)
    async with gateway(catalog) as running:
        here = desk.at(running.callbacks)
        without = await ask(here, "s1")
        valkey.kill()
        await ask(here, "s2")
        await asyncio.to_thread(valkey.start)
        await when(lambda: not running.service.link.lost)
        with capture_logs() as lines:
            returned = await asyncio.gather(ask(here, "s3"), ask(here, "s3", "2"), ask(here, "s3"))
    assert (without.code, without.variables) == (Code.NO_WORKERS, {"order_id": "unknown"})
    assert [(one.code, one.variables["order_id"]) for one in returned] == [(0, "1"), (0, "2"), (0, "1")]
    assert sources(lines) == ["live"] * 3


async def test_app_that_answers_from_records_asks_nobody(
    own_place: Place, valkey: Valkey, crm: Crm, desk: Desk
) -> None:
    """An app that lets workers alone ask the backends gets that, even if another app wants more."""
    async with gateway(direct(own_place)) as running:
        valkey.kill()
        other = desk.at(running.callbacks)
        other.query = other.query | {"SdkAppid": str(OTHER_APP)}
        heard = await ask(other)
    assert (heard.code, heard.variables) == (Code.QUEUE_UNAVAILABLE, {"order_id": "unknown"})
    assert crm.stats.report()["total"] == 0


async def test_equal_callbacks_are_one_call(own_place: Place, valkey: Valkey, desk: Desk) -> None:
    """The CRM must not pay for the loss of Redis with what single-flight has spared it."""
    gate = Gate()
    async with serving(gate.handle) as url:
        place = Place(own_place.redis_url, own_place.prefix, url)
        async with gateway(direct(place, **ROOMY)) as running:
            here = desk.at(running.callbacks)
            valkey.kill()
            calling = [asyncio.create_task(ask(here)) for _ in range(20)]
            await when(lambda: running.service.flow.asking == 20)
            gate.opened.set()
            heard = await asyncio.gather(*calling)
    assert {(one.code, one.variables["order_id"]) for one in heard} == {(Code.OK, "1")}
    assert gate.asked == 1


async def test_full_bulkhead_is_told_at_once_and_in_the_log(
    own_place: Place, valkey: Valkey, crm: Crm, desk: Desk
) -> None:
    """A gateway asks a backend no more at a time than a worker would; what is too much is not waited for."""
    catalog = direct(own_place, {"backends.crm.concurrency": 1}, **(ROOMY | {"fresh": "0s", "budget": "2s"}))
    async with gateway(catalog) as running:
        here = desk.at(running.callbacks)
        valkey.kill()
        known = await ask(here, "s2")
        crm.put(HANGING)
        calling = asyncio.create_task(ask(here, "s1"))
        await when(lambda: crm.stats.report()["in_flight"])
        with capture_logs() as lines:
            heard = await ask(here, "s2")
        assert not calling.done()
        first = await calling
    assert (heard.code, heard.variables) == (Code.OVERLOADED, known.variables)
    assert heard.envelope["ErrorInfo"].startswith("order: OVERLOADED, last known")
    assert (first.code, first.variables) == (Code.TIMEOUT, {"order_id": "unknown"})
    assert crm.stats.report()["total"] == 2
    assert [line["backend"] for line in lines if line["event"] == "backend.busy"] == ["crm"]
    assert "lookup.finished" not in {line["event"] for line in lines}, "the backend was not asked"


async def test_backend_that_fails_too_leaves_the_last_known_answer(
    own_place: Place, valkey: Valkey, crm: Crm, desk: Desk
) -> None:
    """The code says what came of asking, as it does with Redis; that Redis is away costs the flow nothing."""
    async with gateway(direct(own_place, **(ROOMY | {"fresh": "0s"}))) as running:
        here = desk.at(running.callbacks)
        valkey.kill()
        known = await ask(here)
        crm.put(FAILING)
        with capture_logs() as lines:
            heard = await ask(here)
    assert (heard.code, heard.variables) == (Code.BACKEND_UNAVAILABLE, known.variables)
    assert len(said(lines, "lookup.retried")) == 2
    (finished,) = said(lines, "lookup.finished")
    assert (finished["outcome"], finished["attempts"]) == ("BACKEND_UNAVAILABLE", 3)


async def test_answer_that_comes_too_late_serves_the_next_callback(
    own_place: Place, valkey: Valkey, desk: Desk
) -> None:
    """As a worker's does."""
    gate = Gate()
    async with serving(gate.handle) as url:
        place = Place(own_place.redis_url, own_place.prefix, url)
        async with gateway(direct(place, budget="300ms", attempt_timeout="8s")) as running:
            here = desk.at(running.callbacks)
            valkey.kill()
            with capture_logs() as lines:
                timed_out = await ask(here)
                gate.opened.set()
                await when(lambda: said(lines, "lookup.finished"))
                heard = await ask(here)
    assert (timed_out.code, timed_out.variables) == (Code.TIMEOUT, {"order_id": "unknown"})
    assert (heard.code, heard.variables["order_id"]) == (Code.OK, "1")
    assert sources(lines) == ["fallback", "fresh"]


@pytest.mark.parametrize(
    ("app", "then", "code"),
    [(APP, "", Code.OK), (APP, HANGING, Code.TIMEOUT), (OTHER_APP, "", Code.QUEUE_UNAVAILABLE)],
)
async def test_what_is_waited_for_when_redis_is_lost_is_asked_for_directly(  # noqa: PLR0913, PLR0917 - a case
    app: int, then: str, code: Code, own_place: Place, valkey: Valkey, crm: Crm, desk: Desk
) -> None:
    """A worker's answer would reach nobody; only the app that wants it is answered by the gateway's own."""
    catalog = direct(own_place, **(ROOMY | {"budget": "2s"}))
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        here.query = here.query | {"SdkAppid": str(app)}
        crm.put(HANGING)
        with capture_logs() as lines:
            calling = [asyncio.create_task(ask(here))]
            await when(lambda: crm.stats.report()["in_flight"])
            calling.append(asyncio.create_task(ask(here)))
            either = running.service.askers[APP]
            assert isinstance(either, FleetElseAlone)
            await when(lambda: len(either.watches) == (2 if app == APP else 0))
            await when(lambda: running.service.flow.asking == 2)
            crm.put(then)
            valkey.kill()
            heard = await asyncio.gather(*calling)
    assert [one.code for one in heard] == [code] * 2
    assert {one.variables["order_id"] for one in heard} == {"unknown" if code else "1"}
    assert sources(lines) == (["fallback"] if code else ["live"]) * 2
    assert crm.stats.report()["total"] == (2 if app == APP else 1)


async def test_job_that_still_runs_after_redis_returned_is_waited_for(
    own_place: Place, valkey: Valkey, desk: Desk
) -> None:
    """The gateway's own call for it failed while Redis was lost; the next callback wants the job's answer."""
    started, opened = asyncio.Event(), asyncio.Event()

    async def answer(_: web.BaseRequest) -> web.Response:
        if started.is_set():  # the gateway's own call
            return web.Response(status=400)
        started.set()
        await opened.wait()
        return web.json_response({"id": "1"})

    async with serving(answer) as url, Redis.from_url(valkey.url) as redis:
        catalog = direct(Place(own_place.redis_url, own_place.prefix, url), **ROOMY)
        async with gateway(catalog) as running, workers(catalog, ["crm"], 0.1):
            here = desk.at(running.callbacks)
            first = asyncio.create_task(ask(here))
            await started.wait()
            await redis.execute_command("CLIENT", "KILL", "TYPE", "normal")
            assert (await first).code == Code.BACKEND_REJECTED
            await running.service.link.present.wait()
            second = asyncio.create_task(ask(here))
            await when(lambda: running.service.flow.asking)
            opened.set()
            heard = await second
    assert (heard.code, heard.variables["order_id"]) == (Code.OK, "1")


async def test_answers_reach_redis_when_it_is_back(
    own_place: Place, valkey: Valkey, crm: Crm, desk: Desk
) -> None:
    """No other gateway needs to ask again. Ages go on, and what events erase is noted as ever."""
    own = {f"apps.{APP}.forget_on": ["Session.Closed"], "lookups.order.share": "user"}
    catalog = direct(own_place, own, **ROOMY)
    valkey.stop()
    with capture_logs() as lines:
        async with gateway(catalog) as running:
            asked_at = time.monotonic()
            known = await ask(desk.at(running.callbacks))
            answered_at = time.monotonic()
            await asyncio.to_thread(valkey.start)
            await when(lambda: said(lines, "records.restored"))
        async with gateway(catalog) as another:
            least_ms = (time.monotonic() - answered_at) * 1000
            heard = await ask(desk.at(another.callbacks))
            most_ms = (time.monotonic() - asked_at) * 1000
    assert (known.code, heard.envelope) == (Code.OK, known.envelope)
    assert sources(lines) == ["live", "fresh"]
    assert least_ms - 1 <= said(lines, "callback.answered")[1]["lookups"]["order"]["age_ms"] <= most_ms + 1
    assert [line["records"] for line in said(lines, "records.restored")] == [2]
    assert crm.stats.report()["total"] == 1
    keys = Keys(own_place.prefix)
    async with Redis.from_url(own_place.redis_url) as redis:
        records = [key async for key in redis.scan_iter(f"{keys.record('')}*")]
        noted = await redis.hkeys(keys.session(session_name(APP, "s1")))
        shared = [key for key in records if b":user=user517:" in key]
        assert (len(records), len(shared)) == (2, 1)
        assert noted == [key for key in records if key not in shared]
        assert all([0 < await redis.pttl(key) <= 86_400_000 for key in [*records, keys.session(f"{APP}:s1")]])


async def test_what_is_forgotten_is_not_brought_back(own_place: Place, valkey: Valkey, desk: Desk) -> None:
    """A session that was closed while Redis was away has left nothing; an answer on its way is not kept."""
    gate = Gate()
    gate.opened.set()
    async with serving(gate.handle) as url:
        place = Place(own_place.redis_url, own_place.prefix, url)
        catalog = direct(place, {f"apps.{APP}.forget_on": ["Session.Closed"]}, **ROOMY)
        with capture_logs() as lines:
            async with gateway(catalog) as running:
                here = desk.at(running.callbacks)
                valkey.kill()
                await ask(here, "closed")
                await ask(here, "open")
                gate.opened.clear()
                calling = asyncio.create_task(ask(here, "asking"))
                await when(lambda: gate.asked == 3)
                await close_session(here, "closed")
                await close_session(here, "asking")
                gate.opened.set()
                assert (await calling).code == Code.OK
                await asyncio.to_thread(valkey.start)
                await when(lambda: said(lines, "records.restored"))
                await when(lambda: len(said(lines, "session.notified")) == 2)
    keys = Keys(place.prefix)
    async with Redis.from_url(place.redis_url) as redis:
        records = [key.decode() async for key in redis.scan_iter(f"{keys.record('')}*")]
    assert [key.split(":")[3] for key in records] == ["open"]
    assert [line["records"] for line in said(lines, "records.restored")] == [1]


async def test_backends_are_opened_only_for_apps_that_are_direct(place: Place) -> None:
    """A Python lookup's module need not be where gateways run, unless they shall make the lookup."""
    order = {"python": "nowhere_to_be_found:order", "variables": {"order_id": "id"}}
    changes = {"routes": None, "backends": None, "lookups": {"order": order}}
    async with gateway(place.catalog(changes)) as running:
        assert {type(asker) for asker in running.service.askers.values()} == {FleetAsker}
    with pytest.raises(ImportError):
        async with gateway(direct(place, changes)):
            pass


@dataclass(slots=True)
class Keeping:
    """The answers that a gateway process keeps by itself. The test decides when its link to Redis is made."""

    link: RedisLink
    sessions: RecordMemory
    restorer: Restorer
    forget: Forgetter

    def answer(self, job: Job, age: float = 0.0, mark: int | None = None, **variables: str) -> None:
        """Keep an answer that is ``age`` seconds old, asked for just now or at ``mark``."""
        answer = Answer(job.trace_id, Code.OK, "", variables)
        mark = self.restorer.mark if mark is None else mark
        self.restorer.keep(job, answer, time.monotonic() - age, mark, kept=100.0, indexed=0.0)


@asynccontextmanager
async def keeping(place: Place, *, most: int = 1000) -> AsyncIterator[Keeping]:
    """Yield a Restorer with its neighbours."""
    link, keys, sessions = RedisLink(place.redis_url, 2.0), Keys(place.prefix), RecordMemory(1000)
    forget = Forgetter(link, keys, sessions)
    restorer = Restorer(link, keys, sessions, forget, most)
    try:
        yield Keeping(link, sessions, restorer, forget)
    finally:
        await restorer.close()
        await forget.close()
        await link.close()


def job(number: int = 1, session: str = "s1", user: str = "") -> Job:
    """Return a lookup of order ``number``; with a user, one whose answer is shared."""
    inputs = {"orderId": str(number)}
    shared = user and user_record_name(APP, user, "order", "v", inputs)
    record = record_name(APP, session, "order", "v", inputs)
    return Job("order", inputs, APP, session, record, f"t{number}", shared, user)


async def test_younger_record_is_left_alone_and_an_older_one_replaced(place: Place) -> None:
    """While this gateway was cut off, others may have learned more."""
    keys = Keys(place.prefix)
    younger, older = job(1), job(2)
    async with keeping(place) as side, Redis.from_url(place.redis_url) as redis:
        seconds, microseconds = await redis.time()
        minute_ago = Record(seconds * 1000 + microseconds / 1000 - 60_000, {"v": "theirs"})
        for one in (younger, older):
            await redis.set(keys.record(one.record), msgspec.msgpack.encode(minute_ago))
        side.answer(younger, age=90.0, v="ours")
        side.answer(older, age=30.0, v="ours")
        with capture_logs() as lines:
            await side.link.start()
            await when(lambda: said(lines, "records.restored"))
        found = [await redis.get(keys.record(one.record)) for one in (younger, older)]
        left = await redis.pttl(keys.record(older.record))
    first, second = (msgspec.msgpack.decode(data, type=Record) for data in found)
    assert first == minute_ago
    assert (second.variables, second.user) == ({"v": "ours"}, "")
    assert math.isclose(second.written_ms - first.written_ms, 30_000, abs_tol=5_000)
    assert 0 < left <= 70_000
    assert [line["records"] for line in said(lines, "records.restored")] == [1]


@pytest.mark.parametrize("moment", ["before it looks", "just after"])
async def test_what_others_were_told_to_forget_meanwhile_is_not_written(
    moment: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This gateway could not hear of it: it has to look before it writes, and to look again."""
    keys = Keys(place.prefix)
    gone, stays = job(1, "gone", "user517"), job(1, "stays")
    async with keeping(place) as side, keeping(place) as other, Redis.from_url(place.redis_url) as redis:
        for one in (gone, stays):
            side.answer(one, v="ours")
        await other.link.start()
        names = [session_name(APP, "gone"), user_name(APP, "user517")]
        catch_up = side.forget.catch_up

        async def look() -> float:
            since = await catch_up()
            while names and moment == "just after":
                await other.forget.forget(names.pop())
            return since

        monkeypatch.setattr(side.forget, "catch_up", look)
        while names and moment == "before it looks":
            await other.forget.forget(names.pop())
        with capture_logs() as lines:
            await side.link.start()
            await when(lambda: said(lines, "records.restored"))
        records = [key.decode() async for key in redis.scan_iter(f"{keys.record('')}*")]
        assert records == [keys.record(stays.record)]
        assert len(side.sessions) == 1
        side.answer(gone, v="asked for since")
        await when(lambda: not side.restorer._restoring)
        assert await redis.exists(keys.record(gone.record), keys.record(gone.user_record)) == 2


async def test_a_message_that_cannot_be_read_keeps_no_record_from_redis(place: Place) -> None:
    """It is of another version, say: to look for it again and again would load Redis for ten minutes."""
    keys = Keys(place.prefix)
    async with keeping(place) as side, Redis.from_url(place.redis_url) as redis:
        side.answer(job(1), v="ours")
        seconds, _ = await redis.time()
        await redis.zadd(keys.forgotten(), {"unreadable": seconds * 1000})
        await side.link.start()
        await when(lambda: not side.restorer._restoring)
        assert await redis.exists(keys.record(job(1).record)) == 1


@pytest.mark.parametrize("name", [f"{APP}:s1", f"{APP}:user=user517"])
async def test_answer_to_who_was_forgotten_while_it_was_asked_for_is_not_kept(
    name: str, place: Place
) -> None:
    """A message to forget may still arrive when Redis cannot be asked any more."""
    async with keeping(place) as side:
        mark = side.restorer.mark
        side.sessions.erase([name])
        side.sessions.erase([f"{APP}:somebody-else"])
        side.answer(job(1, user="user517"), mark=mark)
        assert len(side.sessions) == 0
        side.answer(job(1, "s2"), mark=mark)
        side.answer(job(2, user="user517"))
        assert len(side.sessions) == 3


async def test_many_records_are_written_and_the_oldest_names_dropped(place: Place) -> None:
    """An outage is long, and memory is not endless."""
    keys = Keys(place.prefix)
    async with keeping(place, most=250) as side, Redis.from_url(place.redis_url) as redis:
        for number in range(260):
            side.answer(job(number), v=str(number))
        with capture_logs() as lines:
            await side.link.start()
            await when(lambda: said(lines, "records.restored"))
        there = {key.decode() async for key in redis.scan_iter(f"{keys.record('')}*", count=1000)}
    assert there == {keys.record(job(number).record) for number in range(10, 260)}
    assert [line["records"] for line in said(lines, "records.restored")] == [250]


async def test_large_records_are_written_in_small_pieces(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callbacks share the connection: behind megabytes they would take Redis for lost once more."""
    large, sizes = "x" * 20_000, list[int]()
    async with keeping(place) as side:
        run = side.link.run

        def run_and_note(
            script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | float]
        ) -> "asyncio.Future[Any]":
            sizes.append(sum(len(one) for one in arguments if isinstance(one, bytes)))
            return run(script, keys, arguments)

        monkeypatch.setattr(side.link, "run", run_and_note)
        for number in range(30):
            side.answer(job(number), v=large)
        with capture_logs() as lines:
            await side.link.start()
            await when(lambda: said(lines, "records.restored"))
    assert [line["records"] for line in said(lines, "records.restored")] == [30]
    assert sum(sizes) > 30 * len(large)
    assert max(sizes) < BYTES_AT_ONCE + 2 * len(large)
