"""CPU per job is of the processes that it names, of the turn alone, and of the jobs that were answered."""

import os
import sys
import time
from math import isnan

import pytest

from tests.bench.figures import Turn
from tests.bench.meter import Heat, Meter, Spent, cpu_seconds
from tests.bench.stage import Stage


def test_cpu_per_job_is_that_of_all_processes_together_unless_some_are_named() -> None:
    """A queue that moves its work from the caller to Redis has saved nothing."""
    heat = Heat(Turn([1.0] * 8, 1.0, late=2), Spent(0, 0, {"caller": 1e-3, "worker": 2e-3, "Redis": 4e-3}))
    assert heat.cpu() == pytest.approx(700)
    assert heat.cpu("caller", "worker") == pytest.approx(300)


def test_turn_without_an_answer_has_no_cpu_per_job() -> None:
    """Zero would pass for a queue that costs nothing."""
    assert isnan(Heat(Turn([], 1.0, lost=64), Spent(0, 0, {"caller": 1.0})).cpu())


@pytest.mark.skipif(sys.platform != "linux", reason="the CPU clock of another process is Linux's")
def test_cpu_clock_is_that_of_the_process_asked_for() -> None:
    """The id of the clock is made by hand from the pid: one bit off, and it is a thread's or nobody's."""
    before = time.process_time()
    assert before <= cpu_seconds(os.getpid()) <= time.process_time()


def test_meter_counts_from_its_making_and_leaves_itself_out() -> None:
    """Alone, a slow queue makes a few jobs a turn: the meter's own reads would show in its figures."""
    with Stage() as stage:
        stage.redis.ping()
        meter = Meter(stage, {"Redis": stage.valkey.pid})
        for _ in range(3):
            stage.redis.ping()
        spent = meter.read()
    assert (spent.commands, spent.reads) == (3, 3)
