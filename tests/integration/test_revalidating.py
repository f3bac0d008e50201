"""``stale_while_revalidate``: answered at once from the record, refreshed behind, waited for by nobody."""

import asyncio
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.declared.catalog import Catalog
from gateway.front.app import gateway
from gateway.queue.jobs import State
from gateway.tools.processes import Valkey
from gateway.wire.keys import Keys
from tests.asking import counting, serving
from tests.desk import Desk, Heard, Place, when
from tests.integration.queueing import FAR, hand_off, stranger, wanted
from workers.main import workers

FAILING = "seed = 1\n[[rules]]\nshares = { error = 1 }\nstatus = 500\n"
HANGING = "seed = 1\n[[rules]]\nshares = { hang = 1 }\n"


def revalidating(place: Place) -> Catalog:
    """Return the test configuration with a lookup of orders whose records are refreshed at each use."""
    return place.catalog({"lookups.order.stale_while_revalidate": "60s"}, fresh="0s")


async def ask(desk: Desk) -> Heard:
    """Return what the session hears about its order."""
    return await desk.call(node="order", orderId="1")


def outcomes(lines: list[Any]) -> list[Mapping[str, Any]]:
    """Return what became of the lookup of each callback."""
    return [line["lookups"]["order"] for line in lines if line["event"] == "callback.answered"]


async def test_reply_does_not_wait_for_the_refresh(place: Place, crm: Crm, desk: Desk) -> None:
    """The CRM hangs, and the callback is answered with code 0: from memory, and from Redis."""
    catalog = revalidating(place)
    async with (
        workers(catalog, catalog.lanes, grace=0),
        gateway(catalog) as first,
        gateway(catalog) as second,
    ):
        known = await ask(desk.at(first.callbacks))
        crm.put(HANGING)
        with capture_logs() as lines:
            heard = [await ask(desk.at(one.callbacks)) for one in (first, second)]
            await when(lambda: crm.stats.report()["total"] == 2)
    assert [one.envelope for one in heard] == [known.envelope] * 2
    assert [outcome["source"] for outcome in outcomes(lines)] == ["revalidating"] * 2
    assert all(outcome["age_ms"] > 0 and outcome["code"] == Code.OK for outcome in outcomes(lines))


async def test_refreshed_answer_serves_the_next_callback_and_is_not_late(place: Place, desk: Desk) -> None:
    """Nobody waited for it, so it cannot be late; it goes into memory as any other does."""
    async with serving(counting(9)) as url:
        catalog = revalidating(Place(place.redis_url, place.prefix, url))
        async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
            with capture_logs() as lines:
                heard = []
                for _ in range(3):
                    heard.append(await ask(desk.at(running.callbacks)))
                    await when(lambda: not running.service.refreshes)
    assert [one.variables["order_id"] for one in heard] == ["1", "1", "2"]
    assert [outcome["source"] for outcome in outcomes(lines)] == ["live", "revalidating", "revalidating"]
    assert not [line for line in lines if line["event"] == "answer.late"]


async def test_refresh_under_way_elsewhere_is_joined(place: Place, crm: Crm, desk: Desk) -> None:
    """Its answer goes into the memory of every gateway that has served the record meanwhile."""
    catalog = revalidating(place)
    async with (
        workers(catalog, catalog.lanes, grace=1),
        gateway(catalog) as first,
        gateway(catalog) as second,
    ):
        await ask(desk.at(first.callbacks))
        crm.put('seed = 1\n[[rules]]\nlatency = { fixed = "200ms" }\nshares = { ok = 1 }\n')
        for one in (first, second):
            assert (await ask(desk.at(one.callbacks))).code == Code.OK
        sessions = [one.service.memory for one in (first, second)]
        (name,) = sessions[0]._held
        old = [one._held[name].born for one in sessions]
        await when(lambda: all(one._held[name].born > born for one, born in zip(sessions, old, strict=True)))
    assert crm.stats.report()["total"] == 2


async def test_one_refresh_of_a_record_at_a_time(place: Place, crm: Crm, desk: Desk) -> None:
    """A hundred callbacks of a session are no hundred questions to Redis, or to the CRM."""
    catalog = revalidating(place)
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        await ask(here)
        crm.put(HANGING)
        heard = await asyncio.gather(*(ask(here) for _ in range(20)))
        await when(lambda: crm.stats.report()["total"] == 2)
        assert len(running.service.refreshes) == 1
    assert {one.code for one in heard} == {Code.OK}
    assert crm.stats.report()["total"] == 2


async def test_refresh_that_fails_costs_no_callback_anything(place: Place, crm: Crm, desk: Desk) -> None:
    """The record is served for as long as it may be; then a failure shows as one."""
    catalog = revalidating(place)
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        known = await ask(here)
        crm.put(FAILING)
        with capture_logs() as lines:
            for count in (1, 2):
                assert (await ask(here)).envelope == known.envelope
                await when(lambda: not running.service.refreshes)
                assert [line["attempts"] for line in lines if line["event"] == "lookup.finished"] == [
                    1
                ] * count
    assert {outcome["source"] for outcome in outcomes(lines)} == {"revalidating"}


async def test_without_redis_the_record_is_served_and_nothing_is_refreshed(
    valkey: Valkey, place: Place, crm: Crm, desk: Desk
) -> None:
    """A refresh that cannot be begun is nobody's failure."""
    catalog = revalidating(Place(valkey.url, place.prefix, crm.url))
    async with gateway(catalog) as running:
        here = desk.at(running.callbacks)
        async with workers(catalog, catalog.lanes, grace=1):
            known = await ask(here)
        valkey.kill()
        with capture_logs() as lines:
            assert (await ask(here)).envelope == known.envelope
            await when(lambda: not running.service.refreshes)
    assert [outcome["source"] for outcome in outcomes(lines)] == ["revalidating"]
    assert {line["event"] for line in lines} <= {"callback.answered", "redis.lost"}


async def test_refresh_waits_behind_everything_even_when_redis_has_lost_the_record(place: Place) -> None:
    """No callback waits for a refresh of a record in memory: it must not take a slot from one that does."""
    catalog = place.catalog()
    keys = Keys(place.prefix)
    async with hand_off(catalog) as side, stranger(place, slots=0), Redis.from_url(place.redis_url) as redis:
        deadline = asyncio.get_running_loop().time() + FAR
        (refresh,) = await side.begin([wanted(1)._replace(awaited=False)], deadline)
        (joined,) = await side.begin([wanted(1, "u")._replace(awaited=False)], deadline)
        assert refresh.job is not None
        assert (refresh.state, refresh.known, refresh.job.late) == (State.REVALIDATING, None, False)
        assert (joined.state, joined.job) == (State.REVALIDATING, refresh.job)
        score = await redis.zscore(keys.lane("crm"), refresh.job.job_id)
        assert 5e11 <= score < 1e12
        (waits,) = await side.begin([wanted(1, "v")], deadline)
        assert (waits.state, waits.job) == (State.JOINED, refresh.job)
        assert await redis.zscore(keys.lane("crm"), refresh.job.job_id) < 5e11
