"""Five times more than a lane can do: what it does must still be of use to somebody."""

import asyncio
import time

import pytest

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.front.app import gateway
from tests.desk import Desk, Heard, Place
from workers.main import workers

SLOTS, TAKES = 4, 0.4
CAPACITY = SLOTS / TAKES
OVERLOAD = 5
LENGTH = 30.0
BUDGET = 2.4
STALL = 0.02
"""Seconds by which a send is late when the machine has stood still meanwhile."""


@pytest.mark.timeout(240)
async def test_goodput_stays_near_capacity_when_five_times_as_much_is_asked(
    place: Place, crm: Crm, desk: Desk
) -> None:
    """A queue that runs the oldest job first serves nobody in time. This one sheds and serves the others."""
    crm_settings = {"backends.crm.attempts": 1, "backends.crm.concurrency": SLOTS}
    catalog = place.catalog(crm_settings, budget=f"{BUDGET}s")
    crm.put(f'seed = 1\n[[rules]]\nlatency = {{ fixed = "{TAKES * 1000:.0f}ms" }}\nshares = {{ ok = 1 }}\n')
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        begun = time.monotonic()
        late = stood_still = 0.0
        calls: list[asyncio.Task[Heard]] = []
        for number in range(int(CAPACITY * OVERLOAD * LENGTH)):
            due = begun + number / (CAPACITY * OVERLOAD)
            await asyncio.sleep(due - time.monotonic())
            calls.append(asyncio.create_task(here.call(f"s{number}", node="order", orderId=str(number))))
            later = time.monotonic() - due - late
            late += later
            stood_still += later if later > STALL else 0.0
        heard = await asyncio.gather(*calls)
        done = sum(crm.stats.calls.values())
    good = [one for one in heard if one.code == 0]
    spared = CAPACITY * stood_still  # what the lane could have done while this machine did nothing
    assert {one.code for one in heard} <= {0, Code.TIMEOUT, Code.OVERLOADED}
    assert max(one.took for one in heard) < 2 * BUDGET
    assert len(good) + spared >= 0.9 * CAPACITY * LENGTH, "the lane does what it can"
    assert len(good) + spared >= 0.9 * done, "and what it does is of use"
    shed = [one for one in heard if one.code == Code.OVERLOADED]
    assert len(shed) > len(heard) / 4
    assert sorted(one.took for one in shed)[len(shed) // 2] < BUDGET / 4, "who is shed is told at once"
