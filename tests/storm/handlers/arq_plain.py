"""Stock arq, put together with care: ``… handler PORT REDIS_URL`` and ``… worker CRM_URL REDIS_URL``.

One job a callback, which expires with it. The handler waits 1.6 s for the result, the worker gives the CRM
1.4 s, so that what came in time is not lost with what did not. Workers poll every 20 ms, the handler every
50 ms for each result: more often, and with a slow CRM its polls alone are more than a core can do.
"""

import asyncio
import sys
import time
from typing import Any

import uvloop
from arq import Worker, create_pool
from arq.connections import RedisSettings
from arq.jobs import ResultNotFound
from redis.exceptions import RedisError

from tests.storm.handlers.crm import ask_all, asks_of, client
from tests.storm.handlers.http import serve

BUDGET = 1.6
CRM_BUDGET = 1.4
JOBS_EVERY = 0.02
RESULT_EVERY = 0.05
MAX_JOBS = 100


async def look_up(ctx: dict[str, Any], asks: dict[str, str]) -> tuple[dict[str, str], bool]:
    """Ask the CRM."""
    return await ask_all(ctx["crm"], asks, CRM_BUDGET)


async def worker(crm_url: str, redis_url: str) -> None:
    """Run arq's worker."""
    async with client(crm_url) as crm:
        worker = Worker(
            [look_up],
            redis_settings=RedisSettings.from_dsn(redis_url),
            ctx={"crm": crm},
            poll_delay=JOBS_EVERY,
            max_jobs=MAX_JOBS,
            job_timeout=5,
            keep_result=10,
            log_results=False,
        )
        await worker.async_run()


async def handler(port: int, redis_url: str) -> None:
    """Take callbacks, enqueue, and poll for the results."""
    pool = await create_pool(RedisSettings.from_dsn(redis_url))

    async def answer(variables: dict[str, str]) -> tuple[dict[str, str], bool]:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(BUDGET):
                job = await pool.enqueue_job("look_up", asks_of(variables), _expires=BUDGET)
                assert job is not None
                left = BUDGET - (time.monotonic() - begun)
                had, good = await job.result(left, poll_delay=RESULT_EVERY)
                return had, good
        except (TimeoutError, ResultNotFound, RedisError, OSError):
            return {}, False

    await serve(answer, port)


if __name__ == "__main__":
    role, where, redis_url = sys.argv[1:]
    uvloop.run(handler(int(where), redis_url) if role == "handler" else worker(where, redis_url))
