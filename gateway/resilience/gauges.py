"""The gates of the backends as metrics."""

from gateway.resilience.shut import BREAKER_STATES, ShutBackends
from gateway.telemetry.families import BREAKER, HELD, PAUSED, Gauge


def gauges_of_gates(shut: ShutBackends) -> list[Gauge]:
    """Return how each breaker stands, and which backends are left alone, as they or an operator wish."""
    gates = shut.gates().items()
    breakers = [(name, one.breaker) for name, one in gates if one.breaker is not None]
    return [
        Gauge(BREAKER, {(name, one): float(one == now) for name, now in breakers for one in BREAKER_STATES}),
        Gauge(PAUSED, {(name,): float(one.paused_s > 0) for name, one in gates}),
        Gauge(HELD, {(name,): float(one.held_s > 0) for name, one in gates}),
    ]
