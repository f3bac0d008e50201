"""taskiq-redis: a list as broker and a result backend that is looked at every 10 ms (as it comes: 0.2 s)."""

from typing import Any

from taskiq import TaskiqResultTimeoutError  # type: ignore[import-not-found] # lives in its own virtualenv
from taskiq.api import run_receiver_task  # type: ignore[import-not-found]
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend  # type: ignore[import-not-found]

from tests.bench.calling import LostError, run, serve

EVERY = 0.01
PATIENCE = 2.0


async def noop() -> None:
    """Do nothing."""


def declare(url: str) -> tuple[Any, Any]:
    """Return broker and task."""
    broker = ListQueueBroker(url).with_result_backend(RedisAsyncResultBackend(url))
    return broker, broker.task(task_name="noop")(noop)


async def worker(url: str) -> None:
    """Run taskiq's receiver."""
    broker, _ = declare(url)
    await run_receiver_task(broker, run_startup=True)


async def caller(url: str) -> None:
    """Enqueue and poll for the answer."""
    broker, task = declare(url)
    await broker.startup()

    async def call(_: int) -> None:
        enqueued = await task.kiq()
        try:
            await enqueued.wait_result(check_interval=EVERY, timeout=PATIENCE)
        except TaskiqResultTimeoutError:
            raise LostError from None

    await serve(call)


if __name__ == "__main__":
    run(worker, caller)
