"""Compressed bodies: what is unpacked is the whole of what was packed, or nothing."""

import gzip
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.compression import CODINGS, MOST_MEMBERS, unpack, unpack_beginning

Packer = Callable[[bytes], bytes]

REPEATED = st.builds(bytes.__mul__, st.binary(min_size=1, max_size=3), st.integers(0, 5000))
BODIES = st.binary(max_size=200) | REPEATED
ENOUGH = 20_000


def raw(body: bytes) -> bytes:
    """Return a body as deflate without its envelope, which some senders leave out."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


PACKERS = [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw)]


@pytest.mark.parametrize(("coding", "pack"), PACKERS)
@given(body=BODIES, cut=st.integers(1, 400))
def test_a_body_is_unpacked_whole_or_not_at_all(coding: str, pack: Packer, body: bytes, cut: int) -> None:
    """A text that was cut reads like one that was not."""
    packed = pack(body)
    assert unpack(packed, coding, ENOUGH) == body
    assert body.startswith(unpack_beginning(packed[:-cut], coding, ENOUGH))
    if short := packed[:-cut]:
        with pytest.raises(ValueError, match=coding):
            unpack(short, coding, ENOUGH)


@given(bodies=st.lists(BODIES, max_size=4), limit=st.integers(0, 3000))
def test_members_follow_one_another_within_the_limit(bodies: list[bytes], limit: int) -> None:
    """Over it comes one byte more, so that whoever asks sees it, and memory does not."""
    whole = b"".join(bodies)
    unpacked = unpack(b"".join(map(gzip.compress, bodies)), "gzip", limit)
    assert unpacked == whole[: limit + 1]


@given(coding=st.sampled_from(CODINGS), body=st.binary(min_size=1))
def test_any_bytes_are_unpacked_or_refused(coding: str, body: bytes) -> None:
    """Whatever a server calls gzip."""
    with suppress(ValueError):
        assert len(unpack(body, coding, 100)) <= 101
    assert len(unpack_beginning(body, coding, 10)) <= 10


def test_members_without_end_are_refused() -> None:
    """Each costs a copy of what follows: a body of a million of them would hold up the loop."""
    member = gzip.compress(b"")
    assert unpack(member * MOST_MEMBERS, "gzip", 10) == b""
    with pytest.raises(ValueError, match="members"):
        unpack(member * (MOST_MEMBERS + 1), "gzip", 10)
