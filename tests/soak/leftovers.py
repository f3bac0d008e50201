"""The keys that are left in Redis, counted by kind."""

from collections.abc import Mapping
from dataclasses import dataclass

from redis.asyncio import Redis


@dataclass(slots=True)
class Left:
    """The keys of one kind: how many, how many of them never lapse, and when the last of the others does."""

    keys: int = 0
    lasting: int = 0
    longest_ms: int = 0


Leftovers = Mapping[str, Left]

RECORD = "soak:record"
HEARTBEAT = "health-check"


async def leftovers(redis: Redis) -> Leftovers:
    """Return every key but the records, which lapse, by kind."""
    kinds: dict[str, Left] = {}
    async for key in redis.scan_iter(count=1000):
        kind = _kind(key.decode())
        if kind == RECORD:
            continue
        left = await redis.pttl(key)
        if left == -2:  # gone by now
            continue
        found = kinds.setdefault(kind, Left())
        found.keys += 1
        found.lasting += left == -1
        found.longest_ms = max(found.longest_ms, left)
    return kinds


def lasting(kinds: Leftovers) -> dict[str, int]:
    """Return the kinds of which some never lapse, with how many do not."""
    return {kind: left.lasting for kind, left in kinds.items() if left.lasting}


def _kind(key: str) -> str:
    return HEARTBEAT if key.endswith(HEARTBEAT) else ":".join(key.split(":")[:2])
