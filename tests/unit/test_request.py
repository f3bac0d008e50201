"""A declared request becomes exactly the request that its author drew, whatever the inputs hold."""

import json
from xml.etree import ElementTree as ET

import msgspec
import pytest

from gateway.core.errors import InvalidInput
from gateway.declared.request import RequestTable, RequestTemplate, compile_request


def compiled(**declared: object) -> RequestTemplate:
    """Return the template of a declared request without faults."""
    faults: list[str] = []
    template = compile_request(
        msgspec.convert(declared, RequestTable), lambda place, message: faults.append(f"{place}: {message}")
    )
    assert faults == []
    return template


def faults_of(**declared: object) -> list[str]:
    """Return the places of the faults of a declared request."""
    places: list[str] = []
    compile_request(msgspec.convert(declared, RequestTable), lambda place, _: places.append(place))
    return sorted(places)


def test_every_place_of_a_request_is_an_input() -> None:
    """Path, query, headers and body: a place that is no input would leave the answer's record too broad."""
    template = compiled(
        path="/{a}",
        method="POST",
        query={"q": "{b}"},
        headers={"X-H": "{c}"},
        json={"k": ["{d}", {"deep": "{e}"}], "n": 1},
    )
    assert set(template.inputs) == {"a", "b", "c", "d", "e"}


def test_a_filled_request_has_its_values_where_they_belong() -> None:
    """The whole of it once, with values that would break a naive one."""
    template = compiled(
        path="/orders/{id:any}",
        method="PUT",
        query={"a b": "{id}", "fixed": "1&2", "empty": ""},
        headers={"X-Id": "<{id}>"},
        json={"id": "{id}", "list": ["{id}", 1, True, 1.5], "k{id}": {}},
    )
    filled = template.fill({"id": 'x/"?&\r\n'})
    assert filled.method == "PUT"
    assert filled.target == "/orders/x%2F%22%3F%26%0D%0A?a%20b=x%2F%22%3F%26%0D%0A&fixed=1%262&empty="
    assert filled.headers == {"X-Id": '<x/"?&%0D%0A>'}
    assert filled.body is not None
    value = 'x/"?&\r\n'
    assert json.loads(filled.body) == {"id": value, "list": [value, 1, True, 1.5], f"k{value}": {}}


def test_a_request_without_query_and_json_has_neither() -> None:
    """No lone question mark, and no body that a GET should not have."""
    filled = compiled(path="/orders").fill({})
    assert (filled.method, filled.target, filled.headers, filled.body) == ("GET", "/orders", {}, None)


@pytest.mark.parametrize("value", [False, 0, "", [], {}])
def test_an_empty_json_value_is_still_a_body(value: object) -> None:
    """``json = []`` asks for a body of ``[]``; only a missing ``json`` asks for none."""
    body = compiled(path="/", method="POST", json=value).fill({}).body
    assert body is not None
    assert json.loads(body) == value


def body_of(values: dict[str, str], **declared: object) -> str:
    """Return the body of a filled request."""
    body = compiled(path="/", method="POST", **declared).fill(values).body
    assert body is not None
    return body.decode()


def test_values_in_a_json_body_are_strings_unless_their_place_has_a_kind() -> None:
    """Variables are strings; only the author knows whether ``7`` is a number."""
    values = {"n": "7", "x": "29.90", "b": "true", "j": '["a", {"b": 1.0}]'}
    assert body_of(values, json={"n": "{n}", "t": "n{n:int}"}) == '{"n":"7","t":"n7"}'
    assert body_of(values, json=["{n:int}", "{x:number}", "{b:bool}", "{j:json}"]) == (
        '[7,29.90,true,["a", {"b": 1.0}]]'
    )


def test_what_holds_an_optional_place_without_a_value_is_left_out() -> None:
    """A query entry, a header, a key, an item; not half of it."""
    declared: dict[str, object] = {
        "method": "POST",
        "query": {"phone": "{phone}", "email": "{email?}", "both": "{phone}-{email?}"},
        "headers": {"X-Mail": "<{email?}>", "X-Phone": "{phone}"},
        "json": {"phone": "{phone}", "email": "{email?}", "list": ["{email?}", {"n": "{count?:int}"}]},
    }
    template = compiled(path="/", **declared)
    assert set(template.inputs) == {"phone", "email", "count"}
    assert set(template.optional) == {"email", "count"}
    filled = template.fill({"phone": "1", "email": "", "count": ""})
    assert (filled.target, filled.headers) == ("/?phone=1", {"X-Phone": "1"})
    assert filled.body == b'{"phone":"1","list":[{}]}'
    filled = template.fill({"phone": "1", "email": "a@b", "count": "2"})
    assert filled.target == "/?phone=1&email=a%40b&both=1-a%40b"
    assert filled.body == b'{"phone":"1","email":"a@b","list":["a@b",{"n":2}]}'
    assert compiled(path="/", query={"q": "{a?}"}).fill({"a": ""}).target == "/"


def test_a_place_that_is_needed_elsewhere_is_not_optional() -> None:
    """One of them would have nothing to say."""
    assert compiled(path="/{a}", query={"q": "{a?}"}).optional == set()


def test_a_key_of_a_json_body_is_filled() -> None:
    """Some APIs search by a field whose name comes from the flow. Two equal keys would hide one value."""
    declared = {"{field}": "{value}", "fixed": 1}
    assert body_of({"field": "phone", "value": "1"}, json=declared) == '{"phone":"1","fixed":1}'
    template = compiled(path="/", method="POST", json=declared)
    with pytest.raises(InvalidInput):
        template.fill({"field": "fixed", "value": "1"})
    assert template.refuses({"field": "fixed", "value": "1"}) == "fixed"
    assert template.refuses({"field": "phone", "value": "1"}) is None


def test_a_form_is_encoded_whole() -> None:
    """As a query is."""
    request = compiled(path="/", method="POST", form={"a b": "{x}", "c": "{y?}"}).fill(
        {"x": "1&c=2", "y": ""}
    )
    assert (request.body, request.content_type) == (b"a%20b=1%26c%3D2", "application/x-www-form-urlencoded")


SOAP = '<order id="{id}"><name>{name}</name></order>'


@pytest.mark.parametrize("content_type", ["text/xml; charset=utf-8", "application/soap+xml", "TEXT/XML"])
def test_a_text_in_xml_escapes_by_itself(content_type: str) -> None:
    """In an attribute and between tags; a character that XML cannot hold is refused."""
    declared: dict[str, object] = {"body": SOAP, "content_type": content_type}
    values = {"id": '7" admin="1', "name": "</name><x>&\r\n'"}
    text = body_of(values, **declared)
    parsed = ET.fromstring(text)  # noqa: S314 - our own text
    assert (parsed.get("id"), parsed.findtext("name"), len(parsed)) == (values["id"], values["name"], 1)
    template = compiled(path="/", method="POST", **declared)
    assert template.content_type == content_type
    assert template.refuses({"id": "1", "name": "a\0"}) == "name"
    assert template.refuses({"id": "\ufffe", "name": "a"}) == "id"


def test_a_text_in_json_escapes_by_itself_but_for_json() -> None:
    """A text template is for those who have the body as a text."""
    text = '{{"q": "x{q}", "n": {n:int}, "j": {j:json}}}'
    values = {"q": '"}\n', "n": "7", "j": '["a"]'}
    body = body_of(values, body=text, content_type="application/vnd.api+json; charset=utf-8")
    assert json.loads(body) == {"q": 'x"}\n', "n": 7, "j": ["a"]}


def test_another_text_is_as_it_is() -> None:
    """Its author escapes by kinds; ``check`` warns of places without."""
    assert body_of({"q": "'"}, body="'{q:odata}'{q}", content_type="text/plain") == "'" * 5


@pytest.mark.parametrize(
    ("declared", "places"),
    [
        ({"path": "orders"}, ["path"]),
        ({"path": "{url}"}, ["path"]),
        ({"path": "https://elsewhere/"}, ["path"]),
        ({"path": ""}, ["path"]),
        ({"path": "/a?b=c"}, ["path"]),
        ({"path": "/a#b"}, ["path"]),
        ({"path": "/{"}, ["path"]),
        ({"path": "x?{"}, ["path", "path", "path"]),
        ({"path": "/", "json": {"a": 1}}, ["json"]),
        ({"path": "/", "query": {"q": "{"}, "headers": {"H": "}"}}, ["headers.H", "query.q"]),
        ({"path": "/", "method": "POST", "json": {"a": [{"b": "{}"}]}}, ["json.a[0].b"]),
        ({"path": "/", "method": "POST", "json": {"{": 1}}, ["json"]),
        ({"path": "/{a?}"}, ["path"]),
        ({"path": "/", "method": "POST", "json": "{x?}"}, ["json"]),
        ({"path": "/", "query": {"a{x}": "1"}}, ["query.a{x}"]),
        ({"path": "/", "method": "POST", "form": {"}": "1"}}, ["form.}"]),
        *(
            ({"path": "/", "method": "POST", "body": "x", "content_type": kind}, ["content_type"])
            for kind in ("xml", "text/xml; charset=gbk", "", "/")
        ),
        (
            *(
                {
                    "path": "/",
                    "method": "POST",
                    "body": "x",
                    "content_type": "text/plain",
                    "headers": {"content-type": "x/y"},
                },
            ),
            ["headers"],
        ),
        ({"path": "/%25{a}"}, ["path"]),
        ({"path": "/%252{a}"}, ["path"]),
        ({"path": "/", "query": {"q": "Id = {a:soql}"}}, ["query.q"]),
        ({"path": "/", "query": {"q": "a = 'b' and c = {a:odata}"}}, ["query.q"]),
        ({"path": "/", "method": "POST", "json": {"query": "{{ a(b: '{a:graphql}') }}"}}, ["json.query"]),
        (  # a quote at the end of a value would make the end of a block string a part of it
            {"path": "/", "method": "POST", "json": {"query": '{{ a(b: """{a:graphql}""") }}'}},
            ["json.query"],
        ),
        *(
            ({"path": "/", "method": "POST", "content_type": "text/xml", "body": body}, ["body"])
            for body in (
                "<{a}/>",
                "<b {a}/>",
                "<b c={a}/>",
                "<![CDATA[{a}]]>",
                "<!-- {a} -->",
                "<b c='d'{a}>",
            )
        ),
        *(
            ({"path": "/", "method": "POST", "content_type": "application/json", "body": body}, ["body"])
            for body in ('{{"a": {a}}}', '{{"a": "{a:int}"}}', '{{"a": "b\\\\"", "c": {a}}}')
        ),
        ({"path": "/", "method": "POST", "json": [{"{a?}": 1}]}, ["json"]),
        ({"path": "/{a:what}"}, ["path"]),
        ({"path": "/", "query": {"q": "x{a:json}"}}, ["query.q"]),
        ({"path": "/", "form": {}}, ["form"]),
        ({"path": "/", "method": "POST", "form": {"a": "{"}}, ["form.a"]),
        ({"path": "/", "method": "POST", "json": 1, "form": {}}, ["form"]),
        ({"path": "/", "method": "POST", "json": 1, "body": "", "content_type": "text/x"}, ["body"]),
        ({"path": "/", "method": "POST", "body": "x"}, ["content_type"]),
        ({"path": "/", "method": "POST", "json": 1, "content_type": "text/x"}, ["content_type"]),
        ({"path": "/", "method": "POST", "body": "{a?}", "content_type": "text/x"}, ["body"]),
        ({"path": "/", "method": "POST", "body": "x", "content_type": "a\nb"}, ["content_type"]),
    ],
)
def test_each_fault_of_a_request_has_its_place(declared: dict[str, object], places: list[str]) -> None:
    """A path that does not begin with a slash would become part of the host's name."""
    assert faults_of(**declared) == places


@pytest.mark.parametrize("path", ["/a/../b", "/./a", "/a/%2e%2E"])
def test_a_path_that_can_never_be_filled_is_a_fault(path: str) -> None:
    """``check`` says ok, and then every call fails for *an input* that is not there."""
    assert faults_of(path=path) == ["path"]


@pytest.mark.parametrize("path", ["/100%", "/%zz", "/%{x}", "/a%2{x}"])
def test_a_stray_percent_sign_is_a_fault(path: str) -> None:
    """RFC 3986, 2.1: ``%`` and two hex digits; with a place behind it the value would finish the escape."""
    assert faults_of(path=path) == ["path"]


@pytest.mark.parametrize(
    "headers",
    [{"X-Key": "abc\n"}, {"X-Key": "a\r\nX: y"}, {"X Key": "a"}, {"X:": "a"}, {"": "a"}, {"X\n": "a"}],
)
def test_a_header_that_cannot_be_sent_is_a_fault(headers: dict[str, str]) -> None:
    """A token from a file often ends in a line break; every call would fail as LOOKUP_FAILED."""
    assert len(faults_of(path="/", headers=headers)) == 1
