"""The arq that users know: its command runs a lane, its client's jobs run, its check shows health."""

import pickle
from pathlib import Path

import msgspec
import pytest
from arq.connections import ArqRedis
from redis.asyncio import Redis

from gateway.core.messages import Job
from gateway.front.app import gateway
from gateway.queue.jobs import JOB_KEPT, RUN_LOOKUP, Envelope, deserialize_job, serialize_job
from gateway.wire.connection import open_redis
from gateway.wire.keys import Keys
from tests.desk import ROOT, VERSION, Desk, Place
from tests.processes import Process
from workers.main import workers
from workers.settings import worker_settings

pytestmark = pytest.mark.timeout(60)


def arq(place: Place, tmp_path: Path, *arguments: str, lane: str = "crm") -> Process:
    """Return the ``arq`` command on the test configuration."""
    config = tmp_path / "deskgate.toml"
    config.write_text(place.config())
    environ = {
        **place.environ,
        "DESKGATE_CONFIG": str(config),
        "DESKGATE_LANE": lane,
        "PYTHONPATH": str(ROOT),
    }
    return Process("-m", "arq", "workers.WorkerSettings", *arguments, environ=environ)


async def test_arq_command_gives_a_job_the_time_that_a_worker_gives_it(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To its deadline, an attempt beyond, and then some to give the answer back, while Redis is away."""
    config, catalog = tmp_path / "deskgate.toml", place.catalog(attempt_timeout="60s")
    config.write_text(place.config(attempt_timeout="60s"))
    for name, value in {**place.environ, "DESKGATE_CONFIG": str(config), "DESKGATE_LANE": "crm"}.items():
        monkeypatch.setenv(name, value)
    async with workers(catalog, ["crm"], grace=0) as (pushed,):
        assert worker_settings()["job_timeout"] == pushed.job_timeout_s > 60 + JOB_KEPT


async def test_arq_command_runs_a_lane(place: Place, desk: Desk, tmp_path: Path) -> None:
    """`arq workers.WorkerSettings` answers callbacks, and its log shows no variable's value."""
    async with arq(place, tmp_path) as worker, gateway(place.catalog(budget="2s")) as running:
        here = desk.at(running.callbacks)
        heard = await here.call(node="order", orderId="secret-77")
        while heard.code:  # the worker may still be starting
            heard = await here.call(node="order", orderId="secret-77")
        assert heard.variables["order_id"] == "secret-77"
        finished = await worker.event("lookup.finished")
        assert finished["outcome"] == "OK"
        assert await worker.end() == 0
    assert "secret-77" not in repr(worker.lines)


async def test_arq_check_tells_whether_a_worker_lives(place: Place, tmp_path: Path) -> None:
    """Orchestrators of arq users ask `arq --check`."""
    catalog = place.catalog()
    async with arq(place, tmp_path, "--check") as nobody:
        assert await nobody._process.wait() == 1
    async with workers(catalog, catalog.lanes, grace=0), Redis.from_url(place.redis_url) as redis:
        health = Keys(place.prefix).lane("crm") + ":health-check"
        while not await redis.exists(health):
            pass
        async with arq(place, tmp_path, "--check") as somebody:
            assert await somebody._process.wait() == 0


async def test_wrong_lane_is_refused_with_the_lanes_that_there_are(place: Place, tmp_path: Path) -> None:
    """A worker that waits on a lane nobody uses would look healthy for ever."""
    async with arq(place, tmp_path, lane="crn") as worker:
        assert await worker._process.wait() != 0
        await worker._reader
    assert "set DESKGATE_LANE to one of the lanes: crm" in repr(worker.lines)


async def test_stock_arq_clients_job_runs_on_a_lane(place: Place) -> None:
    """A job enqueued with arq and this project's serializer gets a record, with a deadline or without."""
    catalog = place.catalog()
    keys = Keys(place.prefix)
    job = Job(
        "order", {"orderId": "9"}, 1400000001, "s1", "1400000001:s1:order:test", "trace", version=VERSION
    )
    redis = open_redis(place.redis_url, 1.0, connect_timeout=1.0)
    client = ArqRedis(redis.connection_pool, serialize_job, deserialize_job)
    async with workers(catalog, catalog.lanes, grace=1):
        assert await client.enqueue_job(RUN_LOOKUP, job, _queue_name=keys.lane("crm")) is not None
        while not (data := await redis.get(keys.record(job.record))):
            pass
    await redis.aclose(close_connection_pool=True)
    assert msgspec.msgpack.decode(data)[1]["order_id"] == "9"


def test_jobs_and_answers_are_never_pickled() -> None:
    """An attacker who can write to Redis must not be able to run code in a worker."""
    with pytest.raises(msgspec.MsgspecError):
        deserialize_job(pickle.dumps({"f": RUN_LOOKUP, "a": (), "k": {}, "t": 1, "et": 0}))


def test_job_travels_whole() -> None:
    """A worker can read the jobs of a stock client."""
    job = Job("order", {"orderId": "9"}, 1, "s1", "name", "trace")
    written = serialize_job({"t": None, "f": RUN_LOOKUP, "a": (job,), "k": {}, "et": 1731488371784})
    read = deserialize_job(written)
    assert read["f"] == RUN_LOOKUP
    assert read["a"] == (Envelope(0.0, 1731488371784.0, job),)
