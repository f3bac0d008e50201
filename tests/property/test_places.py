"""A value of a place is one value in the language around it, whatever a visitor types."""

import json
import re
from collections.abc import Callable
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET

import pytest
from graphql import parse
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.errors import InvalidInput
from gateway.declared.request import FilledRequest, RequestTable, compile_request

nasty = st.text(
    st.sampled_from("'\"\\/{}()<>&;=%#$*^|, \r\n\t\0\x1b\x7fabORn1é客\u2028\U0001f600"), max_size=12
)
values = nasty | st.text(max_size=20)


def filled(values: dict[str, str], **declared: object) -> FilledRequest | None:
    """Return a filled request, None if a value is refused; its name is told then, and nothing of its text."""
    table = RequestTable(path="/x", **declared)  # type: ignore[arg-type]
    template = compile_request(table, lambda place, message: pytest.fail(f"{place}: {message}"))
    name = template.refuses(values)
    if name is None:
        return template.fill(values)
    assert name in values
    with pytest.raises(InvalidInput, match=f"^{name}$"):
        template.fill(values)
    return None


def query_of(request: FilledRequest) -> str:
    """Return the value of the one query entry."""
    ((_, value),) = parse_qsl(request.target.partition("?")[2], keep_blank_values=True, strict_parsing=True)
    return value


def soql_strings(text: str) -> list[str]:
    """Return the string literals of a SOQL text: backslash escapes (Salesforce, "Quoted String Escapes")."""
    escapes = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
    strings = re.findall(r"'((?:\\.|[^'\\])*)'", text, re.DOTALL)
    assert re.sub(r"'(?:\\.|[^'\\])*'", "?", text, flags=re.DOTALL).count("'") == 0
    return [re.sub(r"\\(.)", lambda found: escapes.get(found[1], found[1]), one) for one in strings]


def odata_strings(text: str) -> list[str]:
    """Return the string literals of an OData text: quotes are doubled (OData 4.01 ABNF)."""
    strings = re.findall(r"'((?:''|[^'])*)'", text, re.DOTALL)
    assert re.sub(r"'(?:''|[^'])*'", "?", text, flags=re.DOTALL).count("'") == 0
    return [one.replace("''", "'") for one in strings]


def graphql_strings(text: str) -> list[str]:
    """Return the argument of the one field, as a GraphQL server reads it."""
    (selection,) = parse(text).to_dict()["definitions"][0]["selection_set"]["selections"]
    return [argument["value"]["value"] for argument in selection["arguments"]]


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ("SELECT a FROM b WHERE c = '{v:soql}' AND d = '{w:soql}'", soql_strings),
        ("a eq '{v:odata}' and b eq '{w:odata}'", odata_strings),
        ('{{ a(b: "{v:graphql}", c: "{w:graphql}") {{ d }} }}', graphql_strings),
    ],
    ids=["soql", "odata", "graphql"],
)
@given(values, values)
@example("x' OR Name != '", "O'Brien")
@example("\\", "' or 1 eq 1 or '")
@example('\\"', '") { secret } #')
def test_an_escaped_value_is_one_string_of_its_language(
    text: str, strings: Callable[[str], list[str]], v: str, w: str
) -> None:
    """The parsed query differs from the template's in these two values alone."""
    request = filled({"v": v, "w": w}, query={"q": text})
    if request is not None:
        assert strings(query_of(request)) == [v, w]


@given(values, values)
@example("</a><admin/>", "' x='")
def test_a_value_in_xml_is_a_text_or_an_attribute(v: str, w: str) -> None:
    """Line breaks and tabs come back, too."""
    body = "<?xml version='1.0'?><a b='{v}' c=\"{v}\"><d>{w}</d></a>"
    request = filled({"v": v, "w": w}, method="POST", body=body, content_type="application/xml")
    if request is not None:
        root = ET.fromstring(request.body or b"")  # noqa: S314 - our own text
        assert (root.attrib, [(one.tag, one.text or "") for one in root]) == ({"b": v, "c": v}, [("d", w)])


@given(values, values)
def test_a_value_in_json_is_a_text_or_a_key(v: str, w: str) -> None:
    """In a declared object, and in a text that is JSON."""
    values = {"v": v, "w": w}
    request = filled(values, method="POST", json={"k{v}": ["<{w}>"], "n": 1})
    assert request is not None
    assert json.loads(request.body or b"") == {f"k{v}": [f"<{w}>"], "n": 1}
    request = filled(values, method="POST", body='{{"a": "{v}", "{w}": 1}}', content_type="application/json")
    assert request is not None
    assert json.loads(request.body or b"", object_pairs_hook=list) == [("a", v), (w, 1)]


@given(values, values)
def test_a_value_in_a_form_is_one_value(v: str, w: str) -> None:
    """``a&b=1`` is a strange text, not a second field."""
    request = filled({"v": v, "w": w}, method="POST", form={"a": "{v}", "b": "<{w}>"})
    assert request is not None
    text = (request.body or b"").decode()
    assert parse_qsl(text, keep_blank_values=True, strict_parsing=True) == [("a", v), ("b", f"<{w}>")]


@given(st.integers() | st.text(max_size=8), st.floats() | st.text(max_size=8))
def test_a_typed_value_is_that_value_or_refused(whole: object, number: object) -> None:
    """Never a text in a number's place, and never another number."""
    texts = {"i": str(whole), "n": str(number)}
    request = filled(texts, method="POST", json=["{i:int}", "{n:number}"])
    if request is not None:
        i, n = json.loads(request.body or b"", parse_float=str, parse_int=str)
        assert (int(i), n) == (int(texts["i"]), texts["n"])


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_a_json_value_is_sent_as_it_is(value: object) -> None:
    """A list that the flow made stays a list."""
    text = json.dumps(value)
    request = filled({"j": text}, method="POST", json={"a": "{j:json}"})
    assert request is not None
    assert json.loads(request.body or b"") == {"a": value}
