"""Every JSON value becomes strings: a reply that decodes can be bad, and do no other harm."""

import json

import jmespath
import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.errors import BadBackendReply
from gateway.core.variables import as_text
from gateway.declared.lookup import Lookup
from gateway.lookups.other_answers import interpret_value

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def json_of(leaves: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Return the JSON values that have these numbers and any texts."""
    return st.recursive(
        st.none() | st.booleans() | st.text() | leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
        max_leaves=12,
    )


json_values = json_of(numbers)
EXPRESSIONS = (
    *("@", "a", "a.b", "[0]", "[*].a", "*", "@.*.a", "[]", "[?a == `1`]", "a || b", "!a", "{x: a, y: @}"),
    *(
        "length(@)",
        "keys(@)",
        "values(@)",
        "sort(@)",
        "reverse(@)",
        "sum(@)",
        "avg(@)",
        "max(@)",
        "join('-', @)",
    ),
    *("to_string(@)", "type(@)", "not_null(a, b)", "sort_by(@, &a)", "abs(@)", "floor(@)", "contains(@, a)"),
    *("merge(@, @)", "starts_with(@, 'a')", "[::-1]", "[1:]", "to_array(@)", "map(&a, @)", "ceil(@)"),
)


@settings(deadline=None)
@given(st.text())
def test_text_stays_as_it_is(text: str) -> None:
    """Not a quote more, not a space less."""
    assert as_text(text) == text


@settings(deadline=None)
@given(numbers)
@example(10**400)
@example(-(2**63) - 1)
@example(2**64)
@example(5e-324)
@example(1.7976931348623157e308)
@example(-0.0)
def test_a_number_comes_back_equal(number: float) -> None:
    """An order number of thirty digits must not turn into ``1.2e29``."""
    text = as_text(number)
    assert json.loads(text) == number
    assert text == as_text(msgspec.json.decode(text))


@settings(deadline=None)
@given(json_values)
def test_any_json_value_is_text_that_says_it(value: object) -> None:
    """A list or an object is JSON that the flow can parse again."""
    text = as_text(value)
    assert type(text) is str
    if value is None:
        assert text == ""
    elif not isinstance(value, str):
        assert json.loads(text) == value


@settings(deadline=None)
@given(json_of(st.integers()))
def test_lists_and_objects_are_compact(value: object) -> None:
    """Variables have a limited length; spaces between the parts say nothing."""
    if isinstance(value, list | dict):
        assert as_text(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@settings(deadline=None)
@given(
    json_values.map(lambda value: {"a": value, "b": [value]}) | json_values,
    st.lists(st.sampled_from(EXPRESSIONS), min_size=1, max_size=3),
    st.booleans(),
)
def test_a_decoded_reply_is_variables_or_a_bad_reply(
    reply: object,
    expressions: list[str],
    required: bool,  # noqa: FBT001 - Hypothesis passes by name
) -> None:
    """Backends send anything; what comes out has every variable, all strings, or is one known error."""
    variables = {f"v{number}": jmespath.compile(text) for number, text in enumerate(expressions)}
    lookup = Lookup(
        "l", "crm", "1", (), variables, required=frozenset(variables) if required else frozenset()
    )
    try:
        mapped = interpret_value(lookup, reply)
    except BadBackendReply:
        return
    assert mapped.variables.keys() == variables.keys()
    assert {type(value) for value in mapped.variables.values()} == {str}
    assert {mapped.variables[name] for name in mapped.failed} <= {""}
