"""A template says where variables go; what they hold never says anything about the text around them."""

import pytest

from gateway.core.errors import InvalidInput
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
        ("{a?}{b:int}{c?:soql}", ("a", "b", "c")),
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
        "{a?b}",
        "{a??}",
        "{?}",
        "{:int}",
        "{a:}",
        "{a:Int}",
        "{a:int?}",
        "{a:sql}",
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
        ("/{x:any}{y:any}", {"x": ".", "y": "."}),
        ("/{x:any}{y:any}", {"x": "a%2", "y": "f.."}),
        ("/{x:any}..", {"x": "a/"}),
        ("/{x:any}/{y}{z}", {"x": "a/b", "y": "%2", "z": "f"}),
        ("/.{x}", {"x": "."}),
        ("/%2e{x}", {"x": "."}),
        ("/%2E{x}", {"x": ""}),
        *(
            ("/f/{x:any}", {"x": value})
            for value in (
                "..",
                "../../admin",
                "a/../b",
                "..\\b",
                "a%2f..",
                "..;/x",
                "%2e%2e/a",
                "a/ ../b",
                "./a",
                "a/" * 512 + "a",
            )
        ),
        ("/f/{x}2{y}", {"x": "%", "y": "Fadmin"}),
        ("/f/{x}{y}", {"x": "%", "y": "2fadmin"}),
        ("/{x}{y}", {"x": "%2", "y": "f"}),
        *(
            ("/customers/{x}", {"x": value})
            for value in (
                *("lin/orders", "lin/../../admin/secret", "lin\\orders", "/", "a\0", "a\nb", "\x7f"),
                *("", " ", "%20", " ;x", "\u3000", "a" * 1025),
                *("lin%2Forders", "%2e%2e", "%2E", "a%5cb", "a%00", "..;x", ".;", "%2e.;x=1", "v%0a"),
            )
        ),
    ],
)
def test_a_value_that_would_lengthen_the_path_or_climb_is_an_error(text: str, values: dict[str, str]) -> None:
    """Many servers decode before they route: an encoded slash is then another page, with code 0."""
    with pytest.raises(InvalidInput, match=r"^[xy]"):
        fill_path(parse_template(text), values)


@pytest.mark.parametrize(
    ("text", "value", "path"),
    [
        ("/orders/{x}", "...", "/orders/%2E%2E%2E"),
        ("/orders/{x}", "v1.2", "/orders/v1.2"),
        ("/orders/{x}", "a;b", "/orders/a%3Bb"),
        ("/orders/{x:any}", "a/etc", "/orders/a%2Fetc"),
        ("/orders/{x:any}", "a\\b", "/orders/a%5Cb"),
        ("/orders/{x}", "100%", "/orders/100%25"),
        ("/accounts(number='{x:odata}')", "o'neil", "/accounts(number='o%27%27neil')"),
        ("/a%20b/c d/é/{x}", "1", "/a%20b/c%20d/%C3%A9/1"),
    ],
)
def test_other_values_are_one_segment(text: str, value: str, path: str) -> None:
    """Version numbers and file names have dots. Refusing them would refuse real users."""
    assert fill_path(parse_template(text), {"x": value}) == path


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("int", "7", "7"),
        ("int", "-7", "-7"),
        ("int", "+7", "7"),
        ("int", "007", "7"),
        ("int", " 7 ", "7"),
        ("int", "-0", "0"),
        ("int", "9223372036854775807", "9223372036854775807"),
        ("number", "29.90", "29.90"),
        ("number", "-1e-7", "-1e-7"),
        ("bool", "true", "true"),
        ("bool", "FALSE", "false"),
        ("bool", "1", "true"),
        ("bool", "0", "false"),
        ("json", '["a", "b"]', '["a", "b"]'),
        ("json", "19.90", "19.90"),
        ("soql", "O'Brien", r"O\'Brien"),
        ("soql", "x' OR Name != '", r"x\' OR Name != \'"),
        ("soql", "a\\' b\"\n", "a" + r"\\\' b\"\n"),
        ("soqllike", "50%_'", r"50\%\_\'"),
        ("odata", "x' or 1 eq 1 or '", "x'' or 1 eq 1 or ''"),
        ("graphql", 'a"b\\c\nd\x7f', r"a\"b\\c\nd" + r"\u007f"),
        ("any", "a/b", "a/b"),
        ("text", "a/b", "a/b"),
    ],
)
def test_each_kind_of_place_makes_its_text_of_a_value(kind: str, value: str, text: str) -> None:
    """A visitor's text stays a value in the language around it."""
    assert parse_template(f"<{{x:{kind}}}>").fill({"x": value}, str) == f"<{text}>"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(
            ("int", text)
            for text in ("7a", "", "7.0", "1e3", "0x7", "\uff11\uff12", "9223372036854775808", "1" * 9999)
        ),
        *(("number", text) for text in ("01", "+1", "1.", ".5", "NaN", "1e", " 1", "1" * 65, "\uff11")),
        *(("bool", text) for text in ("yes", "", "2", " true")),
        *(
            ("json", text)
            for text in ("", "{", "[1,]", "NaN", "{} {}", "[" * 10_000, '"' + "a" * 16_384 + '"')
        ),
        *(("soql", text) for text in ("\0", "\x1b", "\x7f")),
        *(("odata", text) for text in ("\n", "\0")),
    ],
)
def test_a_value_that_does_not_fit_its_kind_is_named_and_not_shown(kind: str, value: str) -> None:
    """Nobody is asked, and no log shows what a visitor typed."""
    with pytest.raises(InvalidInput) as caught:
        parse_template(f"{{orderId:{kind}}}").fill({"orderId": value}, str)
    assert str(caught.value) == "orderId"


def test_a_text_that_no_encoding_has_does_not_fit() -> None:
    """A lone surrogate, as some clients cut emoji."""
    for text in ("/{x}", "/a{x}"):
        with pytest.raises(InvalidInput, match=r"^x$"):
            fill_path(parse_template(text), {"x": "\ud83d"})


def test_a_template_knows_the_place_that_is_all_of_it() -> None:
    """There a number can be a number."""
    alone = parse_template("{a:int}").alone
    assert alone is not None
    assert (alone.name, alone.kind) == ("a", "int")
    assert [parse_template(text).alone for text in ("", "a", "{a}{b}", " {a}", "{a} ")] == [None] * 5


def test_a_text_is_left_out_without_the_value_of_an_optional_place() -> None:
    """Half of an entry would ask for something else."""
    template = parse_template("{a}-{b?}")
    assert [
        template.left_out(values) for values in ({"a": "1", "b": "2"}, {"a": "1", "b": ""}, {"a": "1"})
    ] == [*(False, True, True)]


@pytest.mark.parametrize(
    "text",
    [
        "Name LIKE '{x:soql}%'",
        "name like'a{x:soql}'",
        "n LIKE '{x:soqllike}'",
        "n LIKE '{y:soql} {x:soql}%'",
        "n LIKE '{y:int}%{x:soql}'",
    ],
)
def test_behind_like_the_wildcards_are_escaped_too(text: str) -> None:
    """A visitor who types a percent sign would find everybody."""
    assert r"\%" in parse_template(text).fill({"x": "%", "y": "1"}, str)
    assert r"\%" not in parse_template("a LIKE 'b' AND c = '{x:soql}'").fill({"x": "%"}, str)
