"""What is worth waking somebody for is a warning, and it is told when it is over."""

import asyncio

import pytest
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.front.app import gateway
from tests.desk import APP, Desk, Place
from workers.main import workers

ORDER = {"node": "order", "orderId": "1"}


async def test_lane_without_workers_is_told_once_and_when_it_is_over(place: Place, desk: Desk) -> None:
    """Every callback has its code, and nobody reads those at night."""
    catalog = place.catalog(fresh="1ms")
    async with gateway(catalog) as running:
        here = desk.at(running.callbacks)
        with capture_logs() as lines:
            for session in ("s1", "s2", "s3"):
                assert (await here.call(session, **ORDER)).code == Code.NO_WORKERS
            async with workers(catalog, catalog.lanes, grace=1):
                assert (await here.call("s4", **ORDER)).code == 0
                assert (await here.call("s5", **ORDER)).code == 0
        told = [(line["event"], line["lane"]) for line in lines if line["event"].startswith("lane.")]
        assert told == [("lane.unattended", "crm"), ("lane.attended", "crm")]


async def test_backend_that_answers_nothing_is_told_once_and_when_it_is_over(
    place: Place, desk: Desk, crm: Crm
) -> None:
    """A customer that is not there, or a question that is refused, is no illness of the backend."""
    catalog = place.catalog({"backends.crm.breaker": "off"})
    async with gateway(catalog) as running, workers(catalog, catalog.lanes, grace=1):
        here = desk.at(running.callbacks)
        with capture_logs() as lines:
            for number in range(8):
                await here.call(f"s{number}", node="order", orderId=f"missing-{number}")
            crm.put('[[rules]]\npath = "/orders/*"\nshares = { error = 1 }\n')
            for number in range(8):
                heard = await here.call(f"t{number}", node="order", orderId=f"{number}")
                assert heard.code == Code.BACKEND_UNAVAILABLE
            crm.put("")
            assert (await here.call("u", **ORDER)).code == 0
            await asyncio.sleep(0)
    told = [line for line in lines if line["event"].startswith("backend.")]
    assert [line["event"] for line in told] == ["backend.failing", "backend.recovered"]
    failing = told[0]
    assert (failing["backend"], failing["code_name"], failing["lookups"]) == ("crm", "BACKEND_UNAVAILABLE", 5)


@pytest.mark.parametrize("redis_lost", ["records", "direct"])
async def test_too_many_callbacks_are_told_with_the_cause(
    place: Place, desk: Desk, crm: Crm, redis_lost: str
) -> None:
    """``OVERLOADED`` has several causes, and each wants something else done."""
    catalog = place.catalog({"gateway.max_inflight": 1, f"apps.{APP}.redis_lost": redis_lost})
    crm.put('[[rules]]\nlatency = { fixed = "300ms" }\nshares = { ok = 1 }\n')
    async with gateway(catalog) as running, workers(catalog, catalog.lanes, grace=1):
        here = desk.at(running.callbacks)
        with capture_logs() as lines:
            heard = await asyncio.gather(
                *(here.call(f"s{number}", node="order", orderId=f"{number}") for number in range(6))
            )
    assert sorted({one.code for one in heard}) == [0, Code.OVERLOADED]
    told = [line for line in lines if line["event"] == "callbacks.overloaded"]
    assert [line["asking"] for line in told] == [1]
