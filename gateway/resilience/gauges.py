"""The gates of the backends as metrics."""

from gateway.resilience.shut import BREAKER_STATES, ShutLanes
from gateway.telemetry.families import BREAKER, HELD, PAUSED, Gauge


def gauges_of_gates(shut: ShutLanes) -> list[Gauge]:
    """Return how each breaker stands, and which backends are left alone, as they or an operator wish."""
    breakers = shut.breakers().items()
    return [
        Gauge(BREAKER, {(lane, one): float(one == now) for lane, now in breakers for one in BREAKER_STATES}),
        Gauge(PAUSED, {(lane,): float(left > 0) for lane, left in shut.paused().items()}),
        Gauge(HELD, {(lane,): float(left > 0) for lane, left in shut.held().items()}),
    ]
