"""The scenarios: what the CRM does, and what is killed when. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from tests.storm.pace import Pace
from tests.storm.workload import SEED


class Deed(Enum):
    """Something done to a contestant's processes."""

    KILL_WORKER = auto()
    KILL_REDIS = auto()
    START_REDIS = auto()


Deeds = list[tuple[float, Deed]]
"""What is done when, in seconds from the beginning."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A name, what it is about, the rules of the CRM's fault script, and the deeds."""

    name: str
    about: str
    rules: Callable[[Pace], str]
    deeds: Callable[[Pace], Deeds] = lambda _: []

    def script(self, pace: Pace) -> str:
        """Return the fault script for :mod:`gateway.crm`."""
        return f"seed = {SEED}\n{self.rules(pace)}"


_HEALTHY = """
[[rules]]
latency = { lognormal = { median = "120ms", p95 = "400ms" } }
"""
_SLOW = """
[[rules]]
latency = { lognormal = { median = "700ms", p95 = "3s" } }
"""
_FLAKY = """
[[rules]]
latency = { lognormal = { median = "120ms", p95 = "400ms" } }
shares = { ok = 0.55, error = 0.3, hang = 0.05, reset = 0.05, garbage = 0.05 }
"""
_LIES = """
[[rules]]
latency = { lognormal = { median = "120ms", p95 = "400ms" } }
shares = { ok = 0.9, expired = 0.025, ingress = 0.025, empty = 0.025, unasked = 0.025 }
lag = "30ms"
"""
_BROWNOUT = """
latency = { lognormal = { median = "1.2s", p95 = "4s" } }
"""
_OUTAGE = """
shares = { error = 0.5, hang = 0.5 }
"""


def _for_a_while(trouble: str) -> Callable[[Pace], str]:
    """Return the rules of a CRM that is healthy but for a while."""

    def rules(pace: Pace) -> str:
        after, until = pace.trouble_from * 1000, pace.trouble_until * 1000
        return f'[[rules]]\nafter = "{after:.0f}ms"\nuntil = "{until:.0f}ms"{trouble}{_HEALTHY}'

    return rules


def _kill_workers(pace: Pace) -> Deeds:
    times = (pace.kill_every * number for number in range(1, int(pace.length / pace.kill_every) + 1))
    return [(at, Deed.KILL_WORKER) for at in times]


def _kill_redis(pace: Pace) -> Deeds:
    return [
        (pace.trouble_from, Deed.KILL_REDIS),
        (pace.trouble_from + pace.redis_away, Deed.START_REDIS),
    ]


SCENARIOS = (
    Scenario("healthy", "The CRM on a usual day: median 120 ms, 95 % within 400 ms.", lambda _: _HEALTHY),
    Scenario("slow", "Median 700 ms, 95 % within 3 s.", lambda _: _SLOW),
    Scenario(
        "flaky",
        "30 % of the CRM's calls end in a 503, 5 % hang, 5 % are reset half-way, 5 % are no JSON.",
        lambda _: _FLAKY,
    ),
    Scenario(
        "lies",
        "10 % of the CRM's calls end in an error in a 200, in a proxy's 404, in a 204, or in an answer that "
        "is followed 30 ms later, on the idle connection, by another one about somebody else.",
        lambda _: _LIES,
    ),
    Scenario(
        "brownout",
        "Healthy; then ten times as slow for more than half of the time; then healthy.",
        _for_a_while(_BROWNOUT),
    ),
    Scenario(
        "outage",
        "Healthy; then dead for more than half of the time, every call a 503 or a hang; then healthy.",
        _for_a_while(_OUTAGE),
    ),
    Scenario(
        "worker-kill",
        "Healthy; again and again one of two workers is killed and replaced. *direct* has no workers.",
        lambda _: _HEALTHY,
        _kill_workers,
    ),
    Scenario(
        "redis-kill",
        "Healthy; Redis is killed, and comes back empty a while later. *direct* has no Redis.",
        lambda _: _HEALTHY,
        _kill_redis,
    ),
)
