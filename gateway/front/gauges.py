"""What a gateway looks up at a scrape: how the lanes stand, and the gates of the backends."""

from gateway.core.errors import QueueUnavailable
from gateway.front.service import Service
from gateway.process.release import RELEASE
from gateway.queue.census import count_lanes
from gateway.resilience.gauges import gauges_of_gates
from gateway.telemetry.families import INFO, LANE_JOBS, WORKERS, Gauge, Labels


async def gauges_of(service: Service) -> list[Gauge]:
    """Return what there is to see now. While Redis cannot say it, nothing of the lanes is shown."""
    gauges = [Gauge(INFO, {(RELEASE, service.catalog.digest): 1.0}), *gauges_of_gates(service.shut)]
    try:
        lanes = await count_lanes(service.link, service.keys, service.catalog.lanes)
    except QueueUnavailable:
        return gauges
    jobs: dict[Labels, float] = {
        (lane, state): float(count)
        for lane, one in lanes.items()
        for state, count in (("waiting", one.waiting), ("refresh", one.refreshes), ("claimed", one.claimed))
    }
    return [
        *gauges,
        Gauge(LANE_JOBS, jobs),
        # The arq command tells that it polls, and not by how many processes.
        Gauge(WORKERS, {(lane,): float(max(one.workers, one.polled)) for lane, one in lanes.items()}),
    ]
