"""A Redis that refuses: told in its own words, shown at /ready, and no fresh answer is lost over it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.front.app import Gateway, gateway
from gateway.tools.processes import Valkey
from gateway.wire.keys import Keys
from tests.desk import APP, Desk, Place, when
from workers.main import workers

pytestmark = pytest.mark.timeout(60)

BOTH = {"node": "both", "orderId": "1"}
DENIED = {"NOPERM", "ACL"}
REFUSALS: dict[str, tuple[list[str], set[str], list[str]]] = {
    # the commands that make a server refuse, the kinds of its refusals, and the commands that end it
    "full": (["CONFIG SET maxmemory 1"], {"OOM"}, ["CONFIG SET maxmemory 0"]),
    "no replica": (
        ["CONFIG SET min-replicas-to-write 1"],
        {"NOREPLICAS"},
        ["CONFIG SET min-replicas-to-write 0"],
    ),
    "no publish": (["ACL SETUSER default -publish"], {"NOPERM", "ACL"}, ["ACL SETUSER default +publish"]),
    "no keys of arq": (
        ["ACL SETUSER default resetkeys ~t*"],
        {"NOPERM", "ACL"},
        ["ACL SETUSER default allkeys"],
    ),
    "no channels": (
        ["ACL SETUSER default resetchannels"],
        {"NOPERM", "ACL"},
        ["ACL SETUSER default allchannels"],
    ),
    "no scripts": (
        ["ACL SETUSER default -eval -evalsha"],
        {"NOPERM"},
        ["ACL SETUSER default +eval +evalsha"],
    ),
}


@pytest.fixture
def own_place(valkey: Valkey, crm: Crm) -> Place:
    """Where this test's parts live: on a Valkey that it may bring to refuse."""
    return Place(valkey.url, f"t{uuid4().hex[:12]}", crm.url)


async def command(valkey: Valkey, *lines: str) -> None:
    """Run commands on the server."""
    async with Redis.from_url(valkey.url) as redis:
        for line in lines:
            await redis.execute_command(*line.split())


@asynccontextmanager
async def served_once(place: Place, desk: Desk) -> AsyncIterator[None]:
    """Run a worker that has recorded order 1 of session s1; the gateway that asked is gone again."""
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=0):
        async with gateway(catalog) as running:
            assert (await desk.at(running.callbacks).call("s1", node="order", orderId="1")).code == 0
        yield


async def missing(running: Gateway) -> list[str]:
    """Return what ``/ready`` says is missing."""
    return await running.service.readiness.missing()


@pytest.mark.parametrize("why", REFUSALS)
async def test_refused_write_costs_no_fresh_answer(
    why: str, own_place: Place, valkey: Valkey, desk: Desk
) -> None:
    """The record is read before anything is written, in the same round trip, and next to other callbacks."""
    refuse, kind, end = REFUSALS[why]
    async with served_once(own_place, desk), gateway(own_place.catalog()) as running:
        here = desk.at(running.callbacks)
        assert await missing(running) == []
        await command(valkey, *refuse)
        with capture_logs() as lines:
            both, other = await asyncio.gather(here.call("s1", **BOTH), here.call("s2", **BOTH))
            assert both.variables["order_id"] == "1"
            assert {both.code, other.code} <= {Code.QUEUE_UNAVAILABLE, Code.NO_WORKERS}
            assert (await here.call("s1", node="order", orderId="1")).code == 0
            assert "redis" in await missing(running)
        refused = [line for line in lines if line["event"] == "redis.refused"]
        assert kind & {line["kind"] for line in refused}
        assert len({line["kind"] for line in refused}) == len(refused), "each kind once"
        assert not [line for line in lines if line["log_level"] == "error"]
        await command(valkey, *end)
        async with asyncio.timeout(20):
            while (await here.call("s3", **BOTH)).code:  # a worker that was cut off comes back
                pass
        assert await missing(running) == []


@pytest.mark.parametrize("why", ["full", "no scripts"])
async def test_gateway_that_may_asks_the_backend_for_what_redis_refuses(
    why: str, own_place: Place, valkey: Valkey, desk: Desk
) -> None:
    """``redis_lost = "direct"`` is for a Redis that is of no use, whether it is away or refuses."""
    refuse, _, end = REFUSALS[why]
    catalog = own_place.catalog({f"apps.{APP}.redis_lost": "direct"})
    async with served_once(own_place, desk), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        await command(valkey, *refuse)
        heard = await here.call("s1", **BOTH)
        assert (heard.code, heard.variables["order_id"], heard.variables["customer_id"]) == (
            0,
            "1",
            "user517",
        )
        await command(valkey, *end)


async def test_server_that_is_no_master_makes_one_pair_of_lines(
    own_place: Place, valkey: Valkey, desk: Desk
) -> None:
    """A failover by hand takes half a minute; 655 pairs of lines told of one."""
    async with gateway(own_place.catalog()) as running:
        here = desk.at(running.callbacks)
        with capture_logs() as lines:
            await command(valkey, "REPLICAOF 127.0.0.1 1")
            loop = asyncio.get_running_loop()
            until = loop.time() + 3
            codes = set()
            while loop.time() < until:
                codes.add((await here.call("s1", node="order", orderId="1")).code)
            assert codes == {Code.QUEUE_UNAVAILABLE}
            assert await missing(running) == ["redis"]
            await command(valkey, "REPLICAOF NO ONE")
            await when(lambda: not running.service.link.lost)
        told = [line["event"] for line in lines if line["event"] in {"redis.lost", "redis.restored"}]
        assert told == ["redis.lost", "redis.restored"]
        assert [line["kind"] for line in lines if line["event"] == "redis.refused"] == ["READONLY"]


async def test_wrong_password_is_told_and_shown(own_place: Place, valkey: Valkey, desk: Desk) -> None:
    """One line and silence, with everything green, is how it went unnoticed for a night."""
    await command(valkey, "ACL SETUSER default >secret")
    wrong = own_place.redis_url.replace("unix://", "unix://:hunter2@")
    catalog = Place(wrong, own_place.prefix, own_place.crm_url).catalog()
    with capture_logs() as lines:
        async with gateway(catalog) as running:
            assert await missing(running) == ["redis"]
            heard = await desk.at(running.callbacks).call("s1", node="order", orderId="1")
            assert heard.code == Code.QUEUE_UNAVAILABLE
    assert "WRONGPASS" in [line["kind"] for line in lines if line["event"] == "redis.refused"]
    assert "hunter2" not in str(lines)


@pytest.mark.parametrize("value", ["", "somebody's text"])
@pytest.mark.parametrize("name", ["lane", "free", "pace"])
async def test_key_of_another_type_is_set_aside(name: str, value: str, place: Place, desk: Desk) -> None:
    """A slip with redis-cli must not stop a lane until somebody finds the key."""
    keys = Keys(place.prefix)
    key = getattr(keys, name)("crm")
    catalog = place.catalog(fresh="1ms")
    with capture_logs() as lines:
        async with gateway(catalog) as running, workers(catalog, catalog.lanes, grace=0):
            here = desk.at(running.callbacks)
            assert (await here.call("s0", node="order", orderId="1")).code == 0
            async with Redis.from_url(place.redis_url) as redis:
                await redis.delete(key)
                await redis.set(key, value)
                async with asyncio.timeout(6):
                    while (await here.call("s1", node="order", orderId="1")).code or name == "pace":
                        await asyncio.sleep(0.05)
                        if name == "pace" and await redis.type(key) != b"string":
                            break
                await redis.delete(f"{key}:aside")
    aside = [line for line in lines if line["event"] == "key.set_aside"]
    assert [(line["key"], line["type"]) for line in aside] == [(key, "string")]


async def test_trouble_of_one_lane_is_its_own(place: Place, desk: Desk) -> None:
    """The lookup beside it, on another lane, is answered."""
    second = {"url": "${CRM_URL}", "attempts": 1}
    catalog = place.catalog({"backends.second": second, "lookups.customer.backend": "second"}, fresh="1ms")
    lane = Keys(place.prefix).lane("crm")
    async with (
        gateway(catalog) as running,
        workers(catalog, ["second"], grace=0),
        Redis.from_url(place.redis_url) as redis,
    ):
        await redis.set(lane, "")
        for number in range(5):
            heard = await desk.at(running.callbacks).call(f"s{number}", **BOTH)
            assert heard.variables["customer_id"] == "user517"
            assert heard.variables["order_id"] == "unknown"
        await redis.delete(lane)


async def test_index_of_a_session_that_is_no_index_is_made_anew(place: Place, desk: Desk) -> None:
    """It is worth nothing; the session's callbacks are."""
    changes = {f"apps.{APP}.forget_on": ["Session.Closed"]}
    catalog = place.catalog(changes, fresh="1ms")
    async with (
        gateway(catalog) as running,
        workers(catalog, catalog.lanes, grace=0),
        Redis.from_url(place.redis_url) as redis,
    ):
        here = desk.at(running.callbacks)
        assert (await here.call("s1", node="order", orderId="1")).code == 0
        (index,) = [key async for key in redis.scan_iter(f"{place.prefix}:session:*")]
        await redis.set(index, "")
        assert (await here.call("s1", node="order", orderId="1")).code == 0
        assert await redis.type(index) == b"hash"


async def test_listener_that_is_no_worker_gets_no_job(place: Place, desk: Desk) -> None:
    """It would swallow them."""
    keys = Keys(place.prefix)
    catalog = place.catalog(fresh="1ms")
    async with (
        gateway(catalog) as running,
        workers(catalog, catalog.lanes, grace=0),
        Redis.from_url(place.redis_url) as redis,
    ):
        await redis.zadd(keys.free("crm"), {keys.forget(): 1000})
        heard = await desk.at(running.callbacks).call("s1", node="order", orderId="1")
        assert heard.code == 0
        assert heard.took < 1
        assert await redis.zscore(keys.free("crm"), keys.forget()) is None


@pytest.mark.parametrize("kept", [0, 1, 9, 40])
async def test_job_that_is_cut_is_its_own_trouble(place: Place, desk: Desk, kept: int) -> None:
    """The lane's other jobs are taken, and the broken one is gone in the end."""
    keys = Keys(place.prefix)
    catalog = place.catalog(fresh="1ms", budget="1s")
    async with gateway(catalog) as running, Redis.from_url(place.redis_url) as redis:
        here = desk.at(running.callbacks)
        assert (await here.call("s0", node="order", orderId="1")).code == Code.NO_WORKERS  # its job waits
        ((job, _),) = await redis.zrange(keys.lane("crm"), 0, -1, withscores=True)
        key = f"arq:job:{job.decode()}"
        body = await redis.get(key)
        await redis.set(key, body[:kept], px=30_000)
        async with workers(catalog, catalog.lanes, grace=0):
            for number in range(5):
                heard = await here.call(f"s{number}", node="order", orderId=str(number + 2))
                assert heard.code == 0
            again = await here.call("s0", node="order", orderId="1")
            assert again.code in {0, Code.TIMEOUT, Code.LOOKUP_FAILED}
            async with asyncio.timeout(8):
                while await redis.zscore(keys.lane("crm"), job) is not None:  # noqa: ASYNC110 - in Redis
                    await asyncio.sleep(0.05)


async def test_server_that_is_busy_with_a_script_is_named(
    own_place: Place, valkey: Valkey, desk: Desk
) -> None:
    """Somebody's endless script: every command is refused until it is killed."""
    async with gateway(own_place.catalog()) as running, Redis.from_url(valkey.url) as redis:
        here = desk.at(running.callbacks)
        await redis.config_set("busy-reply-threshold", 50)
        endless = asyncio.create_task(redis.eval("while true do end", 0))
        await asyncio.sleep(0.3)
        with capture_logs() as lines:
            heard = await here.call("s1", node="order", orderId="1")
            assert heard.code == Code.QUEUE_UNAVAILABLE
            assert await missing(running) == ["redis"]
        assert "BUSY" in {line["kind"] for line in lines if line["event"] == "redis.refused"}
        await command(valkey, "SCRIPT KILL")
        await asyncio.gather(endless, return_exceptions=True)
        await when(lambda: not running.service.link.lost)
        assert (await here.call("s1", node="order", orderId="1")).code == Code.NO_WORKERS
