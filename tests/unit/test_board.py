"""A board of one process, and what a gateway reads off it."""

import pytest

from gateway.core.errors import BackendDenied, BackendThrottled, BackendUnavailable, CircuitOpen, Code
from gateway.declared.backend import Backend
from gateway.declared.breaker import Breaker as BreakerSettings
from gateway.declared.values import PerSecond, Share
from gateway.resilience.board import Board
from gateway.resilience.gate import LONGEST, OPEN, Gate
from gateway.resilience.gauges import gauges_of_gates
from gateway.resilience.pause import Pause
from gateway.resilience.policy import Call
from gateway.resilience.shut import ShutBackends
from gateway.resilience.stack import stack
from tests.clock import ManualClock
from tests.gates import FAR, admit, call


def test_an_entry_is_one_for_all_who_ask_and_tells_its_watchers() -> None:
    """They need not look all the time."""
    board, told = Board(), []
    entry = board.entry("x", OPEN)
    entry.watch(lambda: told.append(entry.value.until))
    assert board.entry("x", OPEN) is entry
    entry.change_soon(lambda _gate, _now: None, lambda _: pytest.fail("it was not changed"))
    entry.change_soon(lambda _, now: Gate(now + 5.0))
    assert told == [entry.value.until]


def test_lanes_have_one_worker_until_more_are_known_of() -> None:
    """A share of a rate is never the rate divided by zero."""
    board = Board()
    assert board.workers("crm") == 1
    for number, expected in ((4, 4), (0, 1)):
        board.note_workers("crm", number)
        assert board.workers("crm") == expected


def test_gateway_knows_why_a_lane_must_not_be_asked() -> None:
    """The pause comes first: it is the backend's own word. A dry run shuts nothing."""
    clock = ManualClock(frozen=True)
    board = Board(clock)
    settings = {
        "crm": Backend(url=""),
        "off": Backend(url="", breaker="off"),
        "dry": Backend(url="", breaker=BreakerSettings(dry_run=True)),
    }
    shut = ShutBackends(board, settings)
    assert [shut.why(lane) for lane in settings] == [None] * 3
    for lane in settings:
        board.entry(f"breaker:{lane}", OPEN).put(Gate(clock.now() + 9.0), 1)
    assert [shut.why(lane) for lane in settings] == [Code.CIRCUIT_OPEN, None, None]
    board.entry("pause:crm", OPEN).put(Gate(clock.now() + 5.0), 1)
    assert shut.why("crm") is Code.BACKEND_THROTTLED
    clock.move(6)
    assert shut.why("crm") is Code.CIRCUIT_OPEN
    clock.move(6)
    assert shut.why("crm") is None  # a probe may go


def test_gates_are_told_as_metrics() -> None:
    """A breaker is in one of the states of Polly; it is half open from the end of its break on."""
    clock = ManualClock(frozen=True)
    board = Board(clock)
    shut = ShutBackends(board, {"crm": Backend(url=""), "off": Backend(url="", breaker="off")})

    def told() -> tuple[list[str], list[str]]:
        breaker, *alone = gauges_of_gates(shut)
        states = [state for (_, state), value in breaker.values.items() if value]
        lanes = [str(lane) for one in alone for (lane,), value in one.values.items() if value]
        return [*map(str, states)], lanes

    assert told() == (["closed"], [])
    board.entry("breaker:crm", OPEN).put(Gate(clock.now() + 5.0), 1)
    board.entry("pause:off", OPEN).put(Gate(clock.now() + 5.0), 1)
    assert told() == (["open"], ["off"])
    clock.move(6)
    assert told() == (["half_open"], [])
    board.entry("breaker:crm", OPEN).put(Gate(clock.now() - 1, probe="me", leased=clock.now() + 1), 2)
    assert told() == (["half_open"], [])
    board.entry("hold:crm", OPEN).put(Gate(clock.now() + 5.0), 1)
    assert told() == (["half_open"], ["crm"])


def test_gate_that_is_shut_for_hours_means_that_the_clock_was_set_back() -> None:
    """A server with another clock has become the master."""
    gate = Gate(2 * LONGEST)
    assert not gate.refuses(0.0)
    assert gate.refuses(LONGEST)
    assert gate.left(0.0) == LONGEST
    assert gate.left(3 * LONGEST) == 0.0


@pytest.mark.parametrize("hedge", [None, 60.0])
async def test_denied_attempt_is_made_once_more_with_other_credentials(hedge: float | None) -> None:
    """Beneath retries and hedges alike. It is none of them, and not paid for. A second denial is the end."""
    clock = ManualClock()
    policies = stack(Backend(url="", attempts=1), clock=clock)
    denied = BackendDenied("401", renewable=True)

    async def make() -> None:
        raise denied

    for _ in range(20):
        asked = Call(make, clock.now() + 60.0, hedge=hedge)
        with pytest.raises(BackendDenied):
            await policies(asked)
        assert asked.attempts == 2
    late = Call(make, clock.now(), hedge=hedge)
    with pytest.raises(BackendDenied):
        await policies(late)
    assert (late.attempts, clock.slept) == (1, [])


async def test_rate_stands_behind_the_breaker_and_both_may_be_left_out() -> None:
    """A call that is refused takes no turn."""
    clock = ManualClock()

    async def fail() -> None:
        raise BackendUnavailable

    limited = Backend(url="", attempts=1, rate=PerSecond(8.0), retry_budget=Share(0.0))
    policies = stack(limited, clock=clock)
    for _ in range(30):
        with pytest.raises((BackendUnavailable, CircuitOpen)):
            await policies(Call(fail, clock.now() + 60.0))
    assert clock.slept == [0.125] * 19  # the breaker opened after twenty calls
    bare = stack(Backend(url="", attempts=1, breaker="off"), clock=clock)
    for _ in range(30):
        with pytest.raises(BackendUnavailable):
            await bare(Call(fail, clock.now() + 60.0))


def test_refusal_says_for_how_long() -> None:
    """On call, one wants to know."""
    clock = ManualClock(frozen=True)
    board = Board(clock)
    board.entry("pause:crm", OPEN).put(Gate(clock.now() + 5.0), 1)
    with pytest.raises(BackendThrottled, match=r"5\.0 s more"):
        admit(Pause(board, "crm", longest_attempt=1.0), call(FAR))
