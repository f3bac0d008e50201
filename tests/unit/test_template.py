"""A template says where variables go; what they hold never says anything about the text around them."""

import pytest

from gateway.declared.template import encode_header, encode_segment, fill_path, parse_template


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ("/orders", ()),
        ("", ()),
        ("/orders/{orderId}", ("orderId",)),
        ("{a}-{b}/{a}", ("a", "b", "a")),
        ("/{{literal}}/{x}", ("x",)),
        ("{Größe}{客户}{a.b}{a-b}{0}", ("Größe", "客户", "a.b", "a-b", "0")),
    ],
)
def test_a_template_reads_the_variables_in_its_braces(text: str, inputs: tuple[str, ...]) -> None:
    """They become the lookup's inputs: one overlooked, and a record answers for another order."""
    assert parse_template(text).inputs == inputs


def test_a_template_shows_its_places_alone() -> None:
    """Its literals may come from the environment, and it may stand in a traceback."""
    assert repr(parse_template("/s3cret/{a}")) == "Template(inputs=('a',))"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "}",
        "{a",
        "a}",
        "{}",
        "{ }",
        "{a b}",
        "{a!r}",
        "{a:>9}",
        "{a[0]}",
        "{a[b]}",
        "{{a}",
        "{a}}",
        "{a{b}}",
    ],
)
def test_what_is_no_template_is_an_error(text: str) -> None:
    """Python's own format language reaches into objects; none of it works here."""
    with pytest.raises(ValueError, match=r"\S"):
        parse_template(text)


def test_doubled_braces_are_braces() -> None:
    """A backend's path may hold them."""
    assert parse_template("/{{id}}/{id}").fill({"id": "7"}, str) == "/{id}/7"


def test_an_absent_value_is_a_key_error() -> None:
    """An empty text in its place would ask another question."""
    with pytest.raises(KeyError, match="orderId"):
        parse_template("/orders/{orderId}").fill({}, str)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("A-1_b~c", "A-1_b~c"),
        ("a/b", "a%2Fb"),
        ("a?b#c&d=e;f", "a%3Fb%23c%26d%3De%3Bf"),
        ("100%", "100%25"),
        ("%2F", "%252F"),
        ("a b+c", "a%20b%2Bc"),
        ("Zoë 客", "Zo%C3%AB%20%E5%AE%A2"),
        ("\\\r\n\0", "%5C%0D%0A%00"),
        ("..", "%2E%2E"),
        ("v1.2", "v1.2"),
    ],
)
def test_a_value_is_percent_encoded_whole(value: str, encoded: str) -> None:
    """A user types it; the backend must read it as one value."""
    assert encode_segment(value) == encoded


@pytest.mark.parametrize(
    ("value", "encoded"),
    [("a b/c?", "a b/c?"), ("a\r\nX: y", "a%0D%0AX: y"), ("é", "%C3%A9"), ("5%", "5%25")],
)
def test_a_header_holds_no_line_break_and_no_byte_outside_ascii(value: str, encoded: str) -> None:
    """A line break in a value would write a header of its own."""
    assert encode_header(value) == encoded


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("/orders/{x}", {"x": ".."}),
        ("/orders/{x}", {"x": "."}),
        ("/orders/{x}/items", {"x": ".."}),
        ("/{x}{y}", {"x": ".", "y": "."}),
        ("/.{x}", {"x": "."}),
        ("/%2e{x}", {"x": "."}),
        ("/%2E{x}", {"x": ""}),
    ],
)
def test_a_value_that_would_climb_in_the_path_is_an_error(text: str, values: dict[str, str]) -> None:
    """``/orders/..`` is another page, with or without percent-encoding: no encoding makes it safe."""
    with pytest.raises(ValueError, match="climb"):
        fill_path(parse_template(text), values)


@pytest.mark.parametrize(
    ("text", "value", "path"),
    [
        ("/orders/{x}", "...", "/orders/%2E%2E%2E"),
        ("/orders/v{x}", "..", "/orders/v%2E%2E"),
        ("/orders/{x}", "..;a", "/orders/..%3Ba"),
        ("/orders/{x}", "../etc", "/orders/..%2Fetc"),
        ("/orders/{x}", "", "/orders/"),
        ("/a%20b/c d/é/{x}", "1", "/a%20b/c%20d/%C3%A9/1"),
    ],
)
def test_dots_inside_a_longer_segment_are_a_value_like_any_other(text: str, value: str, path: str) -> None:
    """Version numbers and file names have dots; refusing them would refuse real users."""
    assert fill_path(parse_template(text), {"x": value}) == path
