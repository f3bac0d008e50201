"""What the policies cost a call to a backend, against a bare call of aiohttp's client."""

import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from urllib.request import urlopen

import aiohttp
import uvloop
from redis.asyncio import Redis

from gateway.core.messages import Job
from gateway.declared.catalog import compile_catalog, read
from gateway.fleet.board import FleetBoard
from gateway.lookups.build import open_backend
from gateway.resilience.policy import Call
from gateway.resilience.stack import stack
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink
from tests.bench.figures import Target, brief
from tests.bench.pace import Pace, Step
from tests.bench.section import Section, Table
from tests.bench.stage import Stage, free_port, wait_for

ROUNDS = 20
CALLS = 400
_ABOUT = """\
One process asks a backend over a kept connection, one call after the other: by aiohttp's client alone, and \
as a worker asks, with its connector, all policies and the mapping. CPU of the asking process, in turns; the \
backend is another process. *Policies* is the stack of policies around an attempt that does nothing."""

CONFIG = """
[backends.crm]
url = "{url}"
idle_before_reuse = "0s"
attempt_timeout = "5s"
rate = "1000000/s"

[lookups.order]
backend = "crm"
request = {{ path = "/orders/1" }}
variables = {{ id = "id" }}
"""


def steps(_: Pace) -> int:
    """Return how many turns there will be."""
    return ROUNDS


def measure(_: Pace, step: Step) -> Section:
    """Take the turns; raise CannotStart."""
    with Stage() as stage:
        port = free_port()
        crm = stage.start([sys.executable, "-m", "gateway", "crm", "--port", str(port)])
        url = f"http://127.0.0.1:{port}"
        stage.explain(lambda: wait_for(lambda: _answers(url), "the CRM"), crm)
        bare, whole, policies, commands = uvloop.run(_measure(url, stage.url, step))
    more = [one - other for one, other in zip(whole, bare, strict=True)]
    named = {"aiohttp alone": bare, "a worker's call": whole, "the difference": more, "policies": policies}
    rows = [[name, brief(statistics.median(them)), _quartiles(them)] for name, them in named.items()]
    return Section(
        "The policies of a call",
        _ABOUT,
        [Table(("CPU a call", "µs", "quartiles"), rows)],
        [
            Target("policies: µs of CPU a call", statistics.median(policies), 60.0),
            Target("breaker closed: Redis commands a call", commands, 0.0),
        ],
    )


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/orders/1", timeout=1) as response:  # noqa: S310 - ours
            return bool(response.status)
    except OSError:
        return False


def _quartiles(figures: list[float]) -> str:
    low, _, high = statistics.quantiles(figures, n=4)
    return f"{brief(low)}-{brief(high)}"


async def _measure(
    url: str, redis_url: str, step: Step
) -> tuple[list[float], list[float], list[float], float]:
    """Return the µs of each turn: bare, a worker's call, the policies; and the Redis commands of a call."""
    catalog = compile_catalog(*read(CONFIG.format(url=url), {}))
    settings, lookup = catalog.backend("crm"), catalog.lookups["order"]
    link, keys = RedisLink(redis_url, 5.0), Keys("bench")
    board = FleetBoard(link, keys)
    await link.start()
    await board.start(5.0)
    backend, policies = open_backend(catalog, "crm", board, bulkhead=False), stack(settings, board, "crm")
    job = Job("order", {}, 1, "s1", "r", "t1", version=lookup.version)
    async with aiohttp.ClientSession() as http, Redis.from_url(redis_url) as redis:

        async def bare() -> None:
            async with http.get(f"{url}/orders/1") as response:
                await response.read()

        async def whole() -> None:
            asked = await backend.ask(job, "j", 5.0)
            assert asked.answer.code == 0

        async def nothing() -> None:
            return

        async def guarded() -> None:
            await policies(Call(nothing, time.monotonic() + 5.0))

        turns: list[tuple[float, float, float]] = []
        before = (await redis.info("stats"))["total_commands_processed"]
        for _ in range(ROUNDS):
            turns.append(
                (
                    await _cpu(bare, CALLS),
                    await _cpu(whole, CALLS),
                    await _cpu(guarded, CALLS * 10) - await _cpu(nothing, CALLS * 10),
                )
            )
            step()
        after = (await redis.info("stats"))["total_commands_processed"]
        pings = after - before - 2  # INFO, and what keeps the subscription alive
        await backend.close()
    await board.close()
    await link.close()
    one, two, three = (list(figures) for figures in zip(*turns, strict=True))
    return one, two, three, round(pings / (ROUNDS * CALLS * 11), 3)


async def _cpu(call: Callable[[], Awaitable[None]], times: int) -> float:
    """Return the µs of CPU that a call takes."""
    begun = time.process_time()
    for _ in range(times):
        await call()
    return (time.process_time() - begun) / times * 1e6
