"""What a fleet of four workers makes of a backend that is down, and of one with a rate."""

import asyncio
import statistics
import sys
import time
from typing import Any

import aiohttp
import uvloop

from gateway.crm.server import Crm
from gateway.declared.catalog import compile_catalog, read
from gateway.front.app import gateway
from tests.bench.figures import Target, brief
from tests.bench.pace import Pace, Step
from tests.bench.section import Section, Table
from tests.bench.stage import Stage, wait_for
from tests.desk import Desk

WORKERS = 4
RATE = 50
_APP = 1400000001
_ABOUT = """\
Four worker processes, one gateway, and a CRM that counts its calls. *Down*: after a healthy while the CRM \
fails every call; callbacks come as fast as they are answered, from 20 sessions. *Rate*: 100 callers press \
on a backend with `rate = "50/s"`."""

CONFIG = """
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
budget = "4s"
[redis]
url = "{redis}"
prefix = "bench"
[apps.{app}]
signature = "off"
[[routes]]
lookups = ["order"]
[backends.crm]
url = "{crm}"
idle_before_reuse = "0s"
{more}
[lookups.order]
backend = "crm"
request = {{ path = "/orders/{{orderId}}" }}
variables = {{ order_id = "id" }}
fresh = "0s"
"""


def steps(_: Pace) -> int:
    """Return how many turns there will be."""
    return 2


def measure(pace: Pace, step: Step) -> Section:
    """Let the backend be down, then press on the rate; raise CannotStart."""
    seconds = 12 if pace.idle < 10 else 30
    down = _run('breaker = { break_duration = "5s" }', lambda crm, ask: _down(crm, ask, seconds))
    step()
    per_second = _run(f'rate = "{RATE}/s"', lambda crm, ask: _press(crm, ask, seconds))
    step()
    rows = [
        ["calls per lookup, until the breaker opens", brief(down["before"])],
        ["lookups until then", brief(down["lookups"])],
        ["probes in each 5 s after that", brief(down["probes"])],
        ["callbacks per second meanwhile", brief(down["callbacks"])],
        ["calls in each second, with a rate of 50/s: least", brief(min(per_second))],
        ["median", brief(statistics.median(per_second))],
        ["most", brief(max(per_second))],
    ]
    return Section(
        "A fleet of four workers",
        _ABOUT,
        [Table(("", "here"), rows)],
        [
            Target("down: calls per lookup until the breaker opens", down["before"], 1.2),
            Target("down: probes in 5 s", down["probes"], 1.0),
            Target("rate: calls over 50 in the fullest second", max(per_second) - RATE, 2.0),
            Target("rate: calls under 50 in the emptiest second", RATE - min(per_second), 2.0),
        ],
    )


def _run(more: str, play: Any) -> Any:  # noqa: ANN401 - what it returns is returned
    with Stage() as stage:
        return uvloop.run(_on(stage, more, play))


async def _on(stage: Stage, more: str, play: Any) -> Any:  # noqa: ANN401
    async with Crm() as crm, aiohttp.ClientSession() as http:
        text = CONFIG.format(redis=stage.url, app=_APP, crm=crm.url, more=more)
        config = stage.directory / "deskgate.toml"
        config.write_text(text)
        for _ in range(WORKERS):
            stage.start([sys.executable, "-m", "gateway", "worker", "-c", str(config)])
        async with gateway(compile_catalog(*read(text, {}))) as running:
            desk = Desk(http).at(running.callbacks)

            async def ask(session: int, order: int) -> int:
                return (await desk.call(f"s{session}", orderId=str(order))).code

            await asyncio.to_thread(
                wait_for, lambda: stage.redis.zcard("bench:free:crm") == WORKERS, "workers"
            )
            ends = time.monotonic() + 6
            while time.monotonic() < ends:  # until each has swept, and knows of the others
                await asyncio.gather(*(ask(n, n % 5) for n in range(20)))
                await asyncio.sleep(0.05)
            return await play(crm, ask)


async def _down(crm: Crm, ask: Any, seconds: float) -> dict[str, float]:  # noqa: ANN401
    crm.put("seed = 1\n[[rules]]\nshares = { error = 1 }\n")
    crm.stats.zero()
    lookups, codes = 0, set[int]()
    while 120005 not in codes:
        codes |= set(await asyncio.gather(*(ask(n, n % 5) for n in range(20))))
        lookups += 20
    calls = sum(crm.stats.calls.values())
    begun, callbacks = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        await asyncio.gather(*(ask(n, n % 5) for n in range(20)))
        callbacks += 20
    probes = sum(crm.stats.calls.values()) - calls
    return {
        "before": calls / lookups,
        "lookups": lookups,
        "probes": probes / (seconds / 5),
        "callbacks": callbacks / seconds,
    }


async def _press(crm: Crm, ask: Any, seconds: float) -> list[int]:  # noqa: ANN401
    ends = time.monotonic() + seconds + 3

    async def press(number: int) -> None:
        while time.monotonic() < ends:
            await ask(1000 + number, number)

    pressing = [asyncio.create_task(press(number)) for number in range(100)]
    await asyncio.sleep(3)
    seen, begun = [], time.monotonic()
    for second in range(1, int(seconds) + 1):
        before = sum(crm.stats.calls.values())
        await asyncio.sleep(max(0.0, begun + second - time.monotonic()))
        seen.append(sum(crm.stats.calls.values()) - before)
    await asyncio.gather(*pressing)
    return seen
