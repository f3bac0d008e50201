"""A half-done rollout: gateways and workers with different configurations tell nobody a wrong variable."""

import asyncio
import time

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.core.messages import Job
from gateway.core.packing import pack
from gateway.core.records import Record
from gateway.crm import data
from gateway.crm.server import Crm
from gateway.front.app import gateway
from gateway.queue.jobs import State, Wanted
from gateway.wire.keys import Keys
from tests.asking import only
from tests.desk import Desk, Heard, Place
from tests.integration.queueing import hand_off
from workers.main import workers

CHANGES: dict[str, dict[str, object]] = {
    "another mapping": {"lookups.order.variables": {"order_id": "id", "order_total": "eta_days"}},
    "other names": {"lookups.order.variables": {"order_id": "id", "price": "total.amount"}},
    "another path": {"lookups.order.request.path": "/customers/{orderId}"},
    "another not_found": {"lookups.order.not_found": {"order_id": "gone"}},
    "more required": {"lookups.order.required": ["order_id", "order_total"]},
    "a rule": {"lookups.order.answers": [{"when": {"id": "7"}, "is": "rejected"}]},
}


async def ask(desk: Desk, session: str = "s1", number: str = "7") -> Heard:
    """Return what a session hears about an order."""
    return await desk.call(session, node="order", orderId=number)


def right(crm: Crm, number: str = "7") -> dict[str, str]:
    """Return the variables of an order by the test configuration."""
    order = data.order(crm.seed, number)
    assert order is not None
    return {"order_id": number, "order_total": f"{order.total.amount}"}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_worker_of_another_configuration_neither_answers_nor_records(
    change: str, place: Place, crm: Crm, desk: Desk
) -> None:
    """Net would be told as gross for a day. The reply comes at once. With one file for all it is right."""
    new, old = place.catalog(), place.catalog(CHANGES[change])
    async with gateway(new) as running:
        here = desk.at(running.callbacks)
        async with workers(old, old.lanes, grace=0):
            with capture_logs() as lines:
                refused = [await ask(here) for _ in range(2)]
        async with workers(new, new.lanes, grace=0):
            healed = await ask(here)
    assert [one.code for one in refused] == [Code.LOOKUP_FAILED] * 2
    assert [one.variables for one in refused] == [{"order_id": "unknown"}] * 2  # the fallback
    assert max(one.took for one in refused) < 1.5  # of 4 s
    assert crm.stats.report()["total"] == 1
    assert (healed.code, healed.variables) == (0, right(crm))
    reasons = [line["reason"] for line in lines if line["event"] == "lookup.finished"]
    assert len(reasons) == 2
    assert all("bring gateways and workers to one configuration" in reason for reason in reasons)


async def test_a_gateway_of_the_old_configuration_keeps_its_last_known_answers(
    place: Place, crm: Crm, desk: Desk
) -> None:
    """All workers have moved on; the old gateway's callbacks hear what is known, with a code."""
    old, new = place.catalog(fresh="0s"), place.catalog(CHANGES["another mapping"], fresh="0s")
    async with gateway(old) as running:
        here = desk.at(running.callbacks)
        async with workers(old, old.lanes, grace=0):
            known = await ask(here)
        async with workers(new, new.lanes, grace=0):
            heard = await ask(here)
    assert known.variables == right(crm)
    assert (heard.code, heard.variables) == (Code.LOOKUP_FAILED, known.variables)


async def test_a_lane_with_workers_of_both_configurations_answers_both(
    place: Place, crm: Crm, desk: Desk
) -> None:
    """A job that comes to the wrong worker is handed to one that may know it, at once."""
    old, new = place.catalog(fresh="0s"), place.catalog(CHANGES["another mapping"], fresh="0s")
    async with (
        gateway(old) as first,
        gateway(new) as second,
        workers(old, old.lanes, grace=0),
        workers(new, new.lanes, grace=0),
    ):
        sessions = [f"s{number}" for number in range(10)]
        olds = [await ask(desk.at(first.callbacks), session) for session in sessions]
        news = [await ask(desk.at(second.callbacks), session) for session in sessions]
        both = await asyncio.gather(
            *(ask(desk.at(one.callbacks), session, "8") for session in sessions for one in (first, second))
        )
    order = data.order(crm.seed, "7")
    assert order is not None
    assert [(one.code, one.variables) for one in olds] == [(0, right(crm))] * 10
    assert [(one.code, one.variables["order_total"]) for one in news] == [(0, f"{order.eta_days}")] * 10
    assert [one.code for one in both] == [0] * 20
    assert max(one.took for one in (*olds, *news, *both)) < 1.5


async def test_a_worker_without_the_lookup_passes_its_job_on(place: Place, crm: Crm, desk: Desk) -> None:
    """It was started from a file that is older than the lookup."""
    new = place.catalog()
    old = place.catalog({"lookups.order": None, "routes": [{"lookups": ["customer"]}]})
    async with gateway(new) as running, workers(old, ["crm"], grace=0):
        here = desk.at(running.callbacks)
        refused = await ask(here)
        async with workers(new, new.lanes, grace=0):
            healed = [await ask(here, f"s{number}") for number in range(5)]
    assert refused.code == Code.LOOKUP_FAILED
    assert [(one.code, one.variables) for one in healed] == [(0, right(crm))] * 5


async def test_jobs_do_not_travel_for_ever(place: Place, desk: Desk) -> None:
    """Three workers, three configurations, and none is the gateway's."""
    new = place.catalog()
    others = [
        place.catalog(CHANGES[change]) for change in ("another mapping", "other names", "more required")
    ]
    async with gateway(new) as running:
        here = desk.at(running.callbacks)
        async with (
            workers(others[0], ["crm"], grace=0),
            workers(others[1], ["crm"], grace=0),
            workers(others[2], ["crm"], grace=0),
        ):
            with capture_logs() as lines:
                heard = await ask(here)
    assert heard.code == Code.LOOKUP_FAILED
    assert heard.took < 1.5
    finished = [line for line in lines if line["event"] in {"lookup.finished", "job.dropped"}]
    assert 1 <= len(finished) <= 4


async def test_a_job_without_a_version_is_not_answered(place: Place, crm: Crm) -> None:
    """A gateway of an earlier release made it; nobody knows by which configuration."""
    catalog = place.catalog()
    name = "1400000001:s1:order:x"
    job = Job("order", {"orderId": "7"}, 1400000001, "s1", name, "t1")
    async with workers(catalog, ["crm"], grace=0), hand_off(catalog) as handed:
        deadline = time.monotonic() + 4
        (asked,) = await handed.begin([Wanted(job, "crm", 0.0, 1.0)], deadline)
        await handed.wait([asked], deadline)
        async with Redis.from_url(place.redis_url) as redis:
            recorded = await redis.exists(Keys(place.prefix).record(name))
    assert asked.state is State.BEGUN
    assert asked.answer is not None
    assert (asked.answer.code, recorded) == (Code.LOOKUP_FAILED, 0)
    assert crm.stats.report()["total"] == 0


@pytest.mark.parametrize("fresh", ["60s", "0s"])
async def test_a_record_of_other_variables_does_not_block_its_lookup(
    fresh: str, place: Place, crm: Crm, desk: Desk
) -> None:
    """Whoever wrote it: it is asked for, as if there were none, and replaced."""
    catalog = place.catalog({"lookups.order.stale_while_revalidate": "60s"}, fresh=fresh)
    async with (
        gateway(catalog) as first,
        gateway(catalog) as second,
        workers(catalog, catalog.lanes, grace=0),
        Redis.from_url(place.redis_url) as redis,
    ):
        await ask(desk.at(first.callbacks))
        (key,) = await redis.keys(f"{place.prefix}:record:*")
        seconds, micros = await redis.time()
        await redis.set(key, pack(Record(seconds * 1000 + micros / 1000, {"price": "1"})))
        heard = await ask(desk.at(second.callbacks))
    assert (heard.code, heard.variables) == (0, right(crm))


MISSING = "[[rules]]\nshares = { error = 1 }\nstatus = 404\n"


@pytest.mark.parametrize("revalidate", ["0s", "60s"])
async def test_a_customer_who_registers_is_found_soon(
    revalidate: str, place: Place, crm: Crm, desk: Desk
) -> None:
    """An answer that there is no such thing is fresh for a short time alone, in memory and in Redis."""
    changes: dict[str, object] = {
        "lookups.order.not_found_fresh": "0s",
        "lookups.order.stale_while_revalidate": revalidate,
    }
    catalog = place.catalog(changes, fresh="1h")
    async with (
        gateway(catalog) as first,
        gateway(catalog) as second,
        workers(catalog, catalog.lanes, grace=0),
    ):
        crm.put(MISSING)
        missing = [await ask(desk.at(first.callbacks), session) for session in ("s1", "s2")]
        crm.put("")
        found = [await ask(desk.at(first.callbacks), "s1"), await ask(desk.at(second.callbacks), "s2")]
    assert [(one.code, one.variables["order_id"]) for one in missing] == [(0, "none")] * 2
    assert [(one.code, one.variables) for one in found] == [(0, right(crm))] * 2


async def test_no_such_thing_is_fresh_while_it_may_be(place: Place, crm: Crm, desk: Desk) -> None:
    """A flow that asks three times in a row costs the backend one call; in an outage it is the last known."""
    catalog = place.catalog({"lookups.order.not_found_fresh": "60s"}, fresh="1h")
    again = place.catalog({"lookups.order.not_found_fresh": "0s"}, fresh="1h")
    async with (
        gateway(catalog) as first,
        gateway(catalog) as second,
        gateway(again) as third,
        workers(catalog, catalog.lanes, grace=0),
    ):
        crm.put(MISSING)
        heard = [await ask(desk.at(one.callbacks)) for one in (first, first, second)]
        asked = crm.stats.report()["total"]
        crm.put(only("error", "status = 503"))
        heard.append(await ask(desk.at(third.callbacks)))
    assert asked == 1
    assert [one.code for one in heard] == [0, 0, 0, Code.BACKEND_UNAVAILABLE]
    assert [one.variables["order_id"] for one in heard] == ["none"] * 4
