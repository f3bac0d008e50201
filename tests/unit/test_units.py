"""Durations and sizes mean what people write, and nothing else is taken for one."""

import pytest

from gateway.core.units import brief_duration, parse_duration, parse_size
from gateway.declared.values import PerSecond, Share


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("800ms", 0.8),
        ("1.6s", 1.6),
        ("0s", 0.0),
        ("15m", 900.0),
        ("24h", 86_400.0),
        ("2d", 172_800.0),
        ("5 s", 5.0),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    """A budget that is off by a unit makes every callback late."""
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64KiB", 65_536),
        ("1MiB", 1_048_576),
        ("1.5KiB", 1536),
        ("10kB", 10_000),
        ("2MB", 2_000_000),
        ("7B", 7),
    ],
)
def test_a_size_is_read_in_bytes(text: str, size: int) -> None:
    """A limit protects memory only when it is the limit that was meant."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "5",
            "s",
            "1.6",
            "-1s",
            "+1s",
            "1e3s",
            ".5s",
            "1.s",
            "1,5s",
            "1 h 5 m",
            "5  s",
            " 5s",
            "5s ",
            "5s\n",
        ),
        *("5S", "5sec", "5µs", "inf", "nans", "\u0665s", "5KiB", "1_000s", "0x1s", "9999999999999s"),
    ],
)
def test_what_is_no_duration_is_an_error_that_shows_how_to_write_one(text: str) -> None:
    """A number without a unit is the mistake that people make; guessing the unit would be ours."""
    with pytest.raises(ValueError, match="write for example '800ms'"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "64", "KiB", "64KB", "64kib", "64Kib", "-1B", "5s", "\u0666B"])
def test_what_is_no_size_is_an_error_that_shows_how_to_write_one(text: str) -> None:
    """``KB`` is not offered because half of the world reads it as 1000."""
    with pytest.raises(ValueError, match="write for example '64KiB'"):
        parse_size(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.99, "0 s"),
        (42.9, "42 s"),
        (119.9, "119 s"),
        (120.0, "2 min"),
        (7199.0, "119 min"),
        (7200.0, "2 h"),
        (172_799.0, "47 h"),
        (172_800.0, "2 d"),
    ],
)
def test_an_age_is_said_as_people_say_it(seconds: float, text: str) -> None:
    """It stands in ErrorInfo, where an operator reads it."""
    assert brief_duration(seconds) == text


@pytest.mark.parametrize(("text", "share"), [("20%", 0.2), ("0%", 0.0), ("12.5 %", 0.125), ("100%", 1.0)])
def test_a_share_is_read_in_per_cent(text: str, share: float) -> None:
    """Of what, says the setting."""
    assert Share.parse(text) == share


@pytest.mark.parametrize(("text", "rate"), [("50/s", 50.0), ("3000/min", 50.0), ("7200 / h", 2.0)])
def test_a_rate_is_read_per_second(text: str, rate: float) -> None:
    """As vendors write their limits."""
    assert PerSecond.parse(text) == rate
