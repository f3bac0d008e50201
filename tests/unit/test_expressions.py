"""Expressions are judged by ``check``: calls that can only fail, and warnings of what is hardly meant."""

import pytest

from gateway.declared.catalog import compile_catalog, read
from gateway.declared.expression import compile_expression, compile_mapping
from gateway.declared.reading import ConfigFaults, Fault, Secret
from tests.variants import varied

WHOLE = """
[backends.crm]
url = "http://crm"
[lookups.order]
backend = "crm"
request = { path = "/o" }
variables = { status = "status" }
"""


def judged(text: str) -> tuple[list[str], list[str]]:
    """Return the faults and the warnings of a variable's expression."""
    faults: list[str] = []
    warnings: list[str] = []
    compile_mapping(text, faults.append, warnings.append)
    return faults, warnings


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        *(
            ("code == 0", "`0`"),
            ("code==-1", "`-1`"),
            ("[?price > 29.90].name", "`29.90`"),
            ("0 == code", "`0`"),
        ),
        *(("a != 40001 && b", "`40001`"), ("items[?n <= 5]", "`5`")),
    ],
)
def test_a_comparison_with_a_bare_number_is_explained(expression: str, shown: str) -> None:
    """JMESPath's own words are "invalid token", and no hint at what to write."""
    ((fault,), warnings) = judged(expression)
    assert "; write a number in backquotes, in a rule also when = { field = " in fault
    assert fault.endswith(f": {shown}")
    assert warnings == []


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        (
            "$.total.amount",
            "; a path begins with the name of a field: write `total.amount` for $.total.amount",
        ),
        ("total-amount", "; a name with a hyphen stands in double quotes: '\"order-status\"'"),
        ("errcode = 'x'", "; to compare, write =="),
        ("items.0.name", "; write an element of a list as `items[0].name`"),
        (
            "items.[0].name",
            "; write an element of a list as `items[0].name`, without a dot before the bracket",
        ),
        ("date(born, 1)", "; write a number in backquotes: `1`"),
        ("split(1, name)", "; write a number in backquotes: `1`"),
        ("a b", '"b" (UNQUOTED_IDENTIFIER)'),
        ("a[1 2]", '"2" (NUMBER)'),
    ],
)
def test_a_usual_slip_gets_what_to_write(expression: str, hint: str) -> None:
    """JSONPath, a hyphen, one `=`: JMESPath says that a token is unknown, and not what is wanted."""
    ((fault,), _) = judged(expression)
    assert fault.endswith(hint)
    assert "for expression" not in fault


@pytest.mark.parametrize(
    "expression", ["a.0.b", "items.[0]", "a = 'x'", "a ==", "", "a['x']", "x1 =", "a[0]=b"]
)
def test_another_mistake_gets_no_hint_at_numbers(expression: str) -> None:
    """A wrong hint costs more than none."""
    ((fault,), _) = judged(expression)
    assert "backquotes" not in fault


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("trim()", "trim() takes 1 arguments, not 0"),
        ("trim(a, b)", "trim() takes 1 arguments, not 2"),
        ("join(',')", "join() takes 2 arguments, not 1"),
        ("not_null()", "not_null() takes 1 or more arguments, not 0"),
        ("date(a)", "date() takes 2 to 3 arguments, not 1"),
        ("date(a, '%Y', 'UTC', 'x')", "date() takes 2 to 3 arguments, not 4"),
        ("length(`7`)", "length() takes no number as its argument 1, but string or array or object"),
        ("join(`1`, a)", "join() takes no number as its argument 1, but string"),
        ("join(',', 'a')", "join() takes no string as its argument 2, but array-string"),
        ("sort_by(a, 'b')", "sort_by() takes no string as its argument 2, but expref"),
        ("merge(a, `[]`)", "merge() takes no array as its argument 2, but object"),
        ("date(a, `7`)", "date() takes no number as its argument 2, but string"),
        ("split(a, '')", "split() needs a text that is not empty as its argument 2"),
        ("replace(a, '', 'x')", "replace() needs a text that is not empty as its argument 2"),
        ("items[?trim() == 'x'].a", "trim() takes 1 arguments, not 0"),
        ("lenght(@)", "lenght() is not a function of JMESPath; did you mean 'length'?"),
        ("date(a, '%d.%m.%G')", "date(): a date's format has no '%G'; there are"),
        ("date(a, '100 %')", "date(): a date's format has no '%'; there are"),
        ("date(a, '%-d')", "date(): a date's format has no '%-'; there are"),
        ("date(a, '%Y', 'Shanghai')", "date(): there is no time zone of this name"),
        ("date(a, '%Y', 'Asia')", "date(): there is no time zone of this name"),
    ],
)
def test_a_call_that_can_only_fail_is_a_fault(expression: str, fault: str) -> None:
    """Each reply would spoil the variable."""
    ((found,), warnings) = judged(expression)
    assert found.startswith(fault)
    assert warnings == []


@pytest.mark.parametrize(
    "expression",
    [
        *(
            "not_null(a, b, c)",
            "merge(a, b)",
            "date(a, '%Y')",
            "date(a, b, c)",
            "date(`0`, '%Y')",
            "to_string(`7`)",
        ),
        *(
            "contains(`[]`, 'a')",
            "replace(a, 'x', '')",
            "split(a, b)",
            "sum(`[1]`)",
            "max_by(a, &b)",
            "trim('x')",
        ),
        *("a[0:2]", "a[?b == `0`]", "status == 'x'", 'a."b-c" == `1`', 'a == "b".c', "a == true.b", '"a b"'),
        *(
            "a || 'x'",
            "a || b",
            "a || `null`",
            "(a == `0` && b) || `null`",
            "(a && b) || 'guest'",
            "(a && b).c",
        ),
        *(
            "a == `0` && b == `1`",
            "contains(a, 'x') && !b",
            "(a && b) | c",
            "a[?b && c].d",
            "to_string(a && b)",
        ),
        *("a == `1` || b == `2`", "{x: a && b}", "a != nullable", "a == null_", "!a"),
    ],
)
def test_an_expression_that_does_what_it_seems_to_do_is_left_alone(expression: str) -> None:
    """A warning of what is right teaches people to read none."""
    assert judged(expression) == ([], [])


@pytest.mark.parametrize(
    "expression",
    [
        *("code == `0` && data.name", "a && b", "success && `[]`", "items && length(items) > `2`"),
        *("x || code == `0` && data.name", "(code == `0` && data.name) || ''", "(a && b) || `false`"),
        *("a | code == `0` && name", "(a == `1` && b) && c", "contains(a, 'x') && b || `{}`"),
    ],
)
def test_and_in_a_mapping_is_a_warning(expression: str) -> None:
    """If the condition fails, the customer is called "false", with code 0."""
    faults, (warning,) = judged(expression)
    assert faults == []
    assert "[[lookups.NAME.answers]]" in warning


@pytest.mark.parametrize(
    ("expression", "warning"),
    [
        ('status == "shipped"', "compares with the field \"shipped\"; write the text as 'shipped'"),
        ('[?code == "0"].name', 'compares with the field "0"; write the text as'),
        ('length(a[?b != "x"]) > `0`', 'compares with the field "x"'),
        ("deleted == true", "compares with the field true; write the value in backquotes: `true`"),
        ("a[?gone == false]", "compares with the field false"),
        ("name != null", "compares with the field null"),
        ('"a b" == "c d"', 'compares with the field "c d"'),
    ],
)
def test_a_comparison_with_a_field_that_looks_like_a_value_is_a_warning(
    expression: str, warning: str
) -> None:
    """It is valid, and hardly ever true."""
    faults, (found,) = judged(expression)
    assert faults == []
    assert found.startswith(warning)


@pytest.mark.parametrize(
    "expression",
    ["orders[?id == '{orderId}'].status", 'a[?b == `"{id:int}"`]', "'{id?}'", "contains(a, '{id}')"],
)
def test_place_in_an_expression_is_a_warning(expression: str) -> None:
    """It stays as it stands, and fits no order: the visitor is told "[]", with code 0."""
    faults, (warning,) = judged(expression)
    assert faults == []
    assert " is a text in an expression" in warning


@pytest.mark.parametrize("expression", ["{a: b}", "replace(a, '{', '')", "join(' {x} ', a)", "a == '{}'"])
def test_braces_that_are_no_place_are_left_alone(expression: str) -> None:
    """JMESPath has braces of its own, and so have texts."""
    assert judged(expression) == ([], [])


@pytest.mark.parametrize(
    "expression", ["tier || 'standard'", "'x'", "`0`", "a == 'x'", "!a", "not_null(a, 'x')", "type(a)"]
)
def test_value_that_is_there_for_every_reply_is_a_warning_where_nothing_else_judges(expression: str) -> None:
    """Else an error in a 200 makes a record of it: the reply has a variable that is not null."""

    def warned(**settings: object) -> list[str]:
        variables = {"lookups.order.variables": {"name": "name", "tier": expression}}
        settings = {f"lookups.order.{name}": value for name, value in settings.items()}
        return [one.path for one in compile_catalog(*read(varied(WHOLE, variables | settings), {})).warnings]

    assert warned() == ["lookups.order.variables.tier"]
    assert warned(required=["tier"]) == ["lookups.order.variables.tier"]
    assert warned(required=["name"]) == []
    assert warned(empty="ok") == []
    assert warned(answers=[{"when": {"errcode": "*"}, "is": "bad"}]) == []


def test_warnings_come_with_their_place_and_the_catalog() -> None:
    """``check`` prints them, and the gateway starts."""
    variables = {"name": "code == `0` && name", "b": 'b == "x"', "status": "status"}
    text = varied(WHOLE, {"lookups.order.variables": variables, "lookups.order.required": ["status"]})
    warnings = compile_catalog(*read(text, {})).warnings
    assert [(warning.path, warning.warning) for warning in warnings] == [
        ("lookups.order.variables.name", True),
        ("lookups.order.variables.b", True),
    ]


@pytest.mark.parametrize(
    "text", ["code == 0", "lenght(@)", "trim()", "date(a, '%Q')", 'a == "s3cret"', "a == '{s3cret}'"]
)
def test_no_message_shows_an_expression_of_the_environment(text: str) -> None:
    """An expression may hold a customer's key; it is told apart by its place."""
    told: list[str] = []
    compile_expression(Secret(text), told.append, told.append)
    (message,) = told
    assert message.startswith(("'***' ", "a place "))
    for word in ("code", "lenght", "trim", "%Q", "s3cret"):
        assert word not in message


def faults(places: dict[str, object]) -> list[Fault]:
    """Return the faults of the configuration with these settings changed."""
    with pytest.raises(ConfigFaults) as caught:
        compile_catalog(*read(varied(WHOLE, places), {}))
    return caught.value.faults


@pytest.mark.parametrize(
    ("places", "path", "message"),
    [
        (
            {"backends.crm.charset": "GBX"},
            "backends.crm.charset",
            "not a charset that is read; did you mean 'GBK'",
        ),
        ({"backends.crm.charset": "zlib"}, "backends.crm.charset", "'zlib' is not a charset that is read"),
        ({"backends.crm.charset": ""}, "backends.crm.charset", "not a charset"),
        ({"lookups.order.reply": "yaml"}, "lookups.order.reply", "yaml"),
        ({"lookups.order.force_list": ["a"]}, "lookups.order.force_list", "for reply = 'xml' alone"),
        (
            {"lookups.order.force_list": [""], "lookups.order.reply": "xml"},
            "lookups.order.force_list",
            "must not be empty",
        ),
        (
            {
                "lookups.order.backend": None,
                "lookups.order.request": None,
                "lookups.order.python": "a:b",
                "lookups.order.reply": "xml",
            },
            "lookups.order.reply",
            "all else returns values",
        ),
    ],
)
def test_a_format_or_charset_that_cannot_be_is_a_fault(
    places: dict[str, object], path: str, message: str
) -> None:
    """Each reply of the backend would be bad."""
    (fault,) = faults(places)
    assert fault.path == path
    assert message in fault.message


def test_records_of_another_format_or_charset_are_not_read() -> None:
    """They hold other letters under the same name."""
    versions = set()
    for places in (
        {},
        {"lookups.order.reply": "text"},
        {"lookups.order.reply": "xml"},
        {"lookups.order.reply": "xml", "lookups.order.force_list": ["a"]},
        {"backends.crm.charset": "GBK"},
        {"backends.crm.charset": "Big5"},
    ):
        versions.add(compile_catalog(*read(varied(WHOLE, places), {})).lookups["order"].version)
    assert len(versions) == 6
