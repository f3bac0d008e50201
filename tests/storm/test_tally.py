"""The figures of a storm are what they are called."""

from math import isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.storm.judging import PATIENCE, Verdict
from tests.storm.results import targets
from tests.storm.tally import MOST_PLAYS, Tally, percent

verdicts = st.lists(
    st.builds(
        Verdict,
        at=st.floats(0, 100),
        took=st.none() | st.floats(0, PATIENCE),
        answered=st.booleans(),
        right=st.booleans(),
        good=st.booleans(),
        foreign=st.booleans(),
        asked_before=st.booleans(),
    ),
    min_size=1,
)


@given(verdicts)
def test_every_callback_counts(told: list[Verdict]) -> None:
    """A share of those that were answered would flatter whoever answers few."""
    tally = Tally.of(told, calls=10, late=0.0, restarts=0)
    assert len(tally.took) == len(told)
    assert tally.share(tally.right) == sum(one.right for one in told) / len(told)
    assert tally.known_right <= tally.known <= len(told)
    assert tally.calls_each == 10 / len(told)


@given(verdicts)
def test_a_callback_that_desk_gave_up_took_all_of_its_patience(told: list[Verdict]) -> None:
    """Left out, it would make the percentiles better."""
    tally = Tally.of(told, calls=0, late=0.0, restarts=0)
    assert tally.ms(0.0) <= tally.ms(0.5) <= tally.ms(1.0) <= PATIENCE * 1000
    if any(one.took is None for one in told):
        assert tally.ms(1.0) == PATIENCE * 1000


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_hundred_percent_means_all(some: int, more: int) -> None:
    """One callback in a hundred thousand that went wrong must show."""
    assert (percent(some / (some + more)) == "100 %") is False
    assert percent(1.0) == "100 %"
    assert percent(nan) == "-"


@given(st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_the_calmer_of_two_plays_counts(first: float, again: float, foreign: bool) -> None:  # noqa: FBT001
    """Chosen by what the machine did, never by what came of it; but nobody else's data is ever excused."""
    one, two = tally(late=first, right=1, foreign=int(foreign)), tally(late=again, right=2, foreign=0)
    calmer = one.or_calmer(two)
    assert calmer.right == (1 if first <= again else 2)
    assert (calmer.late, calmer.plays, calmer.foreign) == (min(first, again), 2, int(foreign))


def test_a_scenario_is_not_played_forever() -> None:
    """A machine that is never calm gets its figures, too, with its lateness beside them."""
    assert tally(late=1.0).disturbed
    assert not tally(late=1.0, plays=MOST_PLAYS).disturbed
    assert not tally(late=0.01).disturbed


def tally(**changes: object) -> Tally:
    """Return a tally of a hundred good callbacks, changed."""
    counts = {"answered": 100, "right": 100, "good": 100, "known": 50, "known_right": 50}
    rest = {"took": [0.1] * 100, "foreign": 0, "blank": 0, "calls": 50, "late": 0.0, "restarts": 0}
    return Tally(**{**counts, **rest, **changes})  # type: ignore[arg-type]


def test_targets_name_the_worst_scenario() -> None:
    """A mean over scenarios would hide the one that failed."""
    others = {"direct": tally(calls=80), "arq-plain": tally(calls=60)}
    storm = {
        "healthy": {"deskgate": tally(), **others},
        "outage": {"deskgate": tally(answered=99, calls=70, took=[0.1] * 99 + [1.7]), **others},
    }
    found = targets(storm)
    assert [target.reached for target in found] == [False, False, True, False, True]
    assert all("(outage)" in target.promise for target in (found[0], found[1], found[3]))


@pytest.mark.parametrize("kind", ["foreign", "blank"])
def test_one_false_variable_of_ours_fails_the_storm(kind: str) -> None:
    """It is the one fault that no fallback mends. What the others tell is theirs."""
    assert not targets({"lies": {"deskgate": tally(**{kind: 1}), "direct": tally()}})[-1].reached
    assert targets({"lies": {"deskgate": tally(), "direct": tally(**{kind: 1})}})[-1].reached


def test_targets_of_contestants_that_did_not_run_are_not_reached() -> None:
    """Nothing is proved by leaving something out."""
    found = targets({"healthy": {"direct": tally()}})
    assert not any(target.reached for target in found[:-1])
    assert isnan(targets({"healthy": {"deskgate": tally()}})[3].value)
