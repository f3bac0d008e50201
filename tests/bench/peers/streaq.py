"""streaq: Redis Streams and publish/subscribe."""

from typing import Any

from streaq import Worker  # type: ignore[import-not-found] # lives in a virtualenv of its own

from tests.bench.calling import LostError, run, serve

PATIENCE = 2


async def noop() -> None:
    """Do nothing."""


def declare(url: str) -> tuple[Any, Any]:
    """Return worker and task, which streaq makes of each other."""
    declared = Worker(redis_url=url, concurrency=100, handle_signals=False)
    return declared, declared.task(name="noop")(noop)


async def worker(url: str) -> None:
    """Run streaq's worker."""
    declared, _ = declare(url)
    await declared.run_async()


async def caller(url: str) -> None:
    """Enqueue and wait to be told."""
    declared, task = declare(url)

    async def call(_: int) -> None:
        enqueued = await task.enqueue()
        try:
            await enqueued.result(PATIENCE)
        except TimeoutError:
            raise LostError from None

    async with declared:
        await serve(call)


if __name__ == "__main__":
    run(worker, caller)
