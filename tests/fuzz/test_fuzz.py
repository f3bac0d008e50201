"""20,000 random requests: envelopes or closes, no bug in the log, memory flat, honest callbacks in time."""

import random
from pathlib import Path

import pytest

from tests.desk import DESK_PATIENCE, Desk, Place
from tests.fuzz.generator import make
from tests.fuzz.run import fuzz, troubles
from tests.processes import GatewayProcess

COUNT = 20_000
BUDGET = 1.0
SETTINGS = {"gateway.header_timeout": "1s", "gateway.idle_timeout": "1s"}
"""Short, so that a connection that a bent request leaves open ends soon."""


def test_same_seed_makes_the_same_inputs() -> None:
    """A fault that was found can be looked at."""
    for number in range(50):
        assert make(random.Random(f"1/{number}"), 7) == make(random.Random(f"1/{number}"), 7)


@pytest.mark.timeout(240)
async def test_whatever_comes_is_answered_with_an_envelope_or_a_close(
    place: Place, desk: Desk, tmp_path: Path
) -> None:
    """The address stands in no directory, and is found all the same."""
    config = tmp_path / "deskgate.toml"
    config.write_text(place.config(SETTINGS, budget=f"{BUDGET}s", redis_timeout="300ms"))
    async with GatewayProcess(config, place) as front:
        here = desk.at(await front.address())
        result = await fuzz(here, front.pid, COUNT, seed=1)
        assert await front.end() == 0
    assert troubles(front.lines) == []
    assert sum(result.answers.values()) > COUNT / 2
    assert {200, 400, 401, 403, 405, 413} == set(result.answers)
    assert max(result.honest) < DESK_PATIENCE  # the budget, and what a busy machine adds
    assert result.memory[-1] - result.memory[len(result.memory) // 2] < 16_000_000
