"""Compressed bodies (RFC 9110, 8.4.1): unpacked within a limit, and only if they are whole. Pure."""

import zlib

MOST_MEMBERS = 1000
"""Most members of one body: each of them costs a copy of what follows it."""

_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}

CODINGS = tuple(_WINDOW_BITS)
"""The codings that are unpacked, as a ``Content-Encoding`` names them."""


def unpack(body: bytes, coding: str, limit: int) -> bytes:
    """Return a body without one of the CODINGS; of one that is over ``limit``, one byte more than that.

    Raise ValueError, with the reason for people, if it is of another coding or not whole.
    """
    unpacked = bytearray()
    members = 0
    while body:  # gzip may have several members (RFC 1952, 2.2)
        members += 1
        unpacker = _unpacker(body, coding)
        try:
            unpacked += unpacker.decompress(body, limit + 1 - len(unpacked))
        except zlib.error:
            msg = f"the body is not {coding}"
            raise ValueError(msg) from None
        if len(unpacked) > limit:
            break
        if not unpacker.eof:
            msg = f"the body is not whole {coding}"
            raise ValueError(msg)
        if members == MOST_MEMBERS and unpacker.unused_data:
            msg = f"the body has over {MOST_MEMBERS} members of {coding}"
            raise ValueError(msg)
        body = unpacker.unused_data
    return bytes(unpacked)


def unpack_beginning(body: bytes, coding: str, limit: int) -> bytes:
    """Return what can be read at the beginning of a body that need not be whole, at most ``limit`` bytes."""
    try:
        return _unpacker(body, coding).decompress(body, limit)
    except zlib.error:
        return b""


def _unpacker(body: bytes, coding: str) -> "zlib._Decompress":
    bits = _WINDOW_BITS[coding]
    if coding == "deflate" and body and body[0] & 0x0F != zlib.DEFLATED:
        bits = -zlib.MAX_WBITS  # without zlib's envelope, as some send it (RFC 9110, 8.4.1.2)
    return zlib.decompressobj(bits)
