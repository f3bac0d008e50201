"""arq whose worker and caller poll every 10 ms: what turning its knobs can get."""

from arq import Worker, create_pool
from arq.connections import RedisSettings

from tests.bench.calling import run, serve
from tests.bench.peers.arq import noop

EVERY = 0.01


async def worker(url: str) -> None:
    """Run arq's worker."""
    settings = RedisSettings.from_dsn(url)
    await Worker(
        [noop], redis_settings=settings, handle_signals=False, poll_delay=EVERY, max_jobs=100
    ).async_run()


async def caller(url: str) -> None:
    """Enqueue and poll for the answer."""
    pool = await create_pool(RedisSettings.from_dsn(url))

    async def call(_: int) -> None:
        job = await pool.enqueue_job("noop")
        assert job is not None
        await job.result(poll_delay=EVERY)

    await serve(call)


if __name__ == "__main__":
    run(worker, caller)
