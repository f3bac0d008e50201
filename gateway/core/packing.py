"""msgpack: the one encoder of the project, and the errors that decoders raise for bytes from outside."""

import msgspec

pack = msgspec.msgpack.Encoder().encode
"""Encode a value as msgpack. Raise UnicodeError for text that UTF-8 cannot hold: a lone surrogate."""

UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""A decoder of msgspec raises these, for msgpack and JSON alike: bad data, bad text, too deep."""
