"""What the history keeps of values."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.variables import as_json
from gateway.declared.mask import HIDDEN, Mask
from gateway.history.values import LARGEST_READ, LONGEST_BODY, LONGEST_VALUE, keep_body, keep_values
from tests.property.test_mapping import json_values


def test_hidden_fields_of_json_are_hidden_and_numbers_keep_their_text() -> None:
    """A reply is kept as it was, but for these."""
    body = '{"total": 29.90, "big": 12345678901234567890, "people": [{"phone": "1", "name": "客"}]}'.encode()
    kept = keep_body(body, "application/json", Mask(names=["phone"]), {})
    assert (
        kept.text
        == f'{{"total":29.90,"big":12345678901234567890,"people":[{{"phone":"{HIDDEN}","name":"客"}}]}}'
    )
    assert not kept.cut


def test_hidden_inputs_are_hidden_in_what_is_no_json() -> None:
    """There, names cannot be told."""
    body = "<c><p>15551234</p><n>客户</n></c>".encode("gbk")
    inputs = {"phone": "15551234", "short": "1", "order": "1555"}
    kept = keep_body(body, 'text/xml; charset="GBK"', Mask(["s3cret-key"], ["phone", "short"]), inputs)
    assert kept.text == f"<c><p>{HIDDEN}</p><n>客户</n></c>"
    assert keep_body(b"\xff s3cret-key", "", Mask(["s3cret-key"]), {}).text == f"\ufffd {HIDDEN}"


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"name": "Lin", "phone": "1555', HIDDEN),
        ('\ufeff{"phone": "1555"}'.encode(), HIDDEN),
        ('{"phone": "1555"}'.encode("utf-16"), HIDDEN),
        (b"<m:Phone type='x'>1555</m:Phone>", HIDDEN),
        (b"phone=1555&x=1", HIDDEN),
        (b"access_token=abc&x=1", HIDDEN),
        (b'<html>"password" : "abc', HIDDEN),
        (b"invalid token, or session over", "invalid token, or session over"),
        (b"telephone 1555", "telephone 1555"),
    ],
)
def test_what_cannot_be_told_apart_is_hidden_as_a_whole(body: bytes, kept: str) -> None:
    """Half a reply, another charset, another format: a hidden name stands there, and somewhere its value."""
    charset = "; charset=utf-16" if body.startswith(b"\xff\xfe") else ""
    found = keep_body(body, f"application/json{charset}", Mask(names=["phone"]), {})
    assert found == (kept, kept == HIDDEN)


def test_long_values_and_replies_are_cut() -> None:
    """Redis holds so much of a session and no more."""
    assert len(keep_values({"a": "x" * 5000}, Mask())["a"]) == LONGEST_VALUE
    kept = keep_body(b'"' + b"x" * 20_000 + b'"', "application/json", Mask(), {})
    assert (len(kept.text), kept.cut) == (LONGEST_BODY, True)
    assert keep_body(b"1" * (LARGEST_READ + 1), "", Mask(), {}) == ("", True)


@given(st.binary(max_size=200))
def test_any_bytes_are_kept_as_text(body: bytes) -> None:
    """A reply may be anything."""
    msgspec.json.encode(keep_body(body, "", Mask(["s3cret-key"]), {"phone": "123"}).text)


@given(json_values)
def test_a_value_is_kept_as_it_is(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """What is hidden has a secret's name, and nothing here has."""
    text = as_json(value)
    kept = keep_body(text.encode(), "application/json", Mask(), {})
    assert kept.cut or HIDDEN in kept.text or msgspec.json.decode(kept.text) == value
