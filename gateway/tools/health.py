"""``deskgate health``: whether lanes have a worker, by the heartbeats that workers leave in Redis."""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.queue.jobs import heartbeat_key
from gateway.wire.connection import close_redis, open_redis
from gateway.wire.keys import Keys
from gateway.wire.refusals import why_refused

_PATIENCE = 2.0


class Missing(NamedTuple):
    """The lanes without a heartbeat, and why there can be none: the server takes no writes."""

    lanes: list[str]
    refuses: str = ""


async def lanes_without_heartbeat(url: str, keys: Keys, lanes: Sequence[str]) -> Missing:
    """Return the lanes of which no worker has sent a heartbeat lately; raise what OUTAGE names."""
    redis = open_redis(url, _PATIENCE, connect_timeout=_PATIENCE)
    try:
        found = [await redis.exists(heartbeat_key(keys.lane(lane))) for lane in lanes]
        missing = [lane for lane, there in zip(lanes, found, strict=True) if not there]
        return Missing(missing, await why_refused(redis, keys.probe()) if missing else "")
    finally:
        await close_redis(redis)
