"""The raw list: RPUSH, BLPOP, RPUSH back, BLPOP; the least that a queue of one's own on redis-py can be.

It survives nothing: a worker that dies takes its jobs along. No job has a deadline, a record or a log line.
"""

import asyncio
from typing import TYPE_CHECKING, cast

from redis.asyncio import Redis

from tests.bench.calling import run, serve

if TYPE_CHECKING:
    from collections.abc import Awaitable

JOBS = "raw:jobs"
REPLY = "raw:reply:{}"
LOOPS = 16
"""Jobs that a worker runs at a time."""


async def worker(url: str) -> None:
    """Pop jobs and answer each on the list that it names."""
    redis = Redis.from_url(url)

    async def loop() -> None:
        while True:
            _, reply = await cast("Awaitable[list[bytes]]", redis.blpop([JOBS]))
            await cast("Awaitable[int]", redis.rpush(reply.decode(), b"done"))

    await asyncio.gather(*(loop() for _ in range(LOOPS)))


async def caller(url: str) -> None:
    """Push a job and pop its answer, from a list of each caller's own."""
    redis = Redis.from_url(url)

    async def call(number: int) -> None:
        reply = REPLY.format(number)
        await cast("Awaitable[int]", redis.rpush(JOBS, reply))
        await cast("Awaitable[list[bytes]]", redis.blpop([reply]))

    await serve(call)


if __name__ == "__main__":
    run(worker, caller)
