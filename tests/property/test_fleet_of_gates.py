"""Any order of calls, answers, failures and deaths in several processes, whose messages come as they like."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.core.errors import BackendRejected, BackendThrottled, BackendUnavailable, CircuitOpen
from gateway.declared.breaker import Breaker as Settings
from gateway.declared.values import Duration
from gateway.resilience.breaker import Breaker, breaker_name
from gateway.resilience.gate import OPEN, Gate
from gateway.resilience.gatekeeper import LEASE_MARGIN
from gateway.resilience.pause import Pause, pause_name
from gateway.resilience.policy import Call, Policy
from tests.clock import ManualClock
from tests.gates import Server, SimulatedBoard, admit, call

PROCESSES = 3
WINDOW = 30.0
ATTEMPT = 1.0

process = st.integers(0, PROCESSES - 1)
number = st.integers(0, 99)


class Gates(RuleBasedStateMachine):
    """Three processes, each with a policy that has a gate in common with the others'."""

    name = ""

    def __init__(self) -> None:
        """Begin open."""
        super().__init__()
        self.clock, self.server = ManualClock(frozen=True), Server()
        self.boards = [SimulatedBoard(self.server, self.clock) for _ in range(PROCESSES)]
        self.policies = [self.policy(board) for board in self.boards]
        self.calls: list[tuple[int, Call]] = []
        self.probes: dict[Call, tuple[int, float]] = {}
        self.failed: dict[str, float] = {}
        self.known = OPEN

    def policy(self, board: SimulatedBoard) -> Policy:
        """Return the policy of one process."""
        raise NotImplementedError

    @property
    def gate(self) -> Gate:
        """The gate as the server has it."""
        return self.server.entries.get(self.name, (0.0, OPEN))[1]  # type: ignore[no-any-return]

    def live_probes(self) -> list[Call]:
        """Return the probes whose lease has not ended."""
        return [one for one, (_, until) in self.probes.items() if self.clock.now() < until]

    @rule(at=process)
    def begin(self, at: int) -> None:
        """Begin a call, unless it is refused."""
        one, now = call(), self.clock.now()
        local = self.boards[at].entry(self.name, OPEN).value
        try:
            admit(self.policies[at], one)
        except (CircuitOpen, BackendThrottled):
            assert not self.gate.is_open or not local.is_open  # nobody is refused by an open gate
            return
        assert local.is_open or not local.refuses(now)
        self.calls.append((at, one))
        if not local.is_open and not self.gate.is_open:
            self.probes[one] = at, now + ATTEMPT + LEASE_MARGIN

    @precondition(lambda self: self.calls)
    @rule(which=number, how=st.sampled_from(["answer", "fail", "reject", "throttle", "cancel", "die"]))
    def end(self, which: int, how: str) -> None:
        """End a call: by an answer, a failure, or the death of its process, which is heard of no more."""
        at, one = self.calls.pop(which % len(self.calls))
        errors: dict[str, BaseException] = {
            "fail": BackendUnavailable("503"),
            "reject": BackendRejected("400"),
            "throttle": BackendThrottled("429", 10.0),
            "cancel": KeyboardInterrupt(),
        }
        before = self.gate
        if how == "die":
            self.replace(at)
            return
        if how == "fail":
            self.failed[self.boards[at].me] = self.clock.now()
        if how == "answer":
            self.policies[at].succeeded(one)
        else:
            self.policies[at].failed(one, errors[how])
        self.ended(one, how, before)
        self.probes.pop(one, None)

    def ended(self, one: Call, how: str, before: Gate) -> None:
        """Compare the gate after the end of a call with the one before."""

    def replace(self, at: int) -> None:
        """Let a process die, and another one take its place. It reads the entries when it starts."""
        self.server.boards.remove(self.boards[at])
        self.boards[at] = SimulatedBoard(self.server, self.clock)
        self.policies[at] = self.policy(self.boards[at])
        if self.name in self.server.entries:
            version, value = self.server.entries[self.name]
            self.boards[at].entry(self.name, OPEN).put(value, version)
        self.calls = [(where, one) for where, one in self.calls if where != at]

    @rule(seconds=st.floats(0.01, 20.0))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.move(seconds)

    @rule(at=process, which=number, keep=st.booleans())
    def deliver(self, at: int, which: int, *, keep: bool) -> None:
        """Bring a message: late, in any order, perhaps once more."""
        self.boards[at].deliver(which, keep=keep)

    @rule(at=process)
    def lose(self, at: int) -> None:
        """Lose the messages of a process; its new subscription reads the entries."""
        self.boards[at].box.clear()
        if self.name in self.server.entries:
            version, value = self.server.entries[self.name]
            entry = self.boards[at].entry(self.name, OPEN)
            if version > entry.version:
                entry.put(value, version)

    @invariant()
    def one_probe_at_a_time(self) -> None:
        """In the whole fleet."""
        assert len(self.live_probes()) <= 1


class Breakers(Gates):
    """The circuit breaker."""

    name = breaker_name("crm")

    def policy(self, board: SimulatedBoard) -> Policy:
        """Return the breaker of one process."""
        return Breaker(
            board,
            "crm",
            Settings(minimum_throughput=3, failure_ratio=0.5, sampling_duration=Duration(WINDOW)),
            longest_attempt=ATTEMPT,
            workers=lambda: PROCESSES,
            clock=self.clock,
            fewest=2,
        )

    def ended(self, one: Call, how: str, before: Gate) -> None:
        """It opens by failures of two processes, and closes by a success of the probe."""
        now = self.clock.now()
        if before.is_open and not self.gate.is_open:
            failed = [at for at in self.failed.values() if now - at <= WINDOW]
            assert len(failed) > 1 or not [at for at in before.against.values() if now - at < WINDOW]
            assert failed
        if not before.is_open and self.gate.is_open:
            assert how == "answer"
            assert one in self.probes
        if not before.is_open and not self.gate.is_open:
            assert self.gate.until >= before.until


class Pauses(Gates):
    """The pause of a lane."""

    name = pause_name("crm")

    def policy(self, board: SimulatedBoard) -> Policy:
        """Return the pause of one process."""
        return Pause(board, "crm", longest_attempt=ATTEMPT)

    def ended(self, one: Call, how: str, before: Gate) -> None:
        """It is kept to its end, and ended by a probe alone."""
        now = self.clock.now()
        if how == "throttle":
            assert self.gate.until >= now + 10.0 - 1e-6
        elif not before.is_open and self.gate.is_open:
            assert one in self.probes
            assert now >= before.until


TestBreakers = Breakers.TestCase
TestPauses = Pauses.TestCase
TestBreakers.settings = TestPauses.settings = settings(max_examples=60, stateful_step_count=40)
