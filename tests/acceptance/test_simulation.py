"""The simulation of docs/sizing.md tells what real processes do, where both can be had."""

import asyncio
import random
from statistics import median

import pytest

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.front.app import gateway
from tests.desk import ROOT, Desk, Heard, Place
from tests.simulation.model import Deployment, Load, Outcome, Run
from tests.simulation.page import COSTS, page
from workers.main import workers

pytestmark = pytest.mark.timeout(120)

SLOTS, BACKEND, BUDGET, SECONDS = 5, 0.1, 1.6, 5.0
STEADY = f'seed = 1\n[[rules]]\nlatency = {{ fixed = "{BACKEND * 1000:.0f}ms" }}\nshares = {{ ok = 1 }}\n'


async def heard_at(desk: Desk, rate: float) -> list[Heard]:
    """Send callbacks by chance, so many per second; return the replies to the second half."""
    draw = random.Random(1)
    calls: list[asyncio.Task[Heard]] = []
    at = 0.0
    begun = asyncio.get_running_loop().time()
    while (at := at + draw.expovariate(rate)) < SECONDS:
        await asyncio.sleep(max(0.0, begun + at - asyncio.get_running_loop().time()))
        number = len(calls)
        calls.append(asyncio.create_task(desk.call(f"s{number}", node="order", orderId=str(number))))
    return (await asyncio.gather(*calls))[len(calls) // 2 :]


def simulated(rate: float) -> Outcome:
    """Return what the model makes of the same."""
    load = Load(rate, live=1.0, backend=BACKEND, budget=BUDGET)
    return Run(Deployment(1, 1, SLOTS), load, COSTS, SECONDS).play()


@pytest.mark.parametrize(("rate", "share"), [(25.0, 0.01), (100.0, 0.15)])
async def test_share_of_live_answers_and_their_time_are_as_simulated(
    rate: float, share: float, place: Place, crm: Crm, desk: Desk
) -> None:
    """With slots to spare, and with twice as many calls as there are slots for."""
    crm.put(STEADY)
    changes = {"backends.crm.concurrency": SLOTS, "backends.crm.attempts": 1}
    catalog = place.catalog(changes, budget=f"{BUDGET}s", attempt_timeout="1s")
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        heard = await heard_at(desk.at(running.callbacks), rate)
    live = [one.took for one in heard if one.code == Code.OK]
    told = simulated(rate)
    assert len(live) / len(heard) == pytest.approx(told.answered_live, abs=share)
    assert median(live) == pytest.approx(told.percentile(0.5), rel=0.3, abs=0.03)


def test_page_of_the_simulation_is_its_outcome() -> None:
    """`make pages` makes it anew."""
    assert (ROOT / "docs" / "sizing.md").read_text(encoding="utf-8") == page()
