"""Host clocks that are minutes apart: no job is early, late or lost, and every record is as old as it is."""

import asyncio
import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import Code
from gateway.crm.server import Crm
from tests.desk import ROOT, Desk, Place, when
from tests.processes import GatewayProcess, Process, WorkerProcess

pytestmark = pytest.mark.timeout(60)

APART = 300.0
"""Seconds between the host's clock, which is Redis' as well, and that of a shifted process."""

FRESH = 1.0
BUDGET = 4.0
SLACK = 3.0
"""Seconds that a busy machine may be late with anything."""

TRANSIT = 0.3
"""Seconds that a message may be under way on a busy machine: by so much an age can be wrong."""

HANGING = "seed = 1\n[[rules]]\nshares = { hang = 1 }\n"

# What the interpreter imports before anything else. The monotonic clock is the same for all, as on one host.
_SHIFT = """
import datetime
import time

_seconds = float({seconds})
_time, _time_ns, _datetime = time.time, time.time_ns, datetime.datetime


class Shifted(_datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls):
        return cls.now(datetime.timezone.utc).replace(tzinfo=None)


time.time = lambda: _time() + _seconds
time.time_ns = lambda: _time_ns() + int(_seconds * 1e9)
datetime.datetime = Shifted
"""


def shifted(tmp_path: Path, seconds: float) -> dict[str, str]:
    """Return the environment of a process whose wall clock is ``seconds`` ahead of the host's."""
    place = tmp_path / f"clock{seconds:+.0f}"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(_SHIFT.format(seconds=seconds))
    return {"PYTHONPATH": os.pathsep.join([str(place), str(ROOT)])}


def written(tmp_path: Path, place: Place, **knobs: str) -> Path:
    """Return the test configuration as a file."""
    path = tmp_path / "deskgate.toml"
    path.write_text(place.config(**knobs))
    return path


def ahead(process: Process) -> float:
    """Return by how many seconds a process's log is ahead of this clock, to the nearest ten."""
    line = next(line for line in process.lines if "timestamp" in line)
    return round((datetime.fromisoformat(line["timestamp"]) - datetime.now(UTC)).total_seconds(), -1)


async def first_answer(here: Desk) -> None:
    """Return once a worker answers; it may still be starting."""
    while (await here.call("first", node="order", orderId="first")).code:  # noqa: ASYNC110 - see above
        await asyncio.sleep(0.01)


def finished_by(worker: Process) -> list[dict[str, Any]]:
    """Return what a worker has logged of the jobs that it has run, but for the first."""
    return [line for line in worker.events("lookup.finished") if line["session"] != "first"]


def sane(finished: Iterable[dict[str, Any]]) -> bool:
    """True if jobs were picked up at once and had the rest of their budget left."""
    return all(
        0 <= line["queue_ms"] < SLACK * 1000
        and (BUDGET - SLACK) * 1000 < line["left_ms"] <= BUDGET * 1000
        and line["outcome"] == "OK"
        for line in finished
    )


async def answered(front: GatewayProcess, number: int) -> dict[str, Any]:
    """Return what the ``number``-th callback's line says of its lookup, as soon as it has been logged."""
    lookup: dict[str, Any] = (await front.event("callback.answered", number))["lookups"]["order"]
    return lookup


@pytest.mark.parametrize("worker_ahead", [APART, -APART])
async def test_jobs_are_neither_early_nor_late_nor_lost(
    worker_ahead: float, place: Place, crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """Hosts drift apart; a deadline on the worker's clock would be minutes off, either way."""
    config = written(tmp_path, place, budget=f"{BUDGET}s", attempt_timeout="300ms")
    async with (
        GatewayProcess(config, place, **shifted(tmp_path, -worker_ahead)) as front,
        WorkerProcess(config, place, **shifted(tmp_path, worker_ahead)) as worker,
    ):
        here = desk.at(await front.address())
        assert (ahead(front), ahead(worker)) == (-worker_ahead, worker_ahead)
        await first_answer(here)
        heard = await asyncio.gather(*(here.call(f"s{n}", node="order", orderId=str(n)) for n in range(20)))
        assert [(h.code, h.variables["order_id"]) for h in heard] == [(0, str(n)) for n in range(20)]
        await when(lambda: len(finished_by(worker)) >= len(heard))
        assert sane(finished_by(worker))
        crm.put(HANGING)
        timed_out = await here.call("late", node="order", orderId="late")
        assert (timed_out.code, timed_out.variables) == (Code.TIMEOUT, {"order_id": "unknown"})
        await when(lambda: len(finished_by(worker)) > len(heard))
        last = finished_by(worker)[-1]
        assert last["attempts"] > 1  # no attempt was spared for want of time
        assert last["left_ms"] > -1000 * SLACK


@pytest.mark.parametrize("writer_ahead", [APART, -APART])
async def test_records_age_alike_for_gateways_whose_clocks_differ(
    writer_ahead: float, place: Place, desk: Desk, tmp_path: Path
) -> None:
    """A record that one gateway takes for fresh and another for stale is right for one of them at most."""
    config = written(tmp_path, place, fresh=f"{FRESH}s")
    async with (
        GatewayProcess(config, place, **shifted(tmp_path, writer_ahead)) as asking,
        GatewayProcess(config, place, **shifted(tmp_path, -writer_ahead)) as reading,
        WorkerProcess(config, place, **shifted(tmp_path, writer_ahead)),
    ):
        one, two = desk.at(await asking.address()), desk.at(await reading.address())
        await first_answer(one)
        before = time.monotonic()
        assert (await one.call(node="order", orderId="1")).code == 0
        after = time.monotonic()
        ages, number, source = [], 0, "fresh"
        while source == "fresh":
            number, asked = number + 1, time.monotonic()
            assert (await two.call(node="order", orderId="1")).code == 0
            lookup = await answered(reading, number)
            source = lookup["source"]
            if source == "fresh":
                ages.append(lookup["age_ms"] / 1000)
                assert asked - after - TRANSIT < ages[-1] < time.monotonic() - before + TRANSIT
        assert source == "live"
        assert FRESH - TRANSIT < time.monotonic() - before < FRESH + SLACK
        assert ages
        assert ages == sorted(ages)


@pytest.mark.parametrize("worker_ahead", [APART, -APART])
async def test_stock_arq_worker_with_another_clock_runs_every_job_in_time(
    worker_ahead: float, place: Place, desk: Desk, tmp_path: Path
) -> None:
    """It compares a score with its own clock, and leaves alone what lies in its future."""
    config = written(tmp_path, place, budget=f"{BUDGET}s")
    environ = {**place.environ, **shifted(tmp_path, worker_ahead)}
    environ |= {"DESKGATE_CONFIG": str(config), "DESKGATE_LANE": "crm"}
    stock = Process("-m", "arq", "workers.WorkerSettings", environ=environ)
    async with GatewayProcess(config, place) as front, stock as worker:
        here = desk.at(await front.address())
        await first_answer(here)
        heard = await asyncio.gather(*(here.call(f"s{n}", node="order", orderId=str(n)) for n in range(20)))
        assert [(h.code, h.variables["order_id"]) for h in heard] == [(0, str(n)) for n in range(20)]
        await when(lambda: len(finished_by(worker)) >= len(heard))
        assert sane(finished_by(worker))
        assert ahead(worker) == worker_ahead
