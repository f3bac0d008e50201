"""A declared request becomes exactly the request that its author drew, whatever the inputs hold."""

import json

import msgspec
import pytest

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
        path="/orders/{id}",
        method="PUT",
        query={"a b": "{id}", "fixed": "1&2", "empty": ""},
        headers={"X-Id": "<{id}>"},
        json={"id": "{id}", "list": ["{id}", 1, True, 1.5], "{id}": {}},
    )
    filled = template.fill({"id": 'x/"?&\r\n'})
    assert filled.method == "PUT"
    assert filled.target == "/orders/x%2F%22%3F%26%0D%0A?a%20b=x%2F%22%3F%26%0D%0A&fixed=1%262&empty="
    assert filled.headers == {"X-Id": '<x/"?&%0D%0A>'}
    assert filled.body is not None
    value = 'x/"?&\r\n'
    assert json.loads(filled.body) == {"id": value, "list": [value, 1, True, 1.5], "{id}": {}}


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


def test_values_in_a_json_body_are_strings() -> None:
    """Variables are strings; whether ``7`` was meant as a number nobody can tell."""
    assert compiled(path="/", method="POST", json={"n": "{n}"}).fill({"n": "7"}).body == b'{"n":"7"}'


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
