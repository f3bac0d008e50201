"""The verdict: what was seen of a soak, and everything in it that should not have been."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.core.errors import Code
from tests.soak.asking import KEPT, OK, Outcome
from workers.jobs import MAX_TRIES

SLACK = 0.5
"""Seconds past the deadline at which a caller may be told, on a machine that is busy with all this."""

EXPECTED = {"worker.started", "worker.drained", "lookup.finished", "job.dropped"}
"""The events that a worker may log."""

_DEATHS = {Code.TIMEOUT.name: 1, Code.LOOKUP_FAILED.name: MAX_TRIES}


@dataclass(frozen=True, slots=True)
class Death:
    """A worker that was killed: when, the numbers whose lookups it had begun, and how many it had in hand."""

    at: float
    begun: frozenset[int]
    in_hand: int


@dataclass(frozen=True, slots=True)
class Seen:
    """All that was seen.

    ``runs`` counts the lookups by number, ``doubled`` the jobs whose answer was pushed more than once;
    ``again`` is what came of the failed ones when they were asked again; ``lasting`` are the keys that never
    lapse, ``remaining`` those that should have lapsed by now.
    """

    asked: int
    ended: int
    latest: float
    failures: Sequence[Outcome]
    deaths: Sequence[Death]
    runs: Mapping[int, int]
    doubled: int
    again: Sequence[Outcome]
    events: Mapping[str, int]
    exits: Sequence[int]
    lasting: Mapping[str, int]
    remaining: Mapping[str, int]

    def faults(self) -> list[str]:
        """Return every fault, for people."""
        return [*self._of_callers(), *self._of_failures(), *self._of_workers(), *self._of_redis()]

    @property
    def in_hand(self) -> int:
        """How many lookups were in the hands of workers that were killed."""
        return sum(death.in_hand for death in self.deaths)

    @property
    def reruns(self) -> int:
        """How many lookups ran more than once: those in hand, and those whose answers were not yet given."""
        return sum(runs > 1 for runs in self.runs.values())

    @property
    def unread(self) -> int:
        """How many lookups failed that no killed worker had begun: handed over, and not read."""
        return sum(not self._begun_by_dead(failure) for failure in self.failures)

    def _of_callers(self) -> Iterator[str]:
        if self.ended != self.asked:
            yield f"{self.asked - self.ended} lookups never came to an end"
        if self.latest > SLACK:
            yield f"a caller was told {self.latest:.2f} s after its deadline"
        if self.doubled:
            yield f"{self.doubled} answers were pushed more than once"

    def _of_failures(self) -> Iterator[str]:
        unexplained = Counter(one.code for one in self.failures if not self._explained(one))
        for code, count in unexplained.items():
            yield f"{count} lookups ended by {code}, through no worker's death"
        begun, held = len(self.failures) - self.unread, max(self.in_hand, self.reruns)
        if begun > held:
            yield f"{begun} lookups failed that killed workers had begun, who held {held} at most"
        others = Counter(one.code for one in self.again if one.code not in {OK, KEPT})
        for code, count in others.items():
            yield f"{count} lookups that failed ended by {code} when they were asked again"

    def _of_workers(self) -> Iterator[str]:
        failed = {failure.number for failure in self.failures}
        surplus = sum(
            runs - 1 > self._begun_by_dead_times(number) + (number in failed)
            for number, runs in self.runs.items()
        )
        if surplus:
            yield f"{surplus} lookups ran again though no worker died of them"
        for event, count in self.events.items():
            if event not in EXPECTED:
                yield f"workers logged {count} x {event}"
        if any(self.exits):
            yield f"workers ended with exit codes {sorted(set(self.exits))}"

    def _of_redis(self) -> Iterator[str]:
        yield from (f"{count} keys {kind}:... never lapse" for kind, count in self.lasting.items())
        yield from (f"{count} keys {kind}:... have not lapsed" for kind, count in self.remaining.items())

    def _explained(self, failure: Outcome) -> bool:
        """Tell whether enough workers died while a lookup was under way; the second has its job given up."""
        deaths = sum(failure.begun <= death.at <= failure.ended for death in self.deaths)
        return deaths >= _DEATHS.get(failure.code, math.inf)

    def _begun_by_dead(self, failure: Outcome) -> bool:
        return self._begun_by_dead_times(failure.number) > 0

    def _begun_by_dead_times(self, number: int) -> int:
        return sum(number in death.begun for death in self.deaths)
