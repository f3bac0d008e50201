"""Whatever a backend sends becomes a value or one known error, and its numbers keep their text."""

import json

import jmespath
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.errors import BadBackendReply
from gateway.core.variables import as_text
from gateway.declared.lookup import Lookup, ReplyFormat
from gateway.lookups.decoding import decode
from gateway.lookups.reply import map_reply

numbers = st.from_regex(
    r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?", fullmatch=True
).filter(lambda text: text != "-0")
"""Every number of JSON but the whole number -0, which is 0."""

texts = st.text(st.characters(codec="utf-8"), max_size=5)
names = st.text("abc", min_size=1, max_size=2)
documents = st.recursive(
    numbers
    | texts.map(lambda text: json.dumps(text, ensure_ascii=False))
    | st.sampled_from(["null", "true"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
        | st.dictionaries(names, inner, max_size=3).map(
            lambda parts: "{" + ",".join(f'"{name}":{part}' for name, part in parts.items()) + "}"
        )
    ),
    max_leaves=8,
)
"""Compact JSON texts, as a backend writes them."""


def lookup(expression: str, reply: ReplyFormat = "json", charset: str | None = None) -> Lookup:
    """Return a lookup that reads one variable."""
    return Lookup("l", "crm", "1", (), {"v": jmespath.compile(expression)}, reply=reply, charset=charset)


@settings(deadline=None)
@given(numbers, st.sampled_from(["utf-8", "utf-16", "gbk"]))
@example("29.90", "utf-8")
@example("100.00", "utf-8")
@example("1E-7", "utf-8")
@example("19999999999999999.99", "utf-8")
@example("12345678901234567890123", "utf-8")
@example("1e400", "utf-8")
@example("-1e400", "utf-8")
@example("-0.0", "utf-8")
@example("0e5", "utf-8")
def test_a_number_arrives_as_it_was_written(number: str, charset: str) -> None:
    """A price is told as 29.90, and an order number of twenty digits has its last digit."""
    body = f'{{"a": [ {{"n": {number} , "m": 1.5}} ]}}'.encode(charset)
    content_type = f"application/json; charset={charset}"
    for expression in (
        *("a[0].n", "a[].n | [0]", "max_by(a, &m).n", "not_null(x, a[0].n)", "x || a[0].n", "a[-1].*|[0]"),
        *("sort_by(a, &n)[0].n", "max(a[].n)", "to_string(a[0].n)", "to_number(to_string(a[0].n))"),
    ):
        declared = lookup(expression)
        assert map_reply(declared, decode(declared, body, content_type)).variables == {"v": number}, (
            expression
        )
    for expression, text in (
        ("a", f'[{{"n":{number},"m":1.5}}]'),
        ("{x: a[0].n}", f'{{"x":{number}}}'),
        ("a[].[m, n]", f"[[1.5,{number}]]"),
        ("type(a[0].n)", "number"),
    ):
        declared = lookup(expression)
        assert map_reply(declared, decode(declared, body, content_type)).variables == {"v": text}, expression


@settings(deadline=None)
@given(documents)
def test_a_compact_reply_goes_out_as_it_came(document: str) -> None:
    """Its numbers, wherever they stand, are not written anew; neither are its letters."""
    value = decode(lookup("@"), document.encode(), "")
    written = as_text([value])
    assert json.loads(written, parse_float=str, parse_int=str) == [
        json.loads(document, parse_float=str, parse_int=str)
    ]


@settings(deadline=None)
@given(numbers, numbers)
def test_numbers_compare_as_json_readers_compare_them(one: str, other: str) -> None:
    """A condition reads the value, never the text: 29.90 is 29.9."""
    body = f'{{"a":{one},"b":{other}}}'.encode()
    plain = json.loads(body)
    for sign, expected in (
        ("==", plain["a"] == plain["b"]),
        ("<", plain["a"] < plain["b"]),
        (">=", plain["a"] >= plain["b"]),
    ):
        declared = lookup(f"a {sign} b")
        assert map_reply(declared, decode(declared, body, "")).variables["v"] == str(expected).lower()


@settings(deadline=None)
@given(
    st.binary(max_size=60)
    | documents.map(str.encode)
    | st.text(max_size=30).map(lambda text: text.encode("utf-16")),
    st.sampled_from(
        ["", "application/json", "text/html; charset=GBK", "text/xml; charset=utf-16", "a;charset=z"]
    ),
    st.sampled_from(["json", "xml", "text", "form"]),
    st.sampled_from([None, "gb18030", "utf_16", "cp1252"]),
)
def test_any_bytes_are_variables_or_a_bad_reply(
    body: bytes, content_type: str, reply: ReplyFormat, charset: str | None
) -> None:
    """Another exception would be a bug of ours in the log, and a code that points to us."""
    declared = lookup("@", reply, charset)
    try:
        value = decode(declared, body, content_type)
    except BadBackendReply:
        return
    assert map_reply(declared, value).variables["v"].encode() is not None


@settings(deadline=None)
@given(texts, st.sampled_from(["gb18030", "utf-16", "utf-8-sig", "utf-8"]))
def test_text_in_a_declared_charset_is_read_back(text: str, charset: str) -> None:
    """Whatever letters a name has."""
    body = json.dumps({"name": text}, ensure_ascii=False).encode(charset)
    declared = lookup("name", charset="gb18030" if charset == "gb18030" else None)
    assert decode(declared, body, "application/json") == {"name": text}
