"""Forgetting: what is erased is erased everywhere, stays so, and is nobody else's."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis

from gateway.core.errors import QueueUnavailable
from gateway.core.records import Known, Record, record_name, session_name
from gateway.crm.server import Crm
from gateway.declared.catalog import Catalog
from gateway.forgetting.erase import Whom, erase
from gateway.forgetting.forget import Forgetter
from gateway.front.app import Gateway, gateway
from gateway.records.memory import RecordMemory
from gateway.tools.processes import Valkey, deskgate
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink
from tests.asking import only
from tests.desk import APP, Desk, Heard, Place, when
from workers.main import workers

FAILING = only("error", "status = 500")
SLOW = '[[rules]]\nlatency = { fixed = "200ms" }\n'
SLOWER = '[[rules]]\nlatency = { fixed = "700ms" }\n'
UNKNOWN = {"order_id": "unknown"}
OTHER_APP = 1400000002


def sharing(place: Place, **knobs: str) -> Catalog:
    """Return the test configuration with a lookup of orders that the user's sessions share."""
    return place.catalog({"lookups.order.share": "user"}, **knobs)


async def ask(desk: Desk, session: str, user: str = "user517", number: str = "1") -> Heard:
    """Return what a session of a user hears about an order."""
    return await desk.call(session, user, node="order", orderId=number)


async def removed(place: Place, **whom: str | int) -> int:
    """Forget somebody in the apps of the test configuration; return how many records Redis held."""
    apps = (APP, OTHER_APP, 1400000003)
    return await erase(place.redis_url, Keys(place.prefix), Whom(apps, **whom), lambda _: None)  # type: ignore[arg-type]


async def records(place: Place) -> list[str]:
    """Return the names of the records that Redis holds."""
    prefix = Keys(place.prefix).record("")
    async with Redis.from_url(place.redis_url) as redis:
        return sorted([key.decode().removeprefix(prefix) async for key in redis.scan_iter(f"{prefix}*")])


def in_memory(*running: Gateway) -> list[int]:
    """Return how many records each gateway holds."""
    return [len(one.service.memory) for one in running]


async def test_session_is_forgotten_in_redis_and_in_every_gateway(place: Place, crm: Crm, desk: Desk) -> None:
    """And no other session: both gateways have both in memory."""
    catalog = place.catalog()
    async with (
        workers(catalog, catalog.lanes, grace=1),
        gateway(catalog) as first,
        gateway(catalog) as second,
    ):
        desks = [desk.at(one.callbacks) for one in (first, second)]
        known = [await ask(here, session) for here in desks for session in ("s1", "s2")]
        crm.put(FAILING)
        assert in_memory(first, second) == [2, 2]
        assert await removed(place, session="s1") == 1
        await when(lambda: in_memory(first, second) == [1, 1])
        assert [(await ask(here, "s1")).variables for here in desks] == [UNKNOWN] * 2
        assert [(await ask(here, "s2")).variables for here in desks] == [known[1].variables] * 2
        assert await removed(place, session="s1") == 0
    assert [name.split(":")[1] for name in await records(place)] == ["s2"]


@pytest.mark.parametrize(("whom", "left"), [("session", 1), ("user", 2)])
async def test_record_that_a_backup_brings_back_is_not_told(
    place: Place, crm: Crm, desk: Desk, whom: str, left: int
) -> None:
    """Redis was restored as it was an hour ago. Gateways still know who was forgotten since."""
    catalog = sharing(place) if whom == "user" else place.catalog()
    async with (
        workers(catalog, catalog.lanes, grace=1),
        gateway(catalog) as running,
        Redis.from_url(place.redis_url) as redis,
    ):
        here = desk.at(running.callbacks)
        await ask(here, "s1")
        await ask(here, "s2", "user518")
        names = [name async for name in redis.scan_iter(f"{Keys(place.prefix).record('')}*")]
        backup = {name: (await redis.get(name), await redis.pttl(name)) for name in names}
        await removed(place, **{whom: {"session": "s1", "user": "user517"}[whom]})
        await when(lambda: len(running.service.memory) == left)
        crm.put(FAILING)
        for name, (data, kept) in backup.items():
            await redis.set(name, data, px=kept)
        assert (await ask(here, "s1")).variables == UNKNOWN
        assert (await ask(here, "s2", "user518")).code == 0
        crm.put("")
        assert (await ask(here, "s1")).code == 0
        assert (await ask(here, "s1")).code == 0


async def test_user_is_forgotten_with_all_sessions_and_what_they_share(
    place: Place, crm: Crm, desk: Desk
) -> None:
    """Another user's record and the same name in another app stay."""
    catalog = sharing(place)
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        other_app = Desk(here.http, here.url, {**here.query, "SdkAppid": str(OTHER_APP)})
        for session in ("s1", "s2"):
            await ask(here, session)
        await ask(here, "s3", "user518")
        await ask(other_app, "s4")
        crm.put(FAILING)
        assert await removed(place, user="user517", app=APP) == 3
        await when(lambda: in_memory(running) == [4])
        assert [(await ask(here, name)).variables for name in ("s1", "s2", "new")] == [UNKNOWN] * 3
        assert (await ask(here, "s3", "user518")).code == 0
        assert (await ask(other_app, "s4")).code == 0
    left = {":".join(name.split(":")[:2]) for name in await records(place)}
    assert left == {f"{APP}:s3", f"{APP}:user=user518", f"{OTHER_APP}:s4", f"{OTHER_APP}:user=user517"}


@pytest.mark.parametrize("name", ["*", "s?", "s[12]", "s1\\", "sitzung-ß", "user=user517", ":", "s1:order"])
async def test_name_is_only_itself(name: str, place: Place, desk: Desk) -> None:
    """Names come from outside; one that looks like a pattern must not erase what others have."""
    catalog = sharing(place)
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        for session in ("s1", "s2", name):
            await ask(here, session)
        assert await removed(place, session=name) == 1
        assert await removed(place, user=name) == 0
        await when(lambda: in_memory(running) == [3])
    left = [name.split(":")[1] for name in await records(place)]
    assert left == ["s1", "s2", "user=user517"]


async def test_job_under_way_answers_and_leaves_no_record(place: Place, crm: Crm, desk: Desk) -> None:
    """A callback that waits is answered, and the answer is not kept."""
    crm.put(SLOW)
    catalog = sharing(place)
    async with (
        workers(catalog, catalog.lanes, grace=1),
        gateway(catalog) as first,
        gateway(catalog) as second,
    ):
        calling = asyncio.create_task(ask(desk.at(first.callbacks), "s1"))
        await when(lambda: crm.stats.report()["total"] == 1)
        assert await removed(place, session="s1") == 0
        crm.put(SLOWER)  # its record comes after the look at what the first one has left
        joins = asyncio.create_task(ask(desk.at(second.callbacks), "s1"))
        assert (await calling).code == 0
        assert await records(place) == []
        assert in_memory(first) == [0]
        assert (await joins).code == 0, "who asks after that asks anew"
    assert crm.stats.report()["total"] == 2


@pytest.mark.parametrize("whom", [{"session": "s1"}, {"user": "user517"}], ids=str)
@pytest.mark.parametrize("lost", [False, True])
async def test_callback_under_way_leaves_no_record_of_a_later_wave(  # noqa: PLR0913 - the parts of a deployment
    valkey: Valkey, place: Place, crm: Crm, desk: Desk, whom: dict[str, str], *, lost: bool
) -> None:
    """Its lookup is begun after the word to forget, and the visitor had gone before."""
    crm.put(SLOW)
    place = Place(valkey.url, place.prefix, place.crm_url)
    app = f"apps.{APP}"
    wave = {"lookups.order.request.path": "/orders/{customer_id}", "lookups.order.share": "user"}
    catalog = place.catalog({**wave, f"{app}.forget_on": ["x"], f"{app}.redis_lost": "direct"})
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        calling = asyncio.create_task(here.call("s1", "user517", node="both"))
        await when(lambda: crm.stats.report()["total"] == 1)
        before = running.service.memory.erasures
        await removed(place, **whom)
        await when(lambda: running.service.memory.erasures > before)
        if lost:
            valkey.signal(signal.SIGSTOP)
        assert (await calling).code == 0
        valkey.signal(signal.SIGCONT)
        await when(running.service.link.present.is_set)
        await asyncio.sleep(0.5)
        assert (await records(place), in_memory(running)) == ([], [0])
        async with Redis.from_url(place.redis_url) as redis:
            assert not await redis.exists(Keys(place.prefix).session(f"{APP}:s1"))
        crm.put("")
        await here.call("s1", "user517", node="both")
        await when(lambda: in_memory(running) == [3])
    assert len(await records(place)) == 3, "who comes again is known again"


async def test_gateway_that_did_not_listen_learns_of_it(place: Place) -> None:
    """A broadcast is heard or lost; what was lost is read when the subscription is back."""
    keys = Keys(place.prefix)
    names = [record_name(APP, session, "order", "v", {}) for session in ("s1", "s2", "s3")]
    link, sessions = RedisLink(place.redis_url, 5.0), RecordMemory(10)
    forget = Forgetter(link, keys, sessions)
    await link.start()
    try:
        await forget.start(5.0)
        await when(lambda: forget._unbroken)
        for name in names:
            sessions.put(name, Known({}, 0.0), asked_ms=0.0)
        await forget.subscription.close()
        await removed(place, session="s1")
        await removed(place, session="s2")
        assert len(sessions) == 3
        await forget.start(5.0)
        await when(lambda: len(sessions) == 1)
        assert sessions.get(names[2]) is not None
        sessions.put(names[0], Known({}, 1.0))
        await forget.subscription.close()
        await forget.start(5.0)
        await when(lambda: forget._unbroken)
        assert sessions.get(names[0]) is not None, "what came after it is not forgotten by it"
    finally:
        await forget.close()
        await link.close()


@pytest.mark.parametrize("meanwhile", ["somebody was forgotten", "nobody was"])
async def test_gateway_that_did_not_listen_for_long_keeps_nothing_that_may_be_forgotten(
    meanwhile: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is gone by then. Where none was sent, as while Redis is away for all, records stay."""
    monkeypatch.setattr("gateway.forgetting.forget.MESSAGES_KEPT", 0.3)
    monkeypatch.setattr("gateway.forgetting.forget._MARGIN", 0.1)
    keys, name = Keys(place.prefix), record_name(APP, "s1", "order", "v", {})
    link, sessions = RedisLink(place.redis_url, 5.0), RecordMemory(10)
    forget = Forgetter(link, keys, sessions)
    await link.start()
    try:
        await forget.start(5.0)
        await when(lambda: forget._unbroken)
        await removed(place, session="s2")  # a message that is heard
        sessions.put(name, Known({}, 0.0))
        await asyncio.sleep(0.5)
        await forget.subscription.close()
        if meanwhile == "somebody was forgotten":
            await removed(place, session="s1")
        await asyncio.sleep(0.5)
        await forget.start(5.0)
        await when(lambda: forget._unbroken)
        assert (sessions.get(name) is None) == (meanwhile == "somebody was forgotten")
    finally:
        await forget.close()
        await link.close()


@pytest.mark.parametrize("index", ["with an index", "without an index"])
async def test_session_that_a_failover_has_brought_back_is_forgotten_again(
    index: str, place: Place, crm: Crm, desk: Desk
) -> None:
    """The replica had not heard yet that it was forgotten; the gateway had."""
    indexed = index == "with an index"
    catalog = place.catalog({f"apps.{APP}.forget_on": ["Bye"]} if indexed else {})
    keys, name = Keys(place.prefix), session_name(APP, "s1")
    async with (
        Redis.from_url(place.redis_url) as redis,
        workers(catalog, catalog.lanes, grace=1),
        gateway(catalog) as running,
    ):
        here = desk.at(running.callbacks)
        for session in ("s1", "s2"):
            await ask(here, session)
        there = [keys.session(name), *(keys.record(one) for one in await records(place))]
        before = {key: data for key in there if (data := await redis.dump(key)) is not None}
        assert len(before) == 2 + indexed
        assert await removed(place, session="s1") == 1
        await when(lambda: in_memory(running) == [1])
        await redis.delete(keys.forgotten(), keys.last_forgotten(), keys.void(name))
        for key, data in before.items():
            await redis.restore(key, 60_000, data, replace=True)
        crm.put(FAILING)
        await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        while len(await records(place)) > 1:  # noqa: ASYNC110 - another connection does it
            await asyncio.sleep(0.01)
        assert (await ask(here, "s1")).variables == UNKNOWN
        assert (await ask(here, "s2")).code == 0


@pytest.mark.parametrize("meanwhile", ["somebody was forgotten", "nobody was"])
async def test_reload_does_not_hide_that_a_gateway_did_not_listen(
    meanwhile: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records outlive the configuration, and so must the time from which on messages may be missing."""
    monkeypatch.setattr("gateway.forgetting.forget.MESSAGES_KEPT", 0.0)
    monkeypatch.setattr("gateway.forgetting.forget._MARGIN", 0.0)
    keys, name = Keys(place.prefix), record_name(APP, "s1", "order", "v", {})
    link, sessions = RedisLink(place.redis_url, 5.0), RecordMemory(10)
    before = Forgetter(link, keys, sessions)
    await link.start()
    try:
        await before.start(5.0)
        await when(lambda: before._unbroken)
        sessions.put(name, Known({}, 0.0))
        await removed(place, session="s2")  # a message that is heard
        await when(lambda: sessions.erasures == 1)
        await before.close()
        if meanwhile == "somebody was forgotten":
            await removed(place, session="s1")
        after = Forgetter(link, keys, sessions)
        await after.start(5.0)
        await when(lambda: after._unbroken)
        assert (sessions.get(name) is None) == (meanwhile == "somebody was forgotten")
        await after.close()
    finally:
        await before.close()
        await link.close()


async def test_memory_is_cleared_without_redis(valkey: Valkey, place: Place) -> None:
    """The part that this process can do is done at once; the caller hears that the rest is not done."""
    sessions = RecordMemory(10)
    link = RedisLink(valkey.url, 0.2)
    forget = Forgetter(link, Keys(place.prefix), sessions)
    name = record_name(APP, "s1", "order", "v", {})
    sessions.put(name, Known({}, 0.0))
    valkey.kill()
    await link.start()
    try:
        with pytest.raises(QueueUnavailable):
            await forget.forget(session_name(APP, "s1"))
    finally:
        await link.close()
    assert sessions.get(name) is None


async def test_thousands_of_records_and_keys_of_others(place: Place) -> None:
    """A user of years, in a Redis that other programs use as well."""
    keys = Keys(place.prefix)
    strangers = {
        f"{place.prefix}-other:record:{APP}:s1:order:x": b"1",
        f"{place.prefix}:recorded": b"\xff\xfe",
    }
    async with Redis.from_url(place.redis_url) as redis:
        pipeline = redis.pipeline(transaction=False)
        for number in range(2000):
            name = record_name(APP, f"s{number}", "order", "v", {})
            pipeline.set(keys.record(name), msgspec.msgpack.encode(Record(1.0, {}, "user517")))
        pipeline.set(keys.record(record_name(APP, "none", "order", "v", {})), b"\xc1")
        pipeline.set(f"arq:job:{place.prefix}:x", b"\xc1")
        for key, value in strangers.items():
            pipeline.set(key, value)
        await pipeline.execute()
        shares: list[float] = []
        apps = (APP,)
        assert await erase(place.redis_url, keys, Whom(apps, user="user517"), shares.append) == 2000
        assert [name.split(":")[1] for name in await records(place)] == ["none"]
        assert await redis.mget(list(strangers)) == list(strangers.values())
        await redis.delete(f"arq:job:{place.prefix}:x")
    assert shares == sorted(shares)
    assert 0.0 < shares[-1] <= 1.0


def command(place: Place, config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``deskgate forget``, and return what became of it."""
    config.write_text(place.config(), encoding="utf-8")
    return subprocess.run(
        [*deskgate("forget", "-c", str(config)), *arguments],
        env=os.environ | place.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_command_says_how_many_records_there_were(place: Place, desk: Desk, tmp_path: Path) -> None:
    """Exit 0 with the number, none included; scripts read it as JSON."""
    catalog = place.catalog()
    file = tmp_path / "deskgate.toml"
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        for number in ("1", "2"):
            await ask(desk.at(running.callbacks), "s1", number=number)
        done = await asyncio.to_thread(command, place, file, "--session", "s1", "--app", str(APP))
        assert (done.returncode, done.stdout) == (0, "removed 2\n")
        await when(lambda: in_memory(running) == [0])
        done = await asyncio.to_thread(command, place, file, "--user", "user517", "--json")
        assert (done.returncode, json.loads(done.stdout)) == (0, {"removed": 0})


@pytest.mark.parametrize(
    "arguments", [(), ("--session", "s1", "--user", "u"), ("--session", ""), ("--user", "")], ids=str
)
def test_command_wants_one_name(arguments: Iterable[str], place: Place, tmp_path: Path) -> None:
    """An empty one would mean everybody to somebody."""
    done = command(place, tmp_path / "deskgate.toml", *arguments)
    assert done.returncode == 2
    assert "name" in done.stderr


def test_command_without_redis_fails_in_one_line(valkey: Valkey, place: Place, tmp_path: Path) -> None:
    """Nothing was promised that was not done."""
    valkey.kill()
    away = Place(valkey.url, place.prefix, place.crm_url)
    done = command(away, tmp_path / "deskgate.toml", "--session", "s1")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Redis cannot be reached")
    assert "Traceback" not in done.stderr
