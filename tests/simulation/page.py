"""docs/sizing.md: what one of each carries, and how far a deployment grows, by measurement and simulation."""

# ruff: noqa: E501, RUF001 - a page of text

from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan

from tests.simulation.model import Costs, Deployment, Load, Outcome, Run

COSTS = Costs(gateway_memory=84e-6, gateway_live=168e-6, redis_live=62e-6, worker=316e-6)
"""Measured by `make bench` on the machine of docs/bench.md: the callbacks, the policies, the hand-off."""

SECONDS, LONG = 2.0, 8.0
"""A queue that grows slowly is seen late."""

SLOTS = 20
RECORD_BYTES = 290
"""In Redis: a record of four variables with 30 characters each, its key included; measured by INFO memory."""

HELD_BYTES = 1_300
"""The same in a gateway's memory, by the constants of records/memory.py."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A row: a deployment under a load."""

    name: str
    deployment: Deployment
    load: Load
    seconds: float = SECONDS

    def play(self) -> Outcome:
        """Return what comes of it."""
        return Run(self.deployment, self.load, COSTS, self.seconds).play()


def _load(rate: float, backend: float = 0.2) -> Load:
    return Load(rate, live=0.6, backend=backend, spread=0.5)


SCENARIOS = (
    Scenario("small", Deployment(2, 2, SLOTS), _load(100)),
    Scenario("× 10", Deployment(2, 12, SLOTS), _load(1_000)),
    Scenario("× 100", Deployment(8, 120, SLOTS), _load(10_000)),
    Scenario("× 100, too few workers", Deployment(8, 50, SLOTS), _load(10_000), LONG),
    Scenario("× 100, a backend that is twice as slow", Deployment(8, 120, SLOTS), _load(10_000, 0.4), LONG),
    Scenario("× 100, too few gateways", Deployment(1, 120, SLOTS), _load(10_000), LONG),
    Scenario("× 200", Deployment(16, 240, SLOTS), _load(20_000)),
    Scenario("× 400", Deployment(32, 480, SLOTS), _load(40_000), 3.0),
    Scenario("× 400, two Redis servers", Deployment(32, 480, SLOTS, redis=2), _load(40_000), 3.0),
    Scenario("× 400, four Redis servers", Deployment(32, 480, SLOTS, redis=4), _load(40_000), 3.0),
)


def _rows() -> Iterator[str]:
    yield "| load | callbacks/s | gateways | workers | Redis | answered live | live p50 | p99 | busy: gateway | Redis | slots |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for one in SCENARIOS:
        found, deployment = one.play(), one.deployment
        cells = (
            one.name,
            f"{one.load.rate:,.0f}",
            str(deployment.gateways),
            str(deployment.workers),
            str(deployment.redis),
            f"{found.answered_live:.0%}",
            _ms(found.percentile(0.5)),
            _ms(found.percentile(0.99)),
            _busy(found.gateway),
            _busy(found.redis),
            _busy(found.slots),
        )
        yield f"| {' | '.join(cells)} |"


def _ms(seconds: float) -> str:
    return "-" if isnan(seconds) else f"{seconds * 1000:.0f} ms"


def _busy(share: float) -> str:
    text = f"{min(share, 1.0):.0%}"
    return f"**{text}**" if share > 0.95 else text


def _per_second(seconds: float) -> str:
    return f"{round(1 / seconds, -2):,.0f}"


def page() -> str:
    """Return docs/sizing.md."""
    us = {name: round(getattr(COSTS, name) * 1e6) for name in COSTS.__slots__}
    rows = "\n".join(_rows())
    return f"""\
# Sizing

How many of each do you need? This page has what one of each carries, a rule for your load, and a simulation of loads that are larger than a machine. It is made by `make pages`; its costs are those of [the benchmark](bench.md). Yours differ: take the ratios, and run `make bench`.

## What one of each carries
| part | costs, of one core | carries |
|---|---|---|
| gateway process | {us["gateway_memory"]} µs for a callback from memory, {us["gateway_live"]} µs for a live one | {_per_second(COSTS.gateway_memory)} callbacks/s from memory, {_per_second(COSTS.gateway_live)} live |
| worker process | {us["worker"]} µs for a call over HTTP | {_per_second(COSTS.worker)} calls/s by its core; by its slots `concurrency` / seconds of a call: with 20 slots and 200 ms, 100 calls/s for each lane |
| Redis or Valkey server | {us["redis_live"]} µs for a live callback, all its scripts included | {_per_second(COSTS.redis_live)} live callbacks/s |
| a record in Redis | {RECORD_BYTES} bytes | {RECORD_BYTES / 1000:.1f} MB for 1,000 records of four variables |
| a record in a gateway | {HELD_BYTES:,} bytes | {HELD_BYTES / 1000:.1f} MB for 1,000; bounded by `gateway.local_bytes` |

A process does one thing at a time: its limit is one core. Above two thirds of that, waiting times grow quickly.

## How many for my load
With `R` callbacks per second at the busiest time, the share `L` of them that is not answered from a fresh record, and `T` seconds for a call:

- **Gateways**: two at least, and one more for each 3,000 × L live callbacks per second.
- **Workers** of a lane: two at least. `R × L × T` calls are under way at a time; divide by `concurrency`, and by 0.7 for bursts. With 200 callbacks/s, L = 0.6, T = 0.2 and 20 slots: 200 × 0.6 × 0.2 / 20 / 0.7 = 1.7, so two.
- **Your backend** must bear `R × L` calls per second, all workers together. If it does not, no worker helps: set `rate`, a longer `fresh`, `stale_while_revalidate`.
- **Redis**: one server for up to 10,000 live callbacks per second. Memory: 0.3 MB for 1,000 records; a session has one for each lookup, for `stale_if_error`.

**What to watch**: `deskgate_lane_wait_seconds` (workers), `process_cpu_seconds_total` near 0.7 per second (gateways), Redis' own use of its core, and `OVERLOADED` among the codes. [The runbook](../ops/RUNBOOK.md) has an alert for each.

## Where the next limit lies
The simulation has one queue for each process, with the costs above, and slots that hold a job while its backend is asked (200 ms in the median, of which one of a hundred takes over 640 ms). 60 % of the callbacks are live. Its code is `tests/simulation`; a test plays the same load to real processes. It leaves out the network, retries and failures, and that Redis is cheaper under load, when many callers share a script.

{rows}

- The **slots** give first: with too few workers, or a backend that becomes slower, some callbacks get `OVERLOADED` with their last known answer, and all others wait. Workers are the part that scales by itself.
- Then a **gateway**, if there are too few of them.
- Then **Redis**: one server is full at about {_per_second(COSTS.redis_live * 0.6)} callbacks per second of this kind. Nothing else can be shared out any more.
- **Several Redis servers**, with the sessions shared out between them, carry as many times more: no part of a callback needs two of them. deskgate does not do that by itself. Run several deployments, each with its own Redis, gateways and workers, and have the balancer choose by the session, or give each SdkAppid its own. A user's sessions then fall back on each other (`share = "user"`) within one deployment alone, and each has a `rate` and a breaker of its own.
"""
