"""Durations and sizes: every text is one quantity or an error, and larger numbers are larger quantities."""

import math
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.units import brief_duration, parse_duration, parse_size

SECONDS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86_400),
}
BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "kB": 1000, "MB": 1000**2}

numbers = st.decimals(min_value=0, max_value=10**9, places=3).map(lambda number: f"{number:f}")


@settings(deadline=None)
@given(numbers, st.sampled_from(sorted(SECONDS)))
def test_a_duration_is_its_number_times_its_unit(number: str, unit: str) -> None:
    """No unit is special, and no number loses what people can see of it."""
    assert parse_duration(number + unit) == pytest.approx(float(Decimal(number) * SECONDS[unit]), rel=1e-12)


@settings(deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(sorted(BYTES)))
def test_a_whole_size_is_exact(number: int, unit: str) -> None:
    """A limit of so many bytes is that many bytes, not one less."""
    assert parse_size(f"{number}{unit}") == number * BYTES[unit]


@settings(deadline=None)
@given(st.text() | st.from_regex(r"[-+\d.,eE_ ]{0,15}[A-Za-z]{0,4}"))
@example("9" * 400 + "s")
@example("1" + "." + "9" * 400 + "s")
@example("999999999999.999999999d")
def test_any_text_is_a_finite_quantity_or_a_value_error(text: str) -> None:
    """The configuration's reader turns a ValueError into a fault; anything else would be a crash."""
    for parse in (parse_duration, parse_size):
        try:
            quantity = parse(text)
        except ValueError:
            continue
        assert math.isfinite(quantity)
        assert quantity >= 0


@settings(deadline=None)
@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_a_brief_duration_never_says_more_than_has_passed(one: float, other: float) -> None:
    """*last known 2 h ago* must not hide that it was three."""
    units = {"s": 1, "min": 60, "h": 3600, "d": 86_400}

    def said(seconds: float) -> int:
        number, unit = brief_duration(seconds).split()
        return int(number) * units[unit]

    assert said(one) <= one < 1.5 * said(one) + 1
    assert (said(one) <= said(other)) or one >= other
