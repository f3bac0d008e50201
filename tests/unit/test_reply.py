"""A body becomes a value, before the mapping."""

import pytest

from gateway.core.errors import NotJson
from gateway.lookups.reply import decode


@pytest.mark.parametrize(("body", "value"), [(b"{}", {}), (b"null", None), (b' [1, "\xc3\xa9"] ', [1, "é"])])
def test_json_is_decoded(body: bytes, value: object) -> None:
    """The reply may have any type: the expressions decide what it gives."""
    assert decode(body) == value


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b'"\xff"', b"[" * 100_000, b"{} {}"])
def test_body_that_is_no_json_is_asked_for_again(body: bytes) -> None:
    """A proxy's page, or a reply that was cut short: the next one may be well."""
    with pytest.raises(NotJson) as caught:
        decode(body)
    assert caught.value.transient
