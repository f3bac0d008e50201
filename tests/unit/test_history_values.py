"""What the history keeps of values."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.variables import as_json
from gateway.declared.mask import Mask
from gateway.declared.secrets import HIDDEN
from gateway.history.values import (
    LARGEST_READ,
    LONGEST_BODY,
    LONGEST_VALUE,
    hide_inputs,
    keep_body,
    keep_values,
)
from tests.property.test_mapping import json_values


def test_hidden_fields_of_json_are_hidden_and_numbers_keep_their_text() -> None:
    """A reply is kept as it was, but for these."""
    body = '{"total": 29.90, "big": 12345678901234567890, "people": [{"phone": "1", "name": "客"}]}'.encode()
    kept = keep_body(body, "application/json", Mask(names=["phone"]))
    assert (
        kept.text
        == f'{{"total":29.90,"big":12345678901234567890,"people":[{{"phone":"{HIDDEN}","name":"客"}}]}}'
    )
    assert not kept.cut


def test_hidden_inputs_are_hidden_in_what_is_no_json() -> None:
    """There, names cannot be told."""
    body = "<c><p>15551234</p><n>客户</n></c>".encode("gbk")
    inputs = {"phone": "15551234", "short": "1", "order": "1555"}
    mask = hide_inputs(Mask(["s3cret-key"], ["phone", "short"]), inputs)
    kept = keep_body(body, 'text/xml; charset="GBK"', mask)
    assert kept.text == f"<c><p>{HIDDEN}</p><n>客户</n></c>"
    assert keep_body(b"\xff s3cret-key", "", Mask(["s3cret-key"])).text == f"\ufffd {HIDDEN}"


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
        (rb'{"\u624b\u673a": "1555", "name": "Li', HIDDEN),
        (rb'{"data": "{\"\\u624b\\u673a\": \"1555', HIDDEN),
        (b"%E6%89%8B%E6%9C%BA=1555&x=1", HIDDEN),
        (b'{"Date of birth": "1990-01-01", "name": "Li', HIDDEN),
        ('{"phone": "1555"}'.encode("utf-16-le"), HIDDEN),
        ('{"手机": "1555"}'.encode("gbk"), HIDDEN),
    ],
)
def test_what_cannot_be_told_apart_is_hidden_as_a_whole(body: bytes, kept: str) -> None:
    """Half a reply, another charset, another format: a hidden name stands there, and somewhere its value."""
    charset = "; charset=utf-16" if body.startswith(b"\xff\xfe") else ""
    mask = Mask(names=["phone", "手机", "date of birth"])
    found = keep_body(body, f"application/json{charset}", mask)
    assert found == (kept, kept == HIDDEN)


@pytest.mark.parametrize(
    ("content_type", "charset", "codec"),
    [
        ("application/json", "gb18030", "gbk"),
        ("text/plain; charset = GBK; x=1", "", "gbk"),
        ("text/plain; charset=iso-8859-1", "", "utf-8"),
        ("text/plain; charset=gb2312", "", "gbk"),
        ("text/plain; charset=unheard-of", "", "utf-8"),
    ],
)
def test_names_are_looked_for_in_the_charset_of_the_backend(
    content_type: str, charset: str, codec: str
) -> None:
    """As lookups read the reply: else a name is not seen, and the digits behind it are kept."""
    body = "手机号=15551234".encode(codec)
    assert keep_body(body, content_type, Mask(names=["手机号"]), charset=charset).text == HIDDEN
    text = "客户=15551234"
    assert keep_body(text.encode(codec), content_type, Mask(names=["x"]), charset=charset).text == text


@pytest.mark.parametrize(
    ("encoding", "codec", "kept"),
    [("gbk", "gbk", "客户"), ("utf-16", "utf-8", "客户"), ("x-none", "utf-8", "客户")],
)
def test_xml_says_its_charset_itself(encoding: str, codec: str, kept: str) -> None:
    """But for UTF-16, of which these bytes are none."""
    body = f'<?xml version="1.0" encoding="{encoding}"?><n>客户</n>'.encode(codec)
    assert f"<n>{kept}</n>" in keep_body(body, "text/xml", Mask(names=["手机号"])).text


def test_latin_letters_are_read_where_they_are_meant() -> None:
    """Bytes that are no UTF-8 are what the header says."""
    kept = keep_body("Straße".encode("latin-1"), "text/plain; charset=iso-8859-1", Mask())
    assert kept.text == "Straße"


def test_hidden_inputs_are_hidden_wherever_a_reply_repeats_them() -> None:
    """Under another name, in a sentence, as a number, in an address: CRMs echo what they were asked for."""
    mask = hide_inputs(Mask(names=["phone"]), {"phone": "+4915551234", "orderId": "77"})
    body = b'{"msisdn": "+4915551234", "say": "call +4915551234!", "next": "/c?p=%2B4915551234", "id": "77"}'
    kept = keep_body(body, "application/json", mask)
    hidden = f'{{"msisdn":"{HIDDEN}","say":"call {HIDDEN}!","next":"/c?p={HIDDEN}","id":"77"}}'
    assert kept.text == hidden
    assert keep_body(b"m=%2b4915551234&a=1", "", mask).text == f"m={HIDDEN}&a=1"
    assert keep_values({"greeting": "Hello +4915551234"}, mask) == {"greeting": f"Hello {HIDDEN}"}
    number = hide_inputs(Mask(names=["phone"]), {"phone": "15551234"})
    assert keep_body(b'{"a": 15551234, "b": 29.90}', "", number).text == f'{{"a":"{HIDDEN}","b":29.90}}'


def test_a_hidden_name_counts_within_a_text_that_is_a_value() -> None:
    """Lists and objects become variables as JSON; some backends send JSON, XML and forms as texts."""
    mask = Mask(["s3cret-key"], ["phone"])
    values = {
        "customer": '{"phone": "1555", "name": "Lin"}',
        "people": '[{"phone": "1555"}, "s3cret-key"]',
        "plain": '{"total": 29.90}',
        "half": '{"phone": "1555',
        "xml": "<c><phone>1555</phone></c>",
        "other": "<c><name>Lin</name></c>",
        "form": "a=1&phone=1555",
        "link": "https://crm/next?page_token=abc&x=1",
        "challenge": 'Bearer realm="crm", error="invalid_token", access_token="ab c"',
        "said": "phone: the token is wrong, a = b",
    }
    assert keep_values(values, mask) == {
        "customer": f'{{"phone":"{HIDDEN}","name":"Lin"}}',
        "people": f'[{{"phone":"{HIDDEN}"}},"{HIDDEN}"]',
        "plain": '{"total": 29.90}',
        "half": HIDDEN,
        "xml": HIDDEN,
        "other": "<c><name>Lin</name></c>",
        "form": HIDDEN,
        "link": f"https://crm/next?page_token={HIDDEN}&x=1",
        "challenge": f'Bearer realm="crm", error="invalid_token", access_token={HIDDEN}',
        "said": "phone: the token is wrong, a = b",
    }
    nested = b'{"data": "{\\"phone\\": \\"1555\\"}", "ok": true}'
    assert keep_body(nested, "", mask).text == f'{{"data":"{{\\"phone\\":\\"{HIDDEN}\\"}}","ok":true}}'


def test_a_reply_that_was_cut_ends_with_no_half_of_a_secret() -> None:
    """It is no secret by its whole text any more."""
    mask = hide_inputs(Mask(["s3cret-key"], ["phone"]), {"phone": "客户15551234"})
    assert keep_body(b"wrong: s3cret-k", "", mask, whole=False).text == f"wrong: {HIDDEN}"
    cut = "who: 客户1555".encode()
    assert keep_body(cut, "", mask, whole=False).text == f"who: {HIDDEN}"
    assert keep_body("who: 客户".encode()[:-1], "", mask, whole=False).text == "who: 客"
    assert keep_body(b"wrong: s3cret-k", "", mask).text == "wrong: s3cret-k"


def test_long_values_and_replies_are_cut() -> None:
    """Redis holds so much of a session and no more."""
    assert len(keep_values({"a": "x" * 5000}, Mask())["a"]) == LONGEST_VALUE
    kept = keep_body(b'"' + b"x" * 20_000 + b'"', "application/json", Mask())
    assert (len(kept.text), kept.cut) == (LONGEST_BODY, True)
    assert keep_body(b"1" * (LARGEST_READ + 1), "", Mask()) == ("", True)
    huge = {"read": "1" * LARGEST_READ, "hidden": "1" * (LARGEST_READ + 1)}
    assert keep_values(huge, Mask()) == {"read": "1" * LONGEST_VALUE, "hidden": HIDDEN}


@pytest.mark.parametrize("start", ["{", "=", "<"])
def test_a_long_row_of_backslashes_is_looked_through_once(start: str) -> None:
    """A visitor can type one. Looked through from each of its signs, it would take minutes."""
    value = start + "\\" * 500_000 + r" \u0070hone=1555"
    assert Mask(names=["phone"]).named({"v": value}) == {"v": HIDDEN}


@given(st.binary(max_size=200))
def test_any_bytes_are_kept_as_text(body: bytes) -> None:
    """A reply may be anything."""
    msgspec.json.encode(keep_body(body, "", Mask(["s3cret-key"], ["手机"])).text)


@given(json_values)
def test_a_value_is_kept_as_it_is(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """What is hidden has a secret's name, and nothing here has."""
    text = as_json(value)
    kept = keep_body(text.encode(), "application/json", Mask())
    assert kept.cut or HIDDEN in kept.text or msgspec.json.decode(kept.text) == value
