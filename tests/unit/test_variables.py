"""Variables are strings: what each kind of value is as text."""

import math
from collections import UserString
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from uuid import UUID

import pytest

from gateway.core.variables import as_text


class Tier(StrEnum):
    """An enumeration as a Python lookup may return it."""

    GOLD = "gold"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        ("value1", "value1"),
        ('"quoted" \n é', '"quoted" \n é'),
        ("null", "null"),
        (None, ""),
        (True, "true"),
        (False, "false"),
        (10, "10"),
        (0, "0"),
        (-7, "-7"),
        (10**30, "1" + "0" * 30),
        (19.9, "19.9"),
        (100.0, "100.0"),
        ([], "[]"),
        ({}, "{}"),
        (["a", 1, None, True, 1.5], '["a",1,null,true,1.5]'),
        ({"a": {"b": "é"}}, '{"a":{"b":"é"}}'),
        (("a", "b"), '["a","b"]'),
    ],
)
def test_each_kind_of_json_value_has_its_text(value: object, text: str) -> None:
    """The platform's own sample says it: the number ten is ``"10"``."""
    assert as_text(value) == text


class Markup(str):
    """A text with more to it, as template engines, HTML parsers and numpy return."""

    __slots__ = ()


class Colour(str, Enum):  # noqa: UP042 - the older way, whose str() is not its value
    """An enumeration of another kind."""

    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"), [(Tier.GOLD, "gold"), (Colour.RED, "red"), (Markup("<b>"), "<b>")]
)
def test_text_of_any_kind_is_plain_text(value: object, text: str) -> None:
    """Python lookups return what their libraries give them; msgspec encodes no subclass of ``str``."""
    assert as_text(value) == text
    assert type(as_text(value)) is str


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_write_is_empty(value: float) -> None:
    """A user must not be told that the total is *null*; ``to_number('nan')`` in an expression gets here."""
    assert as_text(value) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("19.90"), "19.90"),
        (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00:00Z"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_a_value_that_python_has_and_json_writes_as_text_has_no_quotes(value: object, text: str) -> None:
    """Database drivers return these; the quotes would reach the user."""
    assert as_text(value) == text


BYTES = (b"gold", bytearray(b"x"), memoryview(b"x"), [b"gold"], {"tiers": (b"gold",)}, [{"a": [b""]}], {b"x"})


@pytest.mark.parametrize("value", [object(), UserString("x"), 1j, *BYTES])
def test_what_json_cannot_say_is_a_type_error(value: object) -> None:
    """An object's ``repr`` with its address must never become a variable, nor the base64 of some bytes."""
    with pytest.raises(TypeError):
        as_text(value)


@pytest.mark.parametrize("value", ["\ud800", "a\udfff", ["\ud800"], {"\ud800": 1}], ids=ascii)
def test_half_a_character_is_an_error(value: object) -> None:
    """JSON may spell it, but no reply and no record can hold it; it must fail here, for its lookup alone."""
    with pytest.raises(ValueError, match="surrogates"):
        as_text(value)
