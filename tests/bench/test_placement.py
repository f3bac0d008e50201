"""Where the processes of a benchmark run, and what the report says about it."""

import os
import sys

import pytest

from tests.bench.contestants import RAW
from tests.bench.hand_off import placed
from tests.bench.placement import Placement
from tests.bench.stage import Stage


@pytest.mark.parametrize("usable", [(), {3}])
def test_kernel_places_where_there_are_no_two_cores(usable: set[int]) -> None:
    """On one core, or where the system lets nobody choose, a report that named cores would be wrong."""
    placement = Placement.of(usable)
    placement.keep_apart(os.getpid())
    assert placement.sentence("the worker", "Redis").startswith("*Placement*: left to the kernel, because")


def test_report_names_the_core_of_each_side() -> None:
    """A reader who compares runs must see that their processes lay alike. A third core changes nothing."""
    sentence = Placement.of({7, 5, 6}).sentence("the worker", "caller and Redis")
    assert sentence == "*Placement*: the worker on core 5; caller and Redis on core 6."


@pytest.mark.skipif(sys.platform != "linux", reason="cores can be chosen on Linux alone")
@pytest.mark.skipif(not Placement.here().cores, reason="there are no two cores")
def test_peer_is_placed_as_the_report_says() -> None:
    """The ratio to a peer is fair when both lie on the same cores."""
    with Stage() as stage, RAW.start(stage) as (_, pids):
        worker, caller = (os.sched_getaffinity(pids[name]) for name in ("worker", "caller"))
        said = placed(stage)
    assert worker.isdisjoint(caller)
    assert f"worker on core {worker.pop()}; caller and Redis on core {caller.pop()}." in said
