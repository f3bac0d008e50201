"""saq: enqueue and ``refresh``, which waits by publish/subscribe (its ``apply`` polls every 0.5 s)."""

from saq import Queue, Worker  # type: ignore[import-not-found] # lives in a virtualenv of its own

from tests.bench.calling import LostError, run, serve

PATIENCE = 2.0


async def noop(_: object) -> None:
    """Do nothing."""


async def worker(url: str) -> None:
    """Run saq's worker."""
    await Worker(Queue.from_url(url), functions=[noop], concurrency=100).start()


async def caller(url: str) -> None:
    """Enqueue and wait to be told."""
    queue = Queue.from_url(url)
    await queue.connect()

    async def call(_: int) -> None:
        job = await queue.enqueue("noop")
        try:
            await job.refresh(PATIENCE)
        except TimeoutError:
            raise LostError from None

    await serve(call)


if __name__ == "__main__":
    run(worker, caller)
