"""Circuit breaker: a backend whose calls fail is not asked for a while, by nobody of the fleet.

::

    closed ──most calls fail──▶ open ──break_duration──▶ half-open: one probe ──it succeeds──▶ closed
                                 ▲                                  │
                                 └──── it fails: twice as long ─────┘

Each process counts its own calls, and votes to open when enough of them fail. The others hear the vote. Those
whose last calls failed, too, vote as well; those that had an answer just now vote against it. Two votes open
the circuit, and so does one that nobody has spoken against: often one worker makes all calls. So one sick
process does not take a healthy backend from the others. While it is open, or closed, nobody calls Redis.

The words are those of Polly. A call that was not answered for want of credentials, or because the backend
asked for a pause or took the question for a wrong one, counts for neither side.
"""

import math
from collections.abc import Awaitable, Callable, Mapping

from gateway.core.errors import CircuitOpen, NoAnswer
from gateway.declared.breaker import Breaker as Settings
from gateway.process.clock import MONOTONIC, Clock
from gateway.resilience.board import Board
from gateway.resilience.gate import OPEN, Gate
from gateway.resilience.gatekeeper import Gatekeeper
from gateway.resilience.policy import Call
from gateway.resilience.window import Window
from gateway.telemetry import events

LONGEST_BREAK = 4.0
"""Seconds, the longest break: each failed probe doubles it.

A longer one would outlast the outage by more, and spare the backend one call in four seconds.
"""

FEWEST = 10
"""Calls that a process must have seen before it votes, however many share them: fewer say little."""

OBJECT_WITHIN = 1.0
"""Seconds that other processes get to speak against a vote."""

JUST_NOW = 2.0
"""Seconds for which the end of a call says how the backend is."""


def breaker_name(backend: str) -> str:
    """Return the name of a backend's breaker on the board."""
    return f"breaker:{backend}"


class Breaker:
    """The circuit breaker of one backend, in one process of the fleet."""

    def __init__(  # noqa: PLR0913 - the parts that it stands on
        self,
        board: Board,
        backend: str,
        settings: Settings,
        *,
        longest_attempt: float,
        workers: Callable[[], int] = lambda: 1,
        clock: Clock = MONOTONIC,
        fewest: int = FEWEST,
    ) -> None:
        """Take the backend, and the function that returns how many processes ask it."""
        self._backend, self._settings, self._workers, self._clock = backend, settings, workers, clock
        self._fewest = fewest
        self._keeper = Gatekeeper(board, breaker_name(backend), longest_attempt)
        self._break = float(settings.break_duration)
        self._window = Window(settings.sampling_duration)
        self._answered = self._failed = -math.inf
        self._keeper.gate.watch(self._hear)

    def admit(self, call: Call) -> Awaitable[None] | None:
        """Let the call go on, as the probe after a break; raise CircuitOpen during it."""
        if (gate := self._keeper.gate.value).is_open:
            return None
        left = gate.left(self._keeper.board.now())
        refusal = CircuitOpen(f"not asked: the backend fails, and is left alone for {left:.1f} s more")
        try:
            probing = self._keeper.admit(call, refusal)
        except CircuitOpen:
            if self._settings.dry_run:
                return None
            raise
        return self._probe(call, probing)

    def succeeded(self, call: Call) -> None:
        """Count the call; close the circuit if it was the probe."""
        self._note(call, failed=self._settings.slow_call is not None and call.took > self._settings.slow_call)

    def failed(self, call: Call, error: BaseException) -> None:
        """Count the call if its failure says that the backend is ill."""
        if isinstance(error, NoAnswer) and error.backend_failed:
            self._note(call, failed=True)
        elif self._keeper.ends_probe(call):
            self._keeper.give_back()

    async def _probe(self, call: Call, probing: Awaitable[None]) -> None:
        try:
            await probing
        except CircuitOpen:
            if not self._settings.dry_run:
                raise
        else:
            if self._keeper.probe is call:
                events.breaker_half_opened(backend=self._backend)

    def _note(self, call: Call, *, failed: bool) -> None:
        if self._keeper.ends_probe(call):
            self._window.clear()
            self._end_probe(failed=failed)
            return
        gate, now = self._keeper.gate.value, self._clock.now()
        if not gate.is_open:
            return  # it began before the break
        self._window.note(now, failed=failed)
        if failed:
            self._failed = now
            if self._wants_break(now):
                self._vote()
        else:
            self._answered = now
            if gate.votes:
                self._hear()

    def _wants_break(self, now: float) -> bool:
        calls, failures = self._window.counts(now)
        least = max(self._fewest, math.ceil(self._settings.minimum_throughput / max(1, self._workers())))
        least = min(least, self._settings.minimum_throughput)
        return calls >= least and failures >= self._settings.failure_ratio * calls

    def _vote(self) -> None:
        me, settings, alone = self._keeper.board.me, self._settings, self._workers() <= 1

        def voted(gate: Gate, now: float) -> Gate | None:
            if not gate.is_open:
                return None
            since = _since(gate.votes, me, now)
            counted = gate.voted(me, now, settings.sampling_duration)
            unopposed = not counted.against and OBJECT_WITHIN <= since < settings.sampling_duration
            if alone or len(counted.votes) > 1 or unopposed:
                return Gate(now + self._break, self._break)
            return None if since < settings.sampling_duration / 2 else counted  # it is known already

        self._keeper.gate.change_soon(voted, self._report)

    def _hear(self) -> None:
        """Second the votes of others, or speak against them, if this process knows how the backend is."""
        gate, now, me = self._keeper.gate.value, self._clock.now(), self._keeper.board.me
        if not gate.is_open or not gate.votes or me in gate.votes:
            return
        if self._answered >= max(self._failed, now - JUST_NOW):
            window = self._settings.sampling_duration

            def opposed(gate: Gate, now: float) -> Gate | None:
                known = _since(gate.against, me, now) < window / 2
                return None if known or not gate.is_open else gate.voted(me, now, window, against=True)

            self._keeper.gate.change_soon(opposed)
        elif self._failed >= now - JUST_NOW:
            self._vote()

    def _end_probe(self, *, failed: bool) -> None:
        def reopened(gate: Gate, now: float) -> Gate:
            seconds = min(gate.length * 2, max(LONGEST_BREAK, self._break))
            return Gate(now + seconds, seconds)

        decide = self._keeper.by_probe(reopened if failed else lambda _gate, _now: OPEN)
        self._keeper.gate.change_soon(decide, self._report)

    def _report(self, gate: Gate) -> None:
        if not gate.is_open:
            seconds, dry_run = gate.left(self._keeper.board.now()), self._settings.dry_run
            events.breaker_opened(backend=self._backend, seconds=seconds, dry_run=dry_run)
        elif not gate.votes and not gate.against:
            events.breaker_closed(backend=self._backend)


def _since(votes: Mapping[str, float], voter: str, now: float) -> float:
    """Return the seconds since a vote; without end for none, and for one before the clock was set back."""
    at = votes.get(voter, math.inf)
    return now - at if at <= now else math.inf
