"""The model of the simulation: queues that one can work out by hand."""

import pytest

from tests.simulation.model import Costs, Deployment, Load, Processor, Run

FREE = Costs(0.0, 0.0, 0.0, 0.0)
CHEAP = Costs(84e-6, 168e-6, 62e-6, 316e-6)


def test_processor_does_one_thing_after_the_other() -> None:
    """What comes while it works waits."""
    one = Processor()
    assert [one.work(now, 1.0) for now in (0.0, 0.5, 5.0)] == [1.0, 2.0, 6.0]
    assert one.worked == 3.0


def test_same_seed_same_run() -> None:
    """A page is made of it."""
    load = Load(500, 0.6, 0.2, 0.5)
    runs = [Run(Deployment(2, 8, 20), load, CHEAP, 2.0).play() for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0] != Run(Deployment(2, 8, 20), load, CHEAP, 2.0, seed=2).play()


def test_slots_carry_as_many_calls_as_fit_into_their_time() -> None:
    """Ten slots of 100 ms are 100 calls per second; what is more is told at once, or is late."""
    found = Run(Deployment(1, 1, 10), Load(200, 1.0, 0.1), FREE, 20.0).play()
    assert len(found.live) / 10 == pytest.approx(100, rel=0.1)
    assert found.slots == pytest.approx(1.0, abs=0.1)
    assert found.shed > 500
    half = Run(Deployment(1, 1, 10), Load(50, 1.0, 0.1), FREE, 20.0).play()
    assert half.answered_live == 1.0
    assert half.slots == pytest.approx(0.5, rel=0.1)
    assert half.percentile(0.5) == pytest.approx(0.1)


def test_each_callback_is_accounted_for() -> None:
    """None is lost in a queue."""
    load = Load(2_000, 0.5, 0.3, 0.5)
    found = Run(Deployment(1, 2, 20), load, CHEAP, 3.0).play()
    whole = len(found.memory) + len(found.live) + found.late + found.shed
    assert whole == pytest.approx(3_000, rel=0.05)
    assert found.gateway < 1.0


def test_redis_is_full_where_its_costs_say() -> None:
    """And several servers carry as many times more."""
    load = Load(40_000, 0.6, 0.02)
    full = Run(Deployment(24, 60, 20), load, CHEAP, 3.0).play()
    shared = Run(Deployment(24, 60, 20, redis=4), load, CHEAP, 0.5).play()
    assert full.redis > 1.0
    assert full.answered_live < 1.0
    assert shared.answered_live == 1.0
    assert shared.redis == pytest.approx(0.37, rel=0.1)
