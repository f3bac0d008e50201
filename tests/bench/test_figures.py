"""The figures of the benchmark are what they are called; how fast anything is, no test says."""

from math import isnan, nan

from hypothesis import given
from hypothesis import strategies as st

from tests.bench.figures import Ratio, Target, Turn, brief, middle, percentile, spread


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_percentile_is_a_sample_that_so_many_do_not_exceed(values: list[float], share: float) -> None:
    """A percentile between two samples would be a latency that nobody had."""
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)


def test_few_samples_have_no_99th_percentile() -> None:
    """Of ten samples it would be the worst one, by another name."""
    assert isnan(Turn([1.0] * 99, 1.0).p99)
    assert Turn([1.0] * 98 + [9.0] * 2, 1.0).p99 == 9.0


def test_calls_that_end_late_do_not_count_for_the_rate() -> None:
    """They ended, but not in the seconds that are divided by."""
    turn = Turn([1.0] * 10, 2.0, late=5)
    assert (turn.rate, turn.ended) == (5.0, 15)


def test_ratio_compares_turns_of_the_same_round_alone() -> None:
    """A machine that is slow for one round must not show as a difference."""
    ratio = Ratio.of({0: 2.0, 1: 200.0, 2: 4.0}, {0: 1.0, 1: 100.0, 3: 7.0})
    assert ratio.rounds == [2.0, 2.0]
    assert str(ratio) == "2.00 (2.00-2.00)"


def test_figure_that_is_missing_reaches_no_target() -> None:
    """A contestant that did not run must not pass for a fast one."""
    assert not Target("", nan, 1.0).reached
    assert not Target("", nan, 1.0, at_most=False).reached
    assert isnan(middle([nan]))
    assert (brief(nan), str(Ratio([]))) == ("-", "-")


def test_spread_leaves_out_rounds_without_a_figure() -> None:
    """A round without an answer has no CPU per job; it must not move the quartiles of the others."""
    assert spread([nan, 4.0, 1.0, nan, 2.0, 3.0]) == "2.50 (1.00-3.00)"
    assert spread([nan]) == "-"


def test_one_round_has_no_quartiles() -> None:
    """Equal quartiles would look like a figure that never changes."""
    assert spread([nan, 4.0]) == "4.00"
