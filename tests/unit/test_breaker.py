"""A backend whose calls fail is left alone, and one call tries it again."""

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from gateway.core.errors import (
    BackendDenied,
    BackendRejected,
    BackendThrottled,
    BackendUnavailable,
    BadBackendReply,
    CircuitOpen,
    TimedOut,
    Unmapped,
)
from gateway.declared.breaker import Breaker as Settings
from gateway.declared.values import Duration
from gateway.resilience.board import Board
from gateway.resilience.breaker import JUST_NOW, LONGEST_BREAK, OBJECT_WITHIN, Breaker
from gateway.resilience.gatekeeper import LEASE_MARGIN
from gateway.resilience.policy import Call
from gateway.resilience.window import BUCKETS, Window
from tests.clock import ManualClock
from tests.gates import Server, SimulatedBoard, admit, call

USUAL = Settings(failure_ratio=0.5, minimum_throughput=10, sampling_duration=Duration(30))
DOWN = BackendUnavailable("503")
ILL = [TimedOut("slow"), BackendUnavailable("503"), BadBackendReply("a page")]
NEITHER = [
    Unmapped("no name"),
    BackendDenied("401"),
    BackendThrottled("429"),
    BackendRejected("400"),
    KeyboardInterrupt(),
]


class One:
    """The breaker of one process, alone or in a fleet."""

    def __init__(
        self, board: Board, clock: ManualClock, *, workers: int = 1, settings: Settings = USUAL
    ) -> None:
        """Take its settings."""
        self.clock = clock
        self.breaker = Breaker(
            board, "crm", settings, longest_attempt=1.0, workers=lambda: workers, clock=clock, fewest=2
        )

    def begin(self) -> Call | None:
        """Begin a call; return None if it is refused."""
        one = call()
        try:
            admit(self.breaker, one)
        except CircuitOpen:
            return None
        return one

    def end(self, one: Call | None, error: BaseException | None = None, took: float = 0.0) -> None:
        """End a call."""
        assert one is not None
        one.took = took
        if error is None:
            self.breaker.succeeded(one)
        else:
            self.breaker.failed(one, error)

    def ask(self, error: BaseException | None = None, took: float = 0.0, times: int = 1) -> None:
        """Make calls that all end so."""
        for _ in range(times):
            self.end(self.begin(), error, took)

    @property
    def open(self) -> bool:
        """True if a call is refused now."""
        one = self.begin()
        if one is not None:
            self.breaker.failed(one, KeyboardInterrupt())
        return one is None


def alone(**changes: object) -> One:
    """Return the breaker of the only process, with other settings than usual."""
    clock = ManualClock(frozen=True)
    return One(Board(clock), clock, settings=replace(USUAL, **changes))


@pytest.mark.parametrize("error", ILL)
def test_it_opens_when_half_of_at_least_ten_calls_have_failed(error: BaseException) -> None:
    """Fewer say nothing yet."""
    one = alone()
    one.ask(times=5)
    one.ask(error, times=4)
    assert not one.open
    one.ask(error)
    assert one.open


@pytest.mark.parametrize("error", NEITHER)
def test_what_says_nothing_of_the_backends_health_is_not_counted(error: BaseException) -> None:
    """A wrong question, a dead token: the backend has answered."""
    one = alone()
    one.ask(error, times=100)
    assert not one.open
    one.ask(DOWN, times=10)
    assert one.open


def test_healthy_backend_with_a_few_failures_stays_closed() -> None:
    """One in three is flaky, not down."""
    one = alone()
    for _ in range(100):
        one.ask(times=2)
        one.ask(DOWN)
    assert not one.open


def test_old_failures_are_forgotten() -> None:
    """Nine of them in an hour are no outage."""
    one = alone()
    for _ in range(9):
        one.ask(DOWN)
        one.clock.move(60)
    one.ask(DOWN, times=9)
    assert not one.open


def test_slow_answers_count_as_failures_where_that_is_declared() -> None:
    """They are answers, and every callback is too late for them."""
    for slow_call, opens in ((Duration(0.5), True), (None, False)):
        one = alone(slow_call=slow_call)
        one.ask(took=0.6, times=10)
        assert one.open is opens


def test_after_the_break_one_call_tries_the_backend_and_a_success_closes() -> None:
    """All that waited must not arrive together."""
    one = alone()
    with capture_logs() as lines:
        one.ask(DOWN, times=10)
        one.clock.move(1.9)
        assert one.open
        one.clock.move(0.2)
        probe = one.begin()
        assert probe is not None
        assert one.open
        one.end(probe)
    assert not one.open
    events = [line["event"] for line in lines]
    assert events == ["breaker.opened", "breaker.half_opened", "breaker.closed"]
    assert (lines[0]["seconds"], lines[0]["dry_run"]) == (2.0, False)


def test_break_doubles_while_probes_fail() -> None:
    """A backend that stays down is asked each four seconds."""
    one = alone(break_duration=Duration(0.5))
    one.ask(DOWN, times=10)
    length = 0.5
    for _ in range(7):
        one.clock.move(length - 0.1)
        assert one.open
        one.clock.move(0.2)
        one.ask(DOWN)
        length = min(LONGEST_BREAK, length * 2)
    one.clock.move(LONGEST_BREAK + 0.1)
    one.ask()
    one.ask(DOWN, times=10)
    one.clock.move(0.6)
    assert not one.open  # it began anew


@pytest.mark.parametrize("error", NEITHER)
def test_probe_that_says_nothing_leaves_its_place_to_another_call(error: BaseException) -> None:
    """The circuit closes by a success alone, and a rejected question must not keep it open."""
    one = alone()
    one.ask(DOWN, times=10)
    one.clock.move(5.1)
    one.ask(error, times=3)
    one.ask()
    assert not one.open


def test_call_from_before_the_break_changes_nothing() -> None:
    """Its answer is of another time."""
    one = alone()
    early = [one.begin(), one.begin()]
    one.ask(DOWN, times=10)
    one.end(early[0])
    assert one.open
    one.end(early[1], DOWN)
    one.clock.move(5.1)
    assert not one.open


def test_dry_run_says_when_it_would_open_and_refuses_nothing() -> None:
    """To be tried in production first."""
    one = alone(dry_run=True)
    with capture_logs() as lines:
        one.ask(DOWN, times=10)
        assert not one.open
        one.clock.move(5.1)
        probe = one.begin()
        assert not one.open
        one.end(probe)
    assert [(line["event"], line.get("dry_run")) for line in lines] == [
        ("breaker.opened", True),
        ("breaker.half_opened", None),
        ("breaker.closed", None),
    ]


class Fleet:
    """Several processes with one breaker."""

    def __init__(self, size: int) -> None:
        """Begin closed."""
        self.clock, self.server = ManualClock(frozen=True), Server()
        self.boards = [SimulatedBoard(self.server, self.clock) for _ in range(size)]
        self.all = [One(board, self.clock, workers=size) for board in self.boards]

    def deliver(self) -> None:
        """Let every message arrive."""
        for board in self.boards:
            while board.box:
                board.deliver(0)


def test_one_sick_process_does_not_take_a_healthy_backend_from_the_others() -> None:
    """Those that have just been answered speak against it."""
    fleet = Fleet(4)
    for _ in range(50):
        fleet.all[0].ask(DOWN)
        fleet.all[1].ask()
        fleet.deliver()
        fleet.clock.move(0.5)
    assert not any(one.open for one in fleet.all)
    while not fleet.all[1].open:
        fleet.all[1].ask(DOWN)
        fleet.deliver()
    assert all(one.open for one in fleet.all)


def test_processes_whose_last_call_failed_second_a_vote() -> None:
    """They need not wait for as many failures of their own."""
    fleet = Fleet(4)
    fleet.all[3].ask(DOWN)
    fleet.all[0].ask(DOWN, times=3)
    fleet.deliver()
    fleet.deliver()
    assert all(one.open for one in fleet.all)


def test_process_that_makes_all_calls_opens_alone_if_nobody_speaks_against_it() -> None:
    """Its lane gives it all the jobs; the others have not been answered for a while."""
    fleet = Fleet(3)
    fleet.all[1].ask()
    fleet.clock.move(JUST_NOW + 0.1)
    fleet.all[0].ask(DOWN, times=50)
    fleet.deliver()
    assert not any(one.open for one in fleet.all)
    fleet.clock.move(OBJECT_WITHIN)
    fleet.all[0].ask(DOWN)
    fleet.deliver()
    assert all(one.open for one in fleet.all)


class Skewed(Board):
    """A board whose server has another clock after a failover."""

    ahead = 0.0

    def now(self) -> float:
        """Return the time of that server."""
        return super().now() + self.ahead


def test_vote_from_before_the_clock_was_set_back_is_repeated() -> None:
    """The replica that has become the master is a minute behind; the backend is ill all the while."""
    clock = ManualClock()
    board = Skewed(clock)
    one = One(board, clock, workers=2)
    one.ask(DOWN, times=50)
    board.ahead = -60.0
    one.ask(DOWN)
    clock.move(OBJECT_WITHIN)
    one.ask(DOWN)
    assert one.open


def test_answer_after_a_vote_speaks_against_it() -> None:
    """The backend is well for that process."""
    fleet = Fleet(2)
    fleet.all[0].ask(DOWN, times=50)
    fleet.deliver()
    fleet.all[1].ask(times=5)
    fleet.deliver()
    assert fleet.server.entries["breaker:crm"][0] == 2  # spoken against once
    fleet.clock.move(OBJECT_WITHIN + 0.1)
    fleet.all[0].ask(DOWN, times=50)
    fleet.deliver()
    assert not any(one.open for one in fleet.all)


def test_votes_of_long_ago_do_not_count() -> None:
    """Two processes that were sick an hour apart have not agreed."""
    fleet = Fleet(2)
    fleet.all[0].ask(DOWN, times=10)
    fleet.deliver()
    fleet.clock.move(31)
    fleet.all[1].ask(DOWN, times=10)
    fleet.deliver()
    assert not any(one.open for one in fleet.all)


def test_sick_process_repeats_its_vote_and_not_with_every_call() -> None:
    """Each vote is a round trip."""
    fleet = Fleet(2)
    fleet.all[0].ask(DOWN, times=100)
    assert fleet.server.entries["breaker:crm"][0] == 1
    fleet.all[1].ask()
    fleet.deliver()
    fleet.all[0].ask(DOWN, times=100)
    assert fleet.server.entries["breaker:crm"][0] == 2  # the other one has spoken against it
    fleet.clock.move(16)
    fleet.all[0].ask(DOWN, times=100)
    assert fleet.server.entries["breaker:crm"][0] == 3


def test_there_is_one_probe_in_the_fleet() -> None:
    """Twenty workers must not all try the backend at once."""
    fleet = Fleet(3)
    for one in fleet.all:
        one.ask(DOWN, times=4)
    fleet.deliver()
    fleet.clock.move(5.1)
    probes = [one.begin() for one in fleet.all]  # before a message has come
    assert [probe is None for probe in probes] == [False, True, True]
    fleet.all[0].end(probes[0])
    fleet.deliver()
    assert not any(one.open for one in fleet.all)


def test_probe_of_a_process_that_died_is_followed_by_another() -> None:
    """The lease ends by itself."""
    fleet = Fleet(2)
    for one in fleet.all:
        one.ask(DOWN, times=5)
    fleet.deliver()
    fleet.clock.move(5.1)
    late = fleet.all[0].begin()
    fleet.deliver()
    fleet.clock.move(1.0 + LEASE_MARGIN - 0.1)
    assert fleet.all[1].open
    fleet.clock.move(0.2)
    fleet.all[1].ask(DOWN)
    fleet.all[0].end(late)  # it was not dead, but late: its word counts no more
    fleet.deliver()
    assert all(one.open for one in fleet.all)


def test_window_counts_the_last_calls() -> None:
    """In ten parts, each forgotten as a whole."""
    window = Window(10.0)
    window.note(0.5, failed=True)
    window.note(1.5, failed=False)
    assert window.counts(1.5) == (2, 1)
    assert window.counts(10.4) == (1, 0)
    window.note(100.0, failed=True)
    assert window.counts(100.0) == (1, 1)
    assert BUCKETS == 10
    window.clear()
    assert window.counts(100.0) == (0, 0)


async def test_probe_that_another_process_takes_first_is_refused_or_goes_on() -> None:
    """The word of the fleet comes after the question: by then the gate may be another process's, or open."""
    for ends, refused in ((BackendUnavailable("503"), True), (None, False)):
        fleet = Fleet(2)
        for one in fleet.all:
            one.ask(DOWN, times=5)
        fleet.deliver()
        fleet.clock.move(5.1)
        waiting = fleet.all[0].breaker.admit(call())
        assert waiting is not None
        fleet.all[1].ask(ends)
        if refused:
            with pytest.raises(CircuitOpen):
                await waiting
        else:
            await waiting
            assert not fleet.all[0].open


async def test_dry_run_goes_on_when_another_process_is_the_probe() -> None:
    """It refuses nothing."""
    clock, server = ManualClock(frozen=True), Server()
    both = [
        One(SimulatedBoard(server, clock), clock, settings=replace(USUAL, dry_run=True)) for _ in range(2)
    ]
    both[0].ask(DOWN, times=10)
    both[1].breaker.admit(call())
    for board in server.boards:
        board.deliver(0)
    clock.move(5.1)
    waiting = both[0].breaker.admit(call())
    assert waiting is not None
    assert both[1].begin() is not None
    await waiting
