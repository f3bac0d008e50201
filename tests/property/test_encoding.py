"""Users may type anything: the backend gets the question that the author of the template drew."""

from urllib.parse import parse_qsl, unquote, urlsplit

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from yarl import URL

from gateway.core.errors import InvalidInput
from gateway.declared.place import PLAIN
from gateway.declared.request import FilledRequest, RequestTable, compile_request
from gateway.declared.template import Template, encode_header, fill_path, fits_path, parse_template

BASE = "http://crm.example:8080/api"

nasty = st.text(st.sampled_from("/\\?#%&=+;:@.~ \r\n\t\0\"'<>{}[]|^`é客aF2\u202e\U0001f600"), max_size=8)
values = nasty | st.text(max_size=20)
literals = st.text(st.sampled_from("abc-._~!$&'()*+,;=:@ é"), min_size=1, max_size=4)
segments = st.lists(st.tuples(literals | st.just(""), values | st.none()), min_size=1, max_size=3)


def drawn(path: list[list[tuple[str, str | None]]]) -> tuple[Template, dict[str, str], list[str]]:
    """Return a path's template, its values by name, and what each of its segments says when decoded."""
    text, filled, said = "", {}, []
    for row, parts in enumerate(path):
        text += "/"
        said.append("")
        for column, (literal, value) in enumerate(parts):
            text += literal
            said[-1] += literal
            if value is not None:
                name = f"v{row}_{column}"
                text += f"{{{name}}}"
                filled[name] = value
                said[-1] += value
    return parse_template(text), filled, said


def template_slashes(path: list[list[tuple[str, str | None]]]) -> int:
    """Return the number of slashes that the author of a path wrote."""
    return len(path) + sum(literal.count("/") for row in path for literal, _ in row)


@settings(deadline=None)
@given(st.lists(segments, min_size=1, max_size=4))
@example([[("", "..%2f..")], [("", "%2e%2e")], [("", "..\\..")]])
@example([[("", "//evil.example")], [("@", "x")], [("", "\u2025")]])
def test_a_filled_path_has_the_segments_of_its_template(path: list[list[tuple[str, str | None]]]) -> None:
    """A value that opens a segment, a query or another host would ask somebody else's question."""
    template, filled, said = drawn(path)
    try:
        target = fill_path(template, filled)
    except InvalidInput:
        decoded = [unquote(value) for value in (*said, *filled.values())]
        risky = set("/\\\0\r\n\t\x7f") | {chr(code) for code in range(32)}
        texts = (*said, *filled.values(), *decoded)
        assert any(risky & set(text) or text.partition(";")[0].strip() in {"", ".", ".."} for text in texts)
        return
    assert not {".", ".."} & set(said)
    for text in (target, unquote(target), unquote(unquote(target))):
        assert text.count("/") == template_slashes(path)
    assert target.isascii()
    assert target.isprintable()
    assert not set(target) & set(" ?#\\")
    assert [unquote(segment, errors="strict") for segment in target.split("/")[1:]] == said
    split = urlsplit(BASE + target)
    assert (split.scheme, split.netloc, split.query, split.fragment) == ("http", "crm.example:8080", "", "")
    assert split.path == f"/api{target}"
    for url in (URL(BASE + target, encoded=True), URL(BASE + target)):
        assert (url.host, url.port, url.user, url.raw_query_string) == ("crm.example", 8080, None, "")
        assert url.raw_path.count("/") == 1 + target.count("/")
    assert URL(BASE + target, encoded=True).raw_path == f"/api{target}"


@settings(deadline=None)
@given(values)
def test_a_segments_value_comes_back_by_decoding_it(value: str) -> None:
    """The backend decodes once, and has what the user typed."""
    assume(fits_path(value))
    path = fill_path(parse_template("/orders/{x}/items"), {"x": value})
    assert unquote(path.removeprefix("/orders/").removesuffix("/items"), errors="strict") == value


@settings(deadline=None)
@given(st.sampled_from(["", "a", "%2e", ".", "-"]), values, values)
def test_no_segment_is_one_or_two_dots(literal: str, one: str, other: str) -> None:
    """Clients fold ``..`` before they send, servers after they decode; both would climb."""
    try:
        path = fill_path(parse_template(f"/a/{literal}{{one}}{{other}}/b"), {"one": one, "other": other})
    except InvalidInput:
        return
    assert path.count("/") == 3
    assert unquote(path.split("/")[2]) not in {".", ".."}
    assert URL(BASE + path).raw_path.count("/") == 4


def request(query: dict[str, str], headers: dict[str, str], filled: dict[str, str]) -> FilledRequest:
    """Return a filled request whose declaration has no fault."""
    faults: list[str] = []
    declared = RequestTable(path="/x", query=query, headers=headers)
    template = compile_request(declared, lambda place, message: faults.append(place + message))
    assert faults == []
    return template.fill(filled)


@settings(deadline=None)
@given(
    st.dictionaries(
        values.filter(lambda name: name and not {"{", "}"} & set(name)), values, min_size=1, max_size=4
    )
)
@example({"q": "a&admin=1", "admin": "0"})
def test_a_query_value_stays_one_value_of_one_name(query: dict[str, str]) -> None:
    """``a&admin=1`` is a strange order number, not a second name."""
    filled = {f"v{number}": value for number, value in enumerate(query.values())}
    declared = {name: f"<{{v{number}}}>" for number, name in enumerate(query)}
    target = request(declared, {}, filled).target
    path, mark, text = target.partition("?")
    assert (path, mark) == ("/x", "?")
    wanted = [(name, f"<{value}>") for name, value in query.items()]
    assert parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict") == wanted
    assert list(URL(BASE + target, encoded=True).query.items()) == wanted
    assert urlsplit(BASE + target).fragment == ""


@settings(deadline=None)
@given(values)
def test_a_header_value_is_one_line_that_decodes_to_the_value(value: str) -> None:
    """No value ends a header and begins another."""
    header = request({}, {"X-Value": "{v}"}, {"v": value}).headers["X-Value"]
    assert header == encode_header(value)
    assert header.isascii()
    assert header.isprintable()
    assert unquote(header, errors="strict") == value


@settings(deadline=None)
@given(st.text() | st.text(st.sampled_from("{}!:[]./ab "), max_size=12))
def test_any_text_is_a_template_or_a_value_error(text: str) -> None:
    """The configuration's reader turns a ValueError into a fault; every name in braces is then an input."""
    try:
        template = parse_template(text)
    except ValueError:
        return
    assert all(template.inputs)
    plain = [place for place in template.places if place.kind in PLAIN]
    if len(plain) == len(template.inputs):
        filled = template.fill(dict.fromkeys(template.inputs, "\0"), str)
        assert filled.count("\0") == text.count("\0") + len(plain)


@settings(deadline=None)
@given(st.text())
def test_a_literal_text_is_its_own_template(text: str) -> None:
    """Braces are the only characters with a meaning."""
    template = parse_template(text.replace("{", "{{").replace("}", "}}"))
    assert template.inputs == ()
    assert template.fill({}, str) == text
