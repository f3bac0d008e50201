"""msgpack: the one encoder of the project, and the errors that decoders raise for bytes from outside."""

import math

import msgspec

pack = msgspec.msgpack.Encoder().encode
"""Encode a value as msgpack. Raise UnicodeError for text that UTF-8 cannot hold: a lone surrogate."""

UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""A decoder of msgspec raises these, for msgpack and JSON alike: bad data, bad text, too deep."""


def finite(number: float) -> float:
    """Return a number that was read, such as a time. Raise one of UNREADABLE if it is infinite or none."""
    if not math.isfinite(number):
        msg = "a number is not finite"
        raise msgspec.ValidationError(msg)
    return number
