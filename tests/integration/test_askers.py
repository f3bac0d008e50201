"""One suite over all askers: the flow relies on what an Asker promises, and on nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import pytest
import pytest_asyncio

from gateway.core.errors import Code
from gateway.core.messages import Callback
from gateway.crm.server import Crm
from gateway.declared.catalog import Catalog
from gateway.forgetting.forget import Forgetter
from gateway.front.alone.asker import AloneAsker
from gateway.front.alone.restorer import Restorer
from gateway.front.app import Gateway, gateway
from gateway.front.askers import Asker
from gateway.front.ladder import Heard, Source, resolve
from gateway.front.plan import Planned, plan
from gateway.lookups.build import open_backend
from gateway.queue.jobs import LANE_LIMIT
from gateway.records.memory import RecordMemory
from gateway.resilience.board import Board
from gateway.tools.processes import Valkey
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink
from tests.desk import APP, Place, when
from workers.main import workers

FLEET_APP = 1400000002
FAILING = "seed = 1\n[[rules]]\nshares = { error = 1 }\nstatus = 500\n"
HANGING = "seed = 1\n[[rules]]\nshares = { hang = 1 }\n"
ORDERS_HANG = 'seed = 1\n[[rules]]\npath = "/orders/*"\nshares = { hang = 1 }\n'
ROOMY = 5.0
"""Seconds to answer in, where a test is not about time running out."""


def slow(latency: str) -> str:
    """Return a script by which every call takes ``latency``."""
    return f'seed = 1\n[[rules]]\nlatency = {{ fixed = "{latency}" }}\nshares = {{ ok = 1 }}\n'


@dataclass
class Stage:
    """An asker with all that it stands on."""

    asker: Asker
    catalog: Catalog
    memory: RecordMemory
    app: int

    def planned(self, *lookups: str, session: str = "s1", order: str = "1") -> list[Planned]:
        """Plan lookups of a callback."""
        variables = {"SystemSessionID": session, "SystemClientUserID": "user517", "orderId": order}
        callback = Callback(self.app, session, "user517", "/", variables)
        app, trace = self.catalog.apps[self.app], uuid4().hex[:16]
        return [plan(self.catalog.lookups[name], app, callback, trace, self.memory.get) for name in lookups]

    async def ask(
        self, *lookups: str, left: float = ROOMY, session: str = "s1", order: str = "1"
    ) -> list[Heard]:
        """Ask for lookups, and wait as long as that."""
        planned = self.planned(*lookups, session=session, order=order)
        return await self.asker.ask(planned, time.monotonic() + left)


@asynccontextmanager
async def fleet(catalog: Catalog, _: Valkey) -> AsyncIterator[Stage]:
    """Workers, asked through the queue."""
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        yield _stage(running, catalog, FLEET_APP)


@asynccontextmanager
async def fleet_else_alone(catalog: Catalog, _: Valkey) -> AsyncIterator[Stage]:
    """Workers are there; this process could ask in their place."""
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        yield _stage(running, catalog, APP)


@asynccontextmanager
async def fleet_lost_else_alone(catalog: Catalog, valkey: Valkey) -> AsyncIterator[Stage]:
    """Redis has gone, and the fleet with it: this process asks in its place."""
    async with gateway(catalog) as running:
        valkey.kill()
        await when(lambda: running.service.link.lost)
        yield _stage(running, catalog, APP)


@asynccontextmanager
async def alone(catalog: Catalog, valkey: Valkey) -> AsyncIterator[Stage]:
    """This process asks, with a fleet and without one."""
    async with AsyncExitStack() as stack:
        backends = {lane: open_backend(catalog, lane, Board(), bulkhead=True) for lane in catalog.lanes}
        for backend in backends.values():
            stack.push_async_callback(backend.close)
        link, keys, memory = RedisLink(valkey.url, 1.0), Keys("alone"), RecordMemory(1000)
        stack.push_async_callback(link.close)
        restorer = Restorer(link, keys, memory, Forgetter(link, keys, memory), 1000)
        stack.push_async_callback(restorer.close)
        asker = AloneAsker(backends, restorer)
        stack.push_async_callback(asker.close)
        yield Stage(asker, catalog, memory, APP)


def _stage(running: Gateway, catalog: Catalog, app: int) -> Stage:
    return Stage(running.service.askers[app], catalog, running.service.memory, app)


ASKERS = {one.__name__: one for one in (fleet, alone, fleet_else_alone, fleet_lost_else_alone)}


@pytest_asyncio.fixture(params=ASKERS)
async def stage(request: pytest.FixtureRequest, valkey: Valkey, crm: Crm) -> AsyncIterator[Stage]:
    """Each kind of asker in turn."""
    place = Place(valkey.url, "askers", crm.url)
    changes = {f"apps.{APP}.redis_lost": "direct", "backends.crm.attempts": 1}
    async with ASKERS[request.param](
        place.catalog(changes, attempt_timeout="1s", fresh="0s"), valkey
    ) as stage:
        yield stage


async def test_answers_are_heard_in_the_order_of_the_lookups(stage: Stage) -> None:
    """The flow takes the first for the first; each is whole, live, and has no code."""
    heard = await stage.ask("order", "customer", "profile")
    assert [(one.code, one.source) for one in heard] == [(Code.OK, Source.LIVE)] * 3
    assert [set(one.answer.variables) if one.answer else None for one in heard] == [
        {"order_id", "order_total"},
        {"customer_id", "customer_tier"},
        {"testKey1", "testKey3"},
    ]


async def test_nothing_is_asked_for_nothing(stage: Stage, crm: Crm) -> None:
    """A route may name no lookup."""
    assert await stage.ask() == []
    assert crm.stats.report()["total"] == 0


async def test_failure_is_a_code_and_no_exception(stage: Stage, crm: Crm) -> None:
    """An exception would cost the callback all its other variables."""
    crm.put(FAILING)
    assert [one.code for one in await stage.ask("order", "customer")] == [Code.BACKEND_UNAVAILABLE] * 2


async def test_deadline_is_kept_and_hurts_only_those_that_are_late(stage: Stage, crm: Crm) -> None:
    """The callback is answered with the rest; the one that hangs has run out of time."""
    crm.put(ORDERS_HANG)
    begun = time.monotonic()
    order, customer = await stage.ask("order", "customer", left=0.5)
    assert time.monotonic() - begun < ROOMY
    assert (order.code, customer.code) == (Code.TIMEOUT, Code.OK)


async def test_equal_lookups_at_one_time_are_one_call(stage: Stage, crm: Crm) -> None:
    """Twenty callbacks of an impatient session must not be twenty calls."""
    crm.put(slow("300ms"))
    heard = await asyncio.gather(*(stage.ask("order") for _ in range(20)))
    assert {one.code for (one,) in heard} == {Code.OK}
    assert crm.stats.report()["total"] == 1


async def test_other_inputs_are_another_question(stage: Stage) -> None:
    """Another order's state would be a wrong word."""
    heard = await asyncio.gather(*(stage.ask("order", order=str(number)) for number in range(1, 6)))
    assert [one.answer.variables["order_id"] if one.answer else None for (one,) in heard] == list("12345")


async def test_answer_is_remembered(stage: Stage) -> None:
    """The session's next callback knows it, and asks nobody."""
    (heard,) = await stage.ask("order")
    (again,) = stage.planned("order")
    assert again.known is not None
    assert heard.answer is not None
    assert again.known.variables == heard.answer.variables


async def test_answer_that_comes_too_late_is_remembered(stage: Stage, crm: Crm) -> None:
    """It is the next callback's last known answer."""
    crm.put(slow("400ms"))
    (heard,) = await stage.ask("order", left=0.15)
    assert heard.code == Code.TIMEOUT
    await when(lambda: stage.planned("order")[0].known)


async def test_who_joins_a_call_that_had_too_little_time_asks_anew(stage: Stage, crm: Crm) -> None:
    """The first callback was nearly over when it asked; the second one has time left for another call."""
    crm.put(HANGING)
    first = asyncio.create_task(stage.ask("order", left=0.2))
    await when(lambda: crm.stats.report()["total"] == 1)
    second = asyncio.create_task(stage.ask("order"))
    assert [one.code for one in await first] == [Code.TIMEOUT]
    crm.put("seed = 1\n[[rules]]\nshares = { ok = 1 }\n")
    assert [one.code for one in await second] == [Code.OK]


async def test_lane_that_is_full_is_overload_and_no_outage(valkey: Valkey, crm: Crm) -> None:
    """Whoever reads the log at night must not look for a broken Redis, or for a slow backend."""
    place = Place(valkey.url, "askers", crm.url)
    catalog = place.catalog()
    async with gateway(catalog) as running:
        lane, far = Keys(place.prefix).lane("crm"), 4e11
        await running.service.link.execute(
            "ZADD", lane, *(x for n in range(LANE_LIMIT) for x in (far, f"job-{n}"))
        )
        (heard,) = await _stage(running, catalog, FLEET_APP).ask("order")
    assert (heard.code, heard.source) == (Code.OVERLOADED, Source.NONE)


async def test_alone_no_attempt_begins_after_the_deadline(valkey: Valkey, crm: Crm) -> None:
    """The callback has been answered, and a backend that fails has enough to do."""
    crm.put(FAILING)
    catalog = Place(valkey.url, "askers", crm.url).catalog({"backends.crm.attempts": 3})
    async with alone(catalog, valkey) as stage:
        asker = stage.asker
        assert isinstance(asker, AloneAsker)
        await stage.ask("order", left=0.01)
        await when(lambda: not asker._calls)
    assert crm.stats.report()["total"] == 1


async def test_failure_brings_the_last_known_answer_with_it(stage: Stage, crm: Crm) -> None:
    """By it the ladder has a rung to stand on."""
    await stage.ask("order")
    crm.put(FAILING)
    (planned,) = stage.planned("order")
    (heard,) = await stage.asker.ask([planned], time.monotonic() + ROOMY)
    outcome = resolve(planned.lookup, heard, time.monotonic())
    assert (outcome.source, outcome.code) == (Source.STALE, Code.BACKEND_UNAVAILABLE)
    assert outcome.variables["order_id"] == "1"


async def test_refresh_renews_the_record_and_holds_nobody_up(stage: Stage, crm: Crm) -> None:
    """A callback that a revalidating record has answered pays nothing for the next one's freshness."""
    await stage.ask("order")
    (planned,) = stage.planned("order")
    before = planned.known
    assert before is not None
    stage.asker.refresh(planned)
    stage.asker.refresh(planned)
    await when(lambda: (known := stage.planned("order")[0].known) and known.born > before.born)
    assert crm.stats.report()["total"] == 2
