"""``deskgate health``: whether lanes have a worker, by the heartbeats that workers leave in Redis."""

from collections.abc import Sequence

from gateway.queue.jobs import heartbeat_key
from gateway.wire.connection import close_redis, open_redis
from gateway.wire.keys import Keys

_PATIENCE = 2.0


async def lanes_without_heartbeat(url: str, keys: Keys, lanes: Sequence[str]) -> list[str]:
    """Return the lanes of which no worker has sent a heartbeat lately; raise what OUTAGE names."""
    redis = open_redis(url, _PATIENCE, connect_timeout=_PATIENCE)
    try:
        found = [await redis.exists(heartbeat_key(keys.lane(lane))) for lane in lanes]
    finally:
        await close_redis(redis)
    return [lane for lane, there in zip(lanes, found, strict=True) if not there]
