"""Five times more than a lane can do: what it does must still be of use to somebody."""

import asyncio
import time

import pytest

from gateway.app import gateway
from gateway.core.catalog import compile_catalog
from gateway.core.config import read
from gateway.core.errors import Code
from gateway.crm.server import Crm
from tests.desk import Desk, Heard, Place
from workers.main import workers

SLOTS, TAKES = 4, 0.4
CAPACITY = SLOTS / TAKES
OVERLOAD = 5
LENGTH = 30.0
BUDGET = 2.4


@pytest.mark.timeout(120)
async def test_goodput_stays_near_capacity_when_five_times_as_much_is_asked(
    place: Place, crm: Crm, desk: Desk
) -> None:
    """A queue that runs whatever is oldest answers nobody in time; this one sheds, and serves whom it can."""
    text = place.config(budget=f"{BUDGET}s").replace("attempts = 3", f"attempts = 1\nconcurrency = {SLOTS}")
    catalog = compile_catalog(*read(text, place.environ))
    crm.put(f'seed = 1\n[[rules]]\nlatency = {{ fixed = "{TAKES * 1000:.0f}ms" }}\nshares = {{ ok = 1 }}\n')
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        begun = time.monotonic()
        calls: list[asyncio.Task[Heard]] = []
        for number in range(int(CAPACITY * OVERLOAD * LENGTH)):
            await asyncio.sleep(begun + number / (CAPACITY * OVERLOAD) - time.monotonic())
            calls.append(asyncio.create_task(here.call(f"s{number}", node="order", orderId=str(number))))
        heard = await asyncio.gather(*calls)
        done = sum(crm.stats.calls.values())
    good = [one for one in heard if one.code == 0]
    assert {one.code for one in heard} <= {0, Code.TIMEOUT, Code.OVERLOADED}
    assert max(one.took for one in heard) < 2 * BUDGET
    assert done >= 0.75 * CAPACITY * LENGTH, "the lane is kept busy"
    assert len(good) >= 0.9 * done, "and what it does is of use"
    shed = [one for one in heard if one.code == Code.OVERLOADED]
    assert len(shed) > len(heard) / 4
    assert sorted(one.took for one in shed)[len(shed) // 2] < BUDGET / 4, "who is shed is told at once"
