"""The functions of expressions: those that are ours, and those of JMESPath that do more for users."""

import math
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from gateway.core.variables import keep_number
from gateway.declared.expression import EVALUATION_ERRORS, compile_expression, evaluate
from gateway.declared.functions import MAX_REPLACED, ReplyFunctions
from gateway.declared.lookup import Lookup
from gateway.lookups.decoding import decode
from gateway.lookups.reply import map_reply
from tests.desk import ROOT
from tests.documents import table

REPLIES = (ROOT / "docs/replies.md").read_text(encoding="utf-8")
NOT_OURS = 26  # functions of JMESPath's specification


def read(expression: str, reply: str | bytes) -> str:
    """Return the variable that an expression reads out of a JSON reply; fail if the expression does."""
    faults: list[str] = []
    compiled = compile_expression(expression, faults.append)
    assert faults == []
    lookup = Lookup("order", "crm", "v1", (), {"v": compiled}, required=frozenset())
    finding = map_reply(lookup, decode(lookup, reply.encode() if isinstance(reply, str) else reply, ""))
    assert finding.failed == ()
    return finding.variables["v"]


def fails(expression: str, reply: object) -> bool:
    """Return whether an expression fails on a value, in a way that spoils its variable alone."""
    try:
        evaluate(compile_expression(expression, pytest.fail).parsed, reply)
    except EVALUATION_ERRORS:
        return True
    return False


@pytest.mark.parametrize("row", table(REPLIES, "function"), ids=lambda row: row[1])
def test_documented_example_is_so(row: list[str]) -> None:
    """People copy these."""
    name, expression, reply, variable = (cell.strip("`") for cell in row)
    assert name.partition("(")[0] == expression.partition("(")[0]
    assert read(expression, reply) == variable


@pytest.mark.parametrize("row", table(REPLIES, "function"), ids=lambda row: row[1])
def test_documented_example_makes_nothing_of_nothing(row: list[str]) -> None:
    """A reply without the value is no answer: nobody is told "null", and no record is made of it."""
    assert evaluate(compile_expression(row[1].strip("`"), pytest.fail).parsed, {}) is None


def test_every_function_of_ours_is_documented() -> None:
    """A function that nobody finds is not there."""
    documented = {row[0].strip("`").partition("(")[0] for row in table(REPLIES, "function")}
    assert len(ReplyFunctions.FUNCTION_TABLE) == NOT_OURS + len(documented)
    assert documented <= set(ReplyFunctions.FUNCTION_TABLE)


@pytest.mark.parametrize(
    ("expression", "reply", "text"),
    [
        ("to_string(tags)", '{"tags":["客户"]}', '["客户"]'),
        ("to_string(@)", '{"a":[1,2.50,null,true]}', '{"a":[1,2.50,null,true]}'),
        ("to_string(a)", '{"a":"客"}', "客"),
        ("to_string(a)", '{"a":29.90}', "29.90"),
        ("to_string(a)", '{"a":"null"}', "null"),
        ("join(', ', map(&to_string(@), a))", '{"a":[1.50,"客",[]]}', "1.50, 客, []"),
    ],
)
def test_to_string_writes_letters_and_numbers_as_they_are(expression: str, reply: str, text: str) -> None:
    """A user reads the variable, and no escape sequence."""
    assert read(expression, reply) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(Decimal("29.90"), "29.90"), (date(2024, 11, 13), "2024-11-13"), (UUID(int=0), f"{UUID(int=0)}")],
)
def test_to_string_of_what_a_python_lookup_returns_is_its_variable(value: object, text: str) -> None:
    """JSON would have it in quotes."""
    assert evaluate(compile_expression("to_string(@)", pytest.fail).parsed, value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *(('"29.90"', "29.90"), ('"7"', "7"), ('" -1E-7 "', "-1E-7"), ("29.90", "29.90"), ("7", "7")),
        *(('"12345678901234567890"', "12345678901234567890"), ("null", ""), ("true", ""), ("[]", "")),
        *(
            (f'"{word}"', "")
            for word in ("nan", "inf", "Infinity", "1_000", "١٢", "012", "+1", "1.", ".5", "0x1")
        ),
    ],
)
def test_to_number_reads_what_json_calls_a_number(value: str, text: str) -> None:
    """Python reads more than that: a customer's ``1_000`` is no thousand."""
    assert read("to_number(a)", f'{{"a":{value}}}') == text


@pytest.mark.parametrize(
    ("numbers", "total"),
    [
        ("[0.1,0.2]", "0.3"),
        ("[29.90,0.10]", "30.00"),
        ("[1,2]", "3"),
        ("[]", "0"),
        ("[9007199254740993,0.5]", "9007199254740993.5"),
        ("[1e20,1]", "100000000000000000001"),
        ("[-0.30,0.3]", "0.00"),
    ],
)
def test_sum_is_exact(numbers: str, total: str) -> None:
    """The prices 0.10 and 0.20 do not add up to 0.30000000000000004."""
    assert read("sum(@)", numbers) == total


@pytest.mark.parametrize(
    ("numbers", "average"),
    [
        ("[0.1,0.2,0.3]", "0.2"),
        ("[29.90,19.91]", "24.905"),
        ("[19999999999999999.99]", "19999999999999999.99"),
        ("[0.1,0.1,0.2]", "0.13333333333333333"),
        ("[1,2]", "1.5"),
        ("[2,4]", "3.0"),
        ("[]", ""),
    ],
)
def test_average_is_that_of_the_numbers_as_they_are_written(numbers: str, average: str) -> None:
    """A bot that says 0.20000000000000004 is not believed. Of whole numbers it is as in JMESPath."""
    assert read("avg(@)", numbers) == average


@pytest.mark.parametrize(
    ("expression", "number", "text"),
    [
        ("floor(@)", "19999999999999999.99", "19999999999999999"),
        ("ceil(@)", "19999999999999999.01", "20000000000000000"),
        ("ceil(@)", "0.00000000000000000000000000001", "1"),
        ("floor(@)", "-0.5", "-1"),
        ("floor(@)", "7", "7"),
        ("ceil(@)", "1.5e3", "1500"),
    ],
)
def test_rounding_sees_all_digits(expression: str, number: str, text: str) -> None:
    """The nearest binary number of 19999999999999999.99 is the whole number above it."""
    assert read(expression, number) == text


def test_rounding_of_a_number_out_of_range_fails_at_once() -> None:
    """It has a million digits."""
    assert fails("floor(@)", keep_number("1e999999"))


@pytest.mark.parametrize("numbers", [[math.inf, 1], [math.nan, 1.0], [1e308, math.inf]])
def test_a_sum_of_no_numbers_fails(numbers: list[float]) -> None:
    """A Python lookup may return them."""
    assert fails("sum(@)", numbers)


@pytest.mark.parametrize("number", ["1e99999999999999999999", "1e9999999"])
def test_a_sum_that_is_out_of_range_fails_at_once(number: str) -> None:
    """A number of a million digits would take the memory."""
    variables = {
        name: compile_expression(text, pytest.fail) for name, text in (("v", "sum(@)"), ("w", "[1]"))
    }
    lookup = Lookup("o", "crm", "v1", (), variables)
    assert map_reply(lookup, decode(lookup, f"[{number},1.5]".encode(), "")).failed == ("v",)


@pytest.mark.parametrize(
    ("expression", "reply", "text"),
    [
        ("abs(@)", "-29.90", "29.90"),
        ("abs(@)", "29.90", "29.90"),
        ("abs(@)", "-7", "7"),
        ("avg(@)", "[1.5,2.5]", "2.0"),
        ("ceil(@)", "29.10", "30"),
        ("floor(@)", "-29.90", "-30"),
        ("max(@)", "[1.50,29.90,3]", "29.90"),
        ("min_by(@,&p).p", '[{"p":1.50},{"p":29.90}]', "1.50"),
        ("sort_by(@,&p)[*].p", '[{"p":29.90},{"p":1.50}]', "[1.50,29.90]"),
        ("[?p > `10`].p", '[{"p":29.90},{"p":1.50}]', "[29.90]"),
        ("[?p == `29.9`].p | [0]", '[{"p":29.90},{"p":1.50}]', "29.90"),
        ("contains(@,`29.9`)", "[29.90]", "true"),
        ("type(@)", "29.90", "number"),
        ("length(to_array(@))", "29.90", "1"),
        ("a == `0`", '{"a":0.00}', "true"),
        ("a == `false`", '{"a":0.0}', "false"),
        ("!a", '{"a":0.0}', "false"),
    ],
)
def test_functions_and_comparisons_read_the_value_of_a_number(expression: str, reply: str, text: str) -> None:
    """A number that keeps its text is a number to JMESPath all the same."""
    assert read(expression, reply) == text


@pytest.mark.parametrize(
    ("expression", "reply", "text"),
    [
        ("trim(@)", '" \\t客\\u3000\\n"', "客"),
        ("trim(a)", "{}", ""),
        ("lower(@)", '"ÄB"', "äb"),
        ("upper(a)", "{}", ""),
        ("lower(a)", "{}", ""),
        ("split(@, ', ')", '"a, b,c"', '["a","b,c"]'),
        ("split(a, '-')", "{}", ""),
        ("split(@, '-')[-1]", '"ORD-7"', "7"),
        ("replace(@, 'a', '')", '"banana"', "bnn"),
        ("replace(@, 'x', 'y')", '"banana"', "banana"),
        ("replace(a, 'x', 'y')", "{}", ""),
        ("date(a, '%Y')", "{}", ""),
        ("date(a, '%Y')", '{"a":"  "}', ""),
    ],
)
def test_texts_are_cut_and_changed(expression: str, reply: str, text: str) -> None:
    """Null stays null: a value that is not there is no failure."""
    assert read(expression, reply) == text


@pytest.mark.parametrize(
    "expression",
    ["trim(@)", "lower(@)", "upper(@)", "split(@, 'a')", "replace(@, 'a', 'b')", "replace('a', @, 'b')"],
)
@pytest.mark.parametrize("reply", [7, True, ["a"], {"a": 1}])
def test_a_function_of_texts_fails_on_another_type(expression: str, reply: object) -> None:
    """As JMESPath's own functions do."""
    assert fails(expression, reply)


def test_an_empty_separator_from_the_reply_fails() -> None:
    """A literal one is a fault of ``check``."""
    assert fails("split('a', @)", "")
    assert fails("replace('a', @, 'b')", "")


def test_replace_cannot_fill_the_memory() -> None:
    """A megabyte of ``a``, each replaced by a megabyte, would be a terabyte."""
    assert fails("replace(@, 'a', @)", "a" * (MAX_REPLACED // 2))
    assert not fails("replace(@, 'a', 'b')", "a" * (MAX_REPLACED // 2))


SHANGHAI, NEW_YORK = "'Asia/Shanghai'", "'America/New_York'"
SECONDS = "%Y-%m-%d %H:%M:%S"


@pytest.mark.parametrize(
    ("value", "zone", "text"),
    [
        ('"2024-11-13T08:59:31Z"', SHANGHAI, "2024-11-13 16:59:31"),
        ('"2024-11-13T08:59:31.784+0000"', SHANGHAI, "2024-11-13 16:59:31"),
        ('"2024-11-13T08:59:31.1234567Z"', SHANGHAI, "2024-11-13 16:59:31"),
        ('"2024-11-13T16:59:31+08:00"', NEW_YORK, "2024-11-13 03:59:31"),
        ('"2024-11-13T16:59:31"', SHANGHAI, "2024-11-13 16:59:31"),
        ('"2024-11-13 16:59:31"', NEW_YORK, "2024-11-13 16:59:31"),
        ('" 2024-11-13 "', NEW_YORK, "2024-11-13 00:00:00"),
        ('"20241113"', NEW_YORK, "2024-11-13 00:00:00"),
        ("20241113", NEW_YORK, "2024-11-13 00:00:00"),
        ('"20241113095931"', NEW_YORK, "2024-11-13 09:59:31"),
        ("20241113095931", "", "2024-11-13 09:59:31"),
        ("1924992000", "", "2031-01-01 00:00:00"),
        ("2024111324", "", "2034-02-21 05:08:44"),  # no hour, so it is a Unix time
        ("1731488371", SHANGHAI, "2024-11-13 16:59:31"),
        ("1731488371.784", SHANGHAI, "2024-11-13 16:59:31"),
        ("1731488371784", SHANGHAI, "2024-11-13 16:59:31"),
        ('"1731488371784"', SHANGHAI, "2024-11-13 16:59:31"),
        ("473385600000", "", "1985-01-01 00:00:00"),
        ("-631152000000", "", "1950-01-01 00:00:00"),
        ('"/Date(1731488371784)/"', SHANGHAI, "2024-11-13 16:59:31"),
        (r'"\/Date(1731488371784)\/"', SHANGHAI, "2024-11-13 16:59:31"),
        ('"/Date(1731488371784-0500)/"', SHANGHAI, "2024-11-13 16:59:31"),
        ('"/Date(1731488371784+0800)/"', "", "2024-11-13 16:59:31"),
        ('"/Date(0)/"', "", "1970-01-01 00:00:00"),
        ('"/Date(-86400000)/"', SHANGHAI, "1969-12-31 08:00:00"),
        ("1731488371784", "", "2024-11-13 08:59:31"),
        ('"2024-11-14T00:30:00+08:00"', "", "2024-11-14 00:30:00"),
        ('"2024-11-13T08:59:31Z"', "", "2024-11-13 08:59:31"),
        ('"2024-07-01T12:00:00Z"', NEW_YORK, "2024-07-01 08:00:00"),
        ('"2024-12-01T12:00:00Z"', NEW_YORK, "2024-12-01 07:00:00"),
    ],
)
def test_date_reads_what_backends_write(value: str, zone: str, text: str) -> None:
    """The same moment in the words of four platforms; a day without a time stays that day everywhere."""
    expression = f"date(a, '{SECONDS}'{', ' * bool(zone)}{zone})"
    assert read(expression, f'{{"a":{value}}}') == text


@pytest.mark.parametrize(
    "value",
    [
        *(
            "soon",
            "2024-13-01",
            "13.11.2024",
            "11/13/2024",
            "2024-11",
            "2024-11-13T25:00:00",
            "/Date()/",
            "١٢",
        ),
        *("0001-01-01T00:00:00", "/Date(-62135596800000)/", "/Date(999999999999999)/", "/Date(1+9999)/"),
        *("0", 0, 7, -1, 99999999, 202411130959, "202411130959", 17314883717840000),
        *(2024111309, "2024111309", 20241113111, "202411131100000"),  # an hour; ids that begin as a date does
        *(1e300, Decimal("1e400"), True, [1], {"a": 1}, "9" * 400, "9999-12-31T23:59:59-23:59"),
    ],
    ids=ascii,
)
def test_date_fails_on_what_may_not_be_a_date(value: object) -> None:
    """No date is better than a wrong one: 0 is hardly ever the first of January 1970."""
    assert fails("date(@, '%d.%m.%Y', 'Asia/Shanghai')", value)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%Y年%m月%d日", "2024年11月03日"),
        ("%d/%m/%y %I:%M %p", "03/11/24 04:05 PM"),
        ("%A, %d %B %Y (%a %b)", "Sunday, 03 November 2024 (Sun Nov)"),
        ("%j %z 100%%", "308 +0800 100%"),
        ("", ""),
        ("no place\nat all", "no place\nat all"),
    ],
)
def test_a_dates_format_has_any_letters(form: str, text: str) -> None:
    """They must not depend on the locale of the machine."""
    assert read(f"date(@, '{form}', 'Asia/Shanghai')", '"2024-11-03T16:05:00"') == text


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Asia", "\0", "\udcff", "a" * 999]
)
def test_a_time_zone_from_the_reply_that_there_is_not_fails(zone: str) -> None:
    """Nothing outside the data base of zones is opened."""
    assert fails("date('2024-11-13', '%Y', @)", zone)
    assert fails("date('2024-11-13', @, 'Asia/Shanghai')", f"%Q{zone}")
