"""The soak in small: it finds no fault, and would if there was one."""

from dataclasses import replace

import pytest

from tests.soak.asking import BUDGET, KEPT, Outcome
from tests.soak.run import Plan, soak
from tests.soak.verdict import Death, Seen

GOOD = Seen(
    asked=3,
    ended=3,
    latest=0.001,
    failures=[Outcome(1, "TIMEOUT", 10.0, 10.0 + BUDGET)],
    deaths=[Death(11.0, frozenset({0, 1}), 1)],
    runs={0: 1, 1: 2, 2: 1},
    doubled=0,
    again=[Outcome(1, KEPT, 20.0, 20.0)],
    events={"worker.started": 1, "lookup.finished": 3},
    exits=[0],
    lasting={},
    remaining={},
)


@pytest.mark.timeout(120)
async def test_jobs_survive_their_workers() -> None:
    """Workers die at the worst of moments; each job still ends once for its caller, and leaves nothing."""
    plan = Plan(3000, workers=2, kill_every=0.2, in_flight=80, seed=1, kills=3, patience=10, lapse=False)
    seen = await soak(plan)
    assert seen.faults() == []
    assert seen.ended >= 3000
    assert len(seen.deaths) >= 3


def test_nothing_is_wrong_with_a_job_that_died_with_its_worker() -> None:
    """That is what a soak is made of."""
    assert GOOD.faults() == []


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (replace(GOOD, ended=2), "1 lookups never came to an end"),
        (replace(GOOD, latest=0.7), "a caller was told 0.70 s after its deadline"),
        (replace(GOOD, doubled=1), "1 answers were pushed more than once"),
        (replace(GOOD, deaths=[]), "1 lookups ended by TIMEOUT, through no worker's death"),
        (
            replace(GOOD, failures=[Outcome(1, "WRONG", 10.0, 12.0)]),
            "1 lookups ended by WRONG, through no worker's death",
        ),
        (
            replace(GOOD, failures=[Outcome(1, "LOOKUP_FAILED", 10.0, 12.0)]),
            "1 lookups ended by LOOKUP_FAILED, through no worker's death",
        ),
        (
            replace(GOOD, again=[Outcome(1, "TIMEOUT", 20.0, 21.6)]),
            "1 lookups that failed ended by TIMEOUT when they were asked again",
        ),
        (
            replace(GOOD, failures=[*GOOD.failures] * 2),
            "2 lookups failed that killed workers had begun, who held 1 at most",
        ),
        (replace(GOOD, runs={2: 2}), "1 lookups ran again though no worker died of them"),
        (replace(GOOD, events={"job.unfinished": 2}), "workers logged 2 x job.unfinished"),
        (replace(GOOD, exits=[0, -6]), "workers ended with exit codes [-6, 0]"),
        (replace(GOOD, lasting={"soak:lane": 1}), "1 keys soak:lane:... never lapse"),
        (replace(GOOD, remaining={"arq:job": 1}), "1 keys arq:job:... have not lapsed"),
    ],
)
def test_fault_is_found(bad: Seen, fault: str) -> None:
    """A soak that can only pass promises nothing."""
    assert fault in bad.faults()
