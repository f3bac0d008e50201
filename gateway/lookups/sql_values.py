"""The values of a database as JSON has them, each with the text that goes to the user. Pure."""

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec

from gateway.core.variables import WrittenNumber, keep_number

_DEEPEST = 20

read_document = msgspec.json.Decoder(float_hook=keep_number).decode
"""Return the value of a document that a database has: its numbers keep their digits."""

_WRITTEN: tuple[tuple[tuple[type, ...], Callable[[Any], Any]], ...] = (
    ((bool, str, WrittenNumber, type(None)), lambda value: value),
    ((Decimal,), lambda value: keep_number(f"{value:f}") if value.is_finite() else str(value)),
    ((int,), int),
    ((float,), lambda value: value if math.isfinite(value) else str(value)),
    ((datetime, date, time), lambda value: value.isoformat()),
    ((timedelta,), lambda value: value.total_seconds()),
    ((bytes, bytearray, memoryview), lambda value: bytes(value).hex()),
)
"""How each kind of value is written; the first one that fits."""


def as_value(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - any value of a driver
    """Return a value of a row as JSON has it.

    Decimals keep their digits. Dates and times are ISO 8601, durations are seconds, bytes are hexadecimal.
    Arrays and JSON keep their form. Any other type, such as a UUID, an address or a range, is its text.
    """
    if isinstance(value, Enum):
        value = value.value
    for kinds, write in _WRITTEN:
        if isinstance(value, kinds):
            return write(value)
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {str(key): as_value(one, depth + 1) for key, one in value.items()}
    if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [as_value(one, depth + 1) for one in value]
    return str(value)


def size_of(value: Any) -> int:  # noqa: ANN401 - any JSON value
    """Return about how many characters a value has."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + size_of(one) for key, one in value.items())
    if isinstance(value, list):
        return sum(map(size_of, value))
    return 8
