"""Series: what was counted, and what one reads off it."""

import random
from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.history.series import (
    BACKENDS,
    BOUNDS,
    CALLBACKS,
    SLOT,
    SLOTS_KEPT,
    Series,
    added,
    as_counts,
    quantile,
    read_slot,
    slot_of,
)

AT = 1_800_000_000.0


def test_counts_are_by_slot_name_and_end() -> None:
    """A name may have any character: a backend's is a key of the file."""
    series = Series()
    assert not series
    series.note(BACKENDS, "a/b <1", "OK", 0.004, AT)
    series.note(BACKENDS, "a/b <1", "OK", 0.02, AT)
    series.note(BACKENDS, "a/b <1", "TIMEOUT", 99.0, AT)
    series.note(CALLBACKS, "", "OK", 0.1, AT)
    series.note(CALLBACKS, "", "NO_ROUTE", None, AT)
    series.note(BACKENDS, "crm", "OK", 0.1, AT + SLOT)
    assert series
    taken = series.take()
    assert not series
    first, second = taken[slot_of(AT)], taken[slot_of(AT) + 1]
    (name,), (counts,) = zip(*read_slot(BACKENDS, first).items(), strict=True)
    assert (name, counts.outcomes) == ("a/b <1", {"OK": 2, "TIMEOUT": 1})
    assert {i: n for i, n in enumerate(counts.buckets) if n} == {0: 1, 2: 1, len(BOUNDS): 1}
    assert set(read_slot(BACKENDS, second)) == {"crm"}
    callbacks = read_slot(CALLBACKS, first)[""]
    assert (callbacks.outcomes, sum(callbacks.buckets)) == ({"OK": 1, "NO_ROUTE": 1}, 1)


def test_counts_that_cannot_be_written_do_not_grow_for_ever() -> None:
    """Redis may be away for a day."""
    series = Series()
    for number in range(1000):
        series.note(BACKENDS, "crm", "OK", 0.1, AT + number * SLOT)
    assert len(series.take()) == SLOTS_KEPT


def test_fields_of_another_release_are_passed_over() -> None:
    """It may count in other buckets, or other things."""
    fields = {"backends/crm/OK": 2, "backends/crm/<99": 5, "backends/crm/<x": 1, "other/crm/OK": 1, "": 1}
    counts = read_slot(BACKENDS, fields)["crm"]
    assert (counts.outcomes, sum(counts.buckets)) == ({"OK": 2}, 0)


def test_what_redis_holds_is_read_as_counts() -> None:
    """And what somebody else has put there is passed over."""
    assert as_counts([b"a", b"1", b"b", b"x", b"\xff", b"2", b"c", b"9" * 6000]) == {"a": 1, "\ufffd": 2}


@given(st.lists(st.floats(0, 30), min_size=1))
def test_quantile_lies_in_the_bucket_of_the_true_one(values: list[float]) -> None:
    """Nobody can say more of durations that were counted in buckets."""
    series = Series()
    for value in values:
        series.note(CALLBACKS, "", "OK", value, AT)
    buckets = read_slot(CALLBACKS, series.take()[slot_of(AT)])[""].buckets
    for share in (0.0, 0.5, 0.95, 1.0):
        found = quantile(buckets, share)
        assert found is not None
        true = sorted(values)[max(0, -(-int(share * len(values) * 1e9) // 1_000_000_000) - 1)]
        lower = max((bound for bound in (0.0, *BOUNDS) if bound < true), default=0.0)
        upper = min((bound for bound in BOUNDS if bound >= true), default=BOUNDS[-1])
        assert min(lower, BOUNDS[-1]) <= found <= upper


def test_quantile_is_near_the_true_one() -> None:
    """Of many values, as a backend has them."""
    rng = random.Random(7)
    values = [rng.lognormvariate(-2, 0.5) for _ in range(5000)]
    series = Series()
    for value in values:
        series.note(CALLBACKS, "", "OK", value, AT)
    buckets = read_slot(CALLBACKS, series.take()[slot_of(AT)])[""].buckets
    true = quantiles(values, n=20)
    assert quantile(buckets, 0.5) == pytest.approx(true[9], rel=0.1)
    assert quantile(buckets, 0.95) == pytest.approx(true[18], rel=0.1)


def test_nothing_has_no_quantile() -> None:
    """Zero would be a good figure."""
    assert quantile(added([]).buckets, 0.5) is None


def test_counts_of_several_slots_add_up() -> None:
    """Five minutes are thirty slots."""
    series = Series()
    series.note(BACKENDS, "crm", "OK", 0.1, AT)
    series.note(BACKENDS, "crm", "OK", 0.1, AT + SLOT)
    series.note(BACKENDS, "crm", "TIMEOUT", 1.0, AT + SLOT)
    both = added(read_slot(BACKENDS, fields)["crm"] for fields in series.take().values())
    assert (both.outcomes, sum(both.buckets)) == ({"OK": 2, "TIMEOUT": 1}, 3)
