"""The fault script decides repeatably, and in the proportions that it names."""

import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from msgspec.structs import asdict

from gateway.crm.reading import read_script
from gateway.crm.script import (
    PROMPT_OK,
    Fate,
    Kind,
    Latency,
    Lognormal,
    Rule,
    Script,
    Seconds,
    Shares,
    decide,
)

SAMPLE = Path(__file__).parents[2] / "ops" / "crm.toml"

seconds = st.floats(0, 1e9, allow_subnormal=False).map(Seconds)
above_zero = st.floats(1e-12, 1e9).map(Seconds)
lognormals = st.tuples(above_zero, above_zero).map(lambda pair: Lognormal(*sorted(pair)))
latencies = st.one_of(
    st.just(Latency()), st.builds(Latency, fixed=seconds), st.builds(Latency, lognormal=lognormals)
)
shares = st.dictionaries(st.sampled_from(Kind), st.floats(1e-300, 1e300) | st.just(0.0), min_size=1).filter(
    lambda given_shares: any(given_shares.values())
)
rules = st.builds(
    Rule,
    path=st.sampled_from(["*", "/*", "/orders/*", "/orders/?", "/orders/[ab]"]),
    after=seconds,
    latency=latencies,
    shares=shares.map(lambda given_shares: Shares(**given_shares)),
    status=st.integers(400, 599),
)
scripts = st.builds(Script, seed=st.integers(0, 2**53), rules=st.lists(rules, max_size=4).map(tuple))
paths = st.sampled_from(["/orders/a", "/orders/ab", "/customers/1"]) | st.text(max_size=20).map("/".__add__)


@given(scripts, paths, seconds, st.integers(1, 1000))
def test_the_same_call_has_the_same_fate(script: Script, path: str, elapsed_s: float, n: int) -> None:
    """A failure seen once can be seen again."""
    assert decide(script, path, elapsed_s, n) == decide(script, path, elapsed_s, n)


@given(scripts, st.lists(st.tuples(paths, seconds), max_size=20), st.randoms(use_true_random=False))
def test_other_calls_and_their_order_never_change_a_fate(
    script: Script, calls: list[tuple[str, float]], shuffler: random.Random
) -> None:
    """Concurrency changes the order of calls from run to run; it must not change the faults."""
    numbered = [(*call, n) for n, call in enumerate(calls)]
    straight = {call: decide(script, *call) for call in numbered}
    shuffler.shuffle(numbered)
    assert {call: decide(script, *call) for call in numbered} == straight


@given(scripts, paths, seconds, st.integers(1, 1000))
def test_a_fate_is_one_that_the_first_matching_rule_names(
    script: Script, path: str, elapsed_s: float, n: int
) -> None:
    """A reader of the script predicts from its text what can happen, and that it takes a time that exists."""
    fate = decide(script, path, elapsed_s, n)
    rule = next((rule for rule in script.rules if rule.covers(path, elapsed_s)), None)
    if rule is None:
        assert fate == PROMPT_OK
    else:
        assert asdict(rule.shares)[fate.kind] > 0
        assert fate.status == rule.status
        assert 0 <= fate.latency_s <= 3600


def test_shares_come_up_in_proportion_whatever_they_add_up_to() -> None:
    """``ok = 9, error = 1`` means one error in ten."""
    script = Script(rules=(Rule(shares=Shares(ok=9, error=1)),))
    kinds = Counter(decide(script, "/orders/1", 0, n).kind for n in range(2000))
    assert kinds.keys() == {Kind.OK, Kind.ERROR}
    assert 150 < kinds[Kind.ERROR] < 250


def test_lognormal_latencies_have_the_median_and_the_p95_that_were_asked_for() -> None:
    """Benchmarks quote these two numbers."""
    latency = Latency(lognormal=Lognormal(Seconds(0.12), Seconds(0.4)))
    script = Script(rules=(Rule(latency=latency),))
    drawn = sorted(decide(script, "/orders/1", 0, n).latency_s for n in range(4000))
    assert drawn[2000] == pytest.approx(0.12, rel=0.1)
    assert drawn[3800] == pytest.approx(0.4, rel=0.1)


@pytest.mark.parametrize(("elapsed_s", "kind"), [(9.9, "ok"), (10, "error"), (19.9, "error"), (20, "ok")])
def test_a_rule_holds_from_after_until_just_before_until(elapsed_s: float, kind: str) -> None:
    """An outage begins and ends when the script says."""
    outage = Rule(after=Seconds(10), until=Seconds(20), shares=Shares(error=1))
    assert decide(Script(rules=(outage,)), "/", elapsed_s, 1).kind == kind


def test_the_first_rule_that_matches_wins() -> None:
    """A special case stands above the general one."""
    script = Script(
        rules=(Rule(path="/orders/*", shares=Shares(hang=1)), Rule(shares=Shares(error=1), status=500))
    )
    assert decide(script, "/orders/1", 0, 1).kind is Kind.HANG
    assert decide(script, "/customers/1", 0, 1) == Fate(Kind.ERROR, 0.0, 500)


@given(st.integers(0, 2**53), st.integers(0, 2**53))
@example(7, 8)
def test_another_seed_gives_other_faults(seed: int, other: int) -> None:
    """A seed that changed nothing would make every run the same run."""
    assume(seed != other)
    rule = Rule(shares=Shares(ok=1, error=1))
    drawn = [[decide(Script(one, (rule,)), "/", 0, n).kind for n in range(100)] for one in (seed, other)]
    assert drawn[0] != drawn[1]


def test_the_sample_script_is_healthy_in_the_main() -> None:
    """The demo shows a gateway at work, not a CRM that is down."""
    script = read_script(SAMPLE.read_bytes())
    fates = [decide(script, f"/orders/{n}", 30, 1) for n in range(1000)]
    assert sum(fate.kind is Kind.OK for fate in fates) > 950
    assert sum(fate.latency_s < 1 for fate in fates) > 980


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in {Kind.OK, Kind.ERROR}])
def test_the_sample_script_shows_every_fault_on_request(kind: Kind) -> None:
    """A reader can provoke each fault by an order number."""
    script = read_script(SAMPLE.read_bytes())
    assert decide(script, f"/orders/{kind}-1", 0, 1).kind is kind


@given(st.floats(0, sys.float_info.max))
def test_no_rules_means_prompt_and_well(elapsed_s: float) -> None:
    """The CRM without a script is simply a CRM."""
    assert decide(Script(), "/orders/1", elapsed_s, 1) == PROMPT_OK
