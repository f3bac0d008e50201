"""PING: one round trip of redis-py, the least that anything over Redis can take."""

from redis.asyncio import Redis

from tests.bench.calling import run, serve


async def worker(_: str) -> None:
    """Do nothing: Redis itself answers."""


async def caller(url: str) -> None:
    """Ping."""
    redis = Redis.from_url(url)

    async def call(_: int) -> None:
        await redis.ping()

    await serve(call)


if __name__ == "__main__":
    run(worker, caller)
