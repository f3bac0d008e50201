"""An operator takes a backend away from the fleet, gives it back, and moves its breaker."""

import pytest

from gateway.core.errors import CircuitOpen, Code, QueueUnavailable, TimedOut
from gateway.declared.backend import Backend
from gateway.resilience.board import Board
from gateway.resilience.hold import Hold
from gateway.resilience.operating import LONGEST_HOLD, close_breaker, hold, open_breaker, release
from gateway.resilience.policy import Call
from gateway.resilience.shut import ShutBackends
from gateway.resilience.stack import stack
from tests.clock import ManualClock
from tests.gates import admit, call
from tests.limits import limits

SECONDS = 60.0


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands."""
    return ManualClock(frozen=True)


@pytest.fixture
def board(clock: ManualClock) -> Board:
    """The board that operator and policies share."""
    return Board(clock)


async def test_held_backend_is_asked_by_nobody_until_its_time_is_over(
    board: Board, clock: ManualClock
) -> None:
    """Not even by a probe: whoever repairs it wants it quiet."""
    policy = Hold(board, "crm")
    admit(policy, call())
    await hold(board, "crm", SECONDS)
    for _ in range(3):
        with pytest.raises(CircuitOpen, match="operator"):
            admit(policy, call())
        clock.move(SECONDS / 3 - 0.1)
    clock.move(1)
    admit(policy, call())


async def test_released_backend_is_asked_at_once(board: Board) -> None:
    """The operator has looked, and knows."""
    policy = Hold(board, "crm")
    await hold(board, "crm", SECONDS)
    await release(board, "crm")
    admit(policy, call())


async def test_hold_lasts_an_hour_at_most(board: Board) -> None:
    """One that is forgotten must not serve old answers for days."""
    await hold(board, "crm", 1e9)
    assert ShutBackends(board, {"crm": Backend(url="")}).gates()["crm"].held_s == LONGEST_HOLD


async def test_gateways_begin_no_job_for_a_held_backend_even_without_a_breaker(board: Board) -> None:
    """The last known answer goes out at once."""
    shut = ShutBackends(board, {"crm": Backend(url="", breaker="off"), "erp": Backend(url="")})
    await hold(board, "crm", SECONDS)
    assert (shut.why("crm"), shut.why("erp")) == (Code.CIRCUIT_OPEN, None)
    assert {name: one.held_s for name, one in shut.gates().items()} == {"crm": SECONDS, "erp": 0.0}


async def test_jobs_that_are_on_the_lane_already_are_refused_at_once_and_not_repeated(
    board: Board, clock: ManualClock
) -> None:
    """A worker that goes on with them would ask the backend all the same."""
    run = stack(limits(3, 1.0), board, "crm", clock=clock)
    await hold(board, "crm", SECONDS)
    with pytest.raises(CircuitOpen):
        await run(Call(lambda: pytest.fail("it was asked"), 1e9))


async def test_breaker_that_an_operator_opens_is_closed_by_a_probe(board: Board, clock: ManualClock) -> None:
    """It is the same break as after failures."""
    asked: list[float] = []

    async def answer() -> str:
        asked.append(clock.now())
        return "answer"

    run = stack(limits(1, 1.0), board, "crm", clock=clock)
    await open_breaker(board, "crm", 5.0)
    with pytest.raises(CircuitOpen):
        await run(Call(answer, 1e9))
    clock.move(6)
    assert await run(Call(answer, 1e9)) == "answer"
    assert ShutBackends(board, {"crm": Backend(url="")}).gates()["crm"].breaker == "closed"
    assert len(asked) == 1


async def test_breaker_that_an_operator_closes_opens_again_if_the_backend_still_fails(
    board: Board, clock: ManualClock
) -> None:
    """An operator may be wrong."""

    async def fail() -> str:
        raise TimedOut

    run = stack(limits(1, 1.0), board, "crm", clock=clock)
    shut = ShutBackends(board, {"crm": Backend(url="")})
    await open_breaker(board, "crm", 30.0)
    await close_breaker(board, "crm")
    assert shut.gates()["crm"].breaker == "closed"
    for _ in range(50):
        with pytest.raises((TimedOut, CircuitOpen)):
            await run(Call(fail, 1e9))
    assert shut.gates()["crm"].breaker == "open"


class Contested(Board):
    """A board on which another process is first each time."""

    async def change_for_all(self, *_: object) -> None:
        """Change nothing."""


async def test_word_that_others_have_overtaken_each_time_is_told() -> None:
    """An operator must not believe that it holds."""
    with pytest.raises(QueueUnavailable, match="each time"):
        await hold(Contested(), "crm", SECONDS)
