"""The two sides of the queue, for the tests of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from gateway.core.messages import Job
from gateway.core.records import record_name
from gateway.declared.catalog import Catalog
from gateway.queue.asked import Asked
from gateway.queue.hand_off import HandOff
from gateway.queue.jobs import Wanted
from gateway.records.memory import RecordMemory
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink
from tests.desk import VERSION, Place

FAR = 60.0


def wanted(number: int, trace: str = "t") -> Wanted:
    """Return a lookup of order ``number``, never fresh."""
    inputs = {"orderId": str(number)}
    name = record_name(1400000001, "s1", "order", "v", inputs)
    return Wanted(
        Job("order", inputs, 1400000001, "s1", name, f"{trace}{number}", version=VERSION), "crm", 0.0, 1.0
    )


@asynccontextmanager
async def hand_off(catalog: Catalog) -> AsyncIterator[HandOff]:
    """A gateway's side of the queue."""
    settings = catalog.settings.redis
    link = RedisLink(settings.url, 2.0)
    side = HandOff(link, Keys(settings.prefix), RecordMemory(1000))
    await link.start()
    await side.replies.start(patience=2.0)
    try:
        yield side
    finally:
        await side.replies.close()
        await link.close()


async def begin(
    side: HandOff, *numbers: int, trace: str = "t", left: float = FAR
) -> tuple[list[Asked], float]:
    """Begin lookups. Their deadline is far away by default."""
    deadline = asyncio.get_running_loop().time() + left
    return await side.begin([wanted(n, trace) for n in numbers], deadline), deadline


@asynccontextmanager
async def stranger(place: Place, slots: int = 1, name: str = "stranger") -> AsyncIterator[PubSub]:
    """A worker that says that it has slots free, and listens, but runs nothing."""
    channel = Keys(place.prefix).jobs(name)
    async with Redis.from_url(place.redis_url) as redis, redis.pubsub() as pubsub:
        await pubsub.subscribe(channel)
        await pubsub.get_message(timeout=5.0)
        await redis.zadd(Keys(place.prefix).free("crm"), {channel: slots})
        yield pubsub


async def now(redis: Redis, record: bytes) -> bytes:
    """Return a record as if it had been written now."""
    seconds, microseconds = await redis.time()
    written = msgspec.msgpack.encode(seconds * 1000 + microseconds / 1000)
    return record[:1] + written + record[10:]
