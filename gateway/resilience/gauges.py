"""The gates of the backends as metrics."""

from gateway.resilience.shut import BREAKER_STATES, ShutBackends
from gateway.telemetry.families import BREAKER, HELD, PAUSED, Gauge


def gauges_of_gates(shut: ShutBackends) -> list[Gauge]:
    """Return how each breaker stands, and which backends are left alone, as they or an operator wish."""
    breakers = shut.breakers().items()
    return [
        Gauge(BREAKER, {(name, one): float(one == now) for name, now in breakers for one in BREAKER_STATES}),
        Gauge(PAUSED, {(name,): float(left > 0) for name, left in shut.paused().items()}),
        Gauge(HELD, {(name,): float(left > 0) for name, left in shut.held().items()}),
    ]
