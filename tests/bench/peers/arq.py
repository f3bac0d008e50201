"""Stock arq, with every setting as it comes; worker and caller poll every 0.5 s."""

from typing import Any

from arq import Worker, create_pool
from arq.connections import RedisSettings

from tests.bench.calling import run, serve


async def noop(ctx: dict[Any, Any]) -> None:
    """Do nothing."""


async def worker(url: str) -> None:
    """Run arq's worker."""
    await Worker([noop], redis_settings=RedisSettings.from_dsn(url), handle_signals=False).async_run()


async def caller(url: str) -> None:
    """Enqueue and poll for the answer."""
    pool = await create_pool(RedisSettings.from_dsn(url))

    async def call(_: int) -> None:
        job = await pool.enqueue_job("noop")
        assert job is not None
        await job.result()

    await serve(call)


if __name__ == "__main__":
    run(worker, caller)
