"""Numbers that came over the wire."""

import math

import pytest

from gateway.core.packing import UNREADABLE, finite


@pytest.mark.parametrize("number", [0.0, -1.0, 1.8e12, 1e308])
def test_finite_number_is_itself(number: float) -> None:
    """Nearly every one is."""
    assert finite(number) == number


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_number_that_is_not_finite_is_unreadable(number: float) -> None:
    """A time without end would keep a record, or an erasure, for ever."""
    with pytest.raises(UNREADABLE):
        finite(number)
