"""JMESPath expressions, by which a lookup reads a reply (https://jmespath.org/specification.html).

An expression may be valid and still not do what it seems to do. :func:`compile_expression` and
:func:`compile_mapping` warn of that.
"""

import re
from collections.abc import Callable, Iterator
from math import inf
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import TYPES_MAP
from jmespath.lexer import Lexer
from jmespath.parser import ParsedResult
from jmespath.visitor import TreeInterpreter

from gateway.declared.functions import ReplyFunctions, check_date_format, find_zone
from gateway.declared.place import PLACE
from gateway.declared.reading import Secret
from gateway.declared.wording import suggestion

EVALUATION_ERRORS = (JMESPathError, ArithmeticError, AttributeError, RecursionError, TypeError, ValueError)
"""An expression raises one of these if it fails on a value."""

Report = Callable[[str], None]

# An expression's search() makes an interpreter each time, which costs more than the search.
_interpreter = TreeInterpreter(jmespath.Options(custom_functions=ReplyFunctions()))
_TEXT = "#text"

_FUNCTIONS: dict[str, Any] = ReplyFunctions.FUNCTION_TABLE
_MOST_ARGUMENTS = {"date": 3}  # JMESPath has a least number alone, where the number varies
_BARE_NUMBER = re.compile(r"[=<>]\s*(-?[0-9][0-9.]*)|(?<![\w\"'`.])(-?[0-9][0-9.]*)\s*[=!<>]")
_SIGN_HINTS = {
    "$": "a path begins with the name of a field: write `total.amount` for $.total.amount",
    "-": "a name with a hyphen stands in double quotes: '\"order-status\"'",
    "=": "to compare, write ==",
}
_NUMBER_HINTS = {
    ".": "write an element of a list as `items[0].name`",
    ".[": "write an element of a list as `items[0].name`, without a dot before the bracket",
    "(": "write a number in backquotes: `1`",
    ",": "write a number in backquotes: `1`",
}
_COMPARATORS = frozenset({"eq", "ne", "lt", "lte", "gt", "gte"})
_GOES_ON = frozenset({"dot", "lbracket", "flatten", "filter"})  # behind a name that is meant as one
_TRUTH_FUNCTIONS = frozenset({"contains", "starts_with", "ends_with"})


def evaluate(parsed: Any, value: Any) -> Any:  # noqa: ANN401 - a node, any JSON value
    """Return what a parsed expression reads out of a value; raise one of EVALUATION_ERRORS.

    Of XML elements with attributes that is their text: some services write attributes now and then.
    """
    found = _interpreter.visit(parsed, value)
    if isinstance(found, list):
        return [_text_of(one) for one in found]
    return _text_of(found)


def gives_for_nothing(parsed: Any) -> bool:  # noqa: ANN401 - a node
    """True if an expression gives a value for a reply that has none, as ``tier || 'standard'`` does."""
    try:
        return evaluate(parsed, None) is not None
    except EVALUATION_ERRORS:
        return False


def _text_of(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return the text of an element that has attributes and no element in it, any other value as it is."""
    if isinstance(value, dict) and _TEXT in value and all(name == _TEXT or name[:1] == "@" for name in value):
        return value[_TEXT]
    return value


def compile_expression(text: str, report: Report, warn: Report | None = None) -> ParsedResult:
    """Return a JMESPath expression; report what is wrong with it.

    ``report`` gets each fault: no expression, an unknown function, a call that can only fail. ``warn`` gets
    what is valid, and probably not meant. No message shows a text of the environment.
    """
    try:
        compiled = jmespath.compile(text)
    except JMESPathError as error:
        reason = "" if isinstance(text, Secret) else _reason(text, error)
        report(f"{text!r} is not a JMESPath expression{reason}")
        return jmespath.compile("@")  # a stand-in: with this fault there is no catalog
    for call in _calls(compiled.parsed):
        for fault in _faults(call):
            report(f"{text!r} has a call that can only fail" if isinstance(text, Secret) else fault)
    if warn is not None:
        for doubt in _comparison_doubts(text):
            warn(f"{text!r} compares with a field" if isinstance(text, Secret) else doubt)
        for place in _places_in(text):
            warn(
                f"{'a place' if isinstance(text, Secret) else place} is a text in an expression: it has no "
                "places, and no variable of the callback stands in a reply; have the backend find the one"
            )
    return compiled


def compile_mapping(text: str, report: Report, warn: Report) -> ParsedResult:
    """Like :func:`compile_expression`, for the expression of a variable: its value goes to the user."""
    compiled = compile_expression(text, report, warn)
    if _leaks(compiled.parsed):
        warn(
            "if the part before && does not hold, the variable gets that part's value, such as false or [], "
            "and `required` lets it pass; say with rules which replies are answers "
            "([[lookups.NAME.answers]]), and map the value alone"
        )
    return compiled


def _reason(text: str, error: JMESPathError) -> str:
    """Return why ``text`` is no expression, and what to write if it is one of the usual slips."""
    reason = str(error).splitlines()[0].rstrip(":").removesuffix(", for expression")
    if found := _BARE_NUMBER.search(text):
        number = found[1] or found[2]
        table = f"in a rule also when = {{ field = {number} }}"
        return f": {reason}; write a number in backquotes, {table}: `{number}`"
    return f": {reason}{_hint(text, error)}"


def _hint(text: str, error: JMESPathError) -> str:
    """Return what to write in place of the sign at which an expression ends to be one, nothing for most."""
    at = getattr(error, "lexer_position", getattr(error, "lex_position", len(text)))
    before, sign = text[:at].rstrip(), text[at : at + 1]
    if sign.isdigit():
        hint = next((hint for end, hint in _NUMBER_HINTS.items() if before.endswith(end)), "")
    else:
        hint = _SIGN_HINTS.get(sign, "")
    return f"; {hint}" if hint else ""


def _calls(node: Any) -> Iterator[Any]:  # noqa: ANN401 - a node is a dict of JMESPath's
    """Yield the calls of functions in a parsed expression: ``jmespath.compile`` looks none of them up."""
    if node["type"] == "function_expression":
        yield node
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _calls(child)


def _faults(call: Any) -> Iterator[str]:  # noqa: ANN401 - a node
    """Yield why the call of a function can only fail."""
    name, arguments = call["value"], call["children"]
    if name not in _FUNCTIONS:
        yield f"{name}() is not a function of JMESPath{suggestion(name, _FUNCTIONS)}"
        return
    signature = _FUNCTIONS[name]["signature"]
    least = len(signature)
    most = _MOST_ARGUMENTS.get(name, inf if signature[-1].get("variadic") else least)
    if not least <= len(arguments) <= most:
        wanted = {least: f"{least}", inf: f"{least} or more"}.get(most, f"{least} to {most}")
        yield f"{name}() takes {wanted} arguments, not {len(arguments)}"
        return
    for number, argument in enumerate(arguments):
        if argument["type"] == "literal":
            types = signature[min(number, len(signature) - 1)]["types"]
            yield from _literal_faults(name, number, argument["value"], types)


def _literal_faults(name: str, number: int, value: Any, types: list[str]) -> Iterator[str]:  # noqa: ANN401
    """Yield why a literal cannot be this argument of the function."""
    kind = TYPES_MAP[type(value).__name__]
    if types and kind not in {wanted.partition("-")[0] for wanted in types}:
        yield f"{name}() takes no {kind} as its argument {number + 1}, but {' or '.join(types)}"
    elif (name, number) in {("split", 1), ("replace", 1)} and not value:
        yield f"{name}() needs a text that is not empty as its argument {number + 1}"
    elif name == "date" and number > 0:
        try:
            (check_date_format if number == 1 else find_zone)(value)
        except ValueError as error:
            yield f"date(): {error}"


def _comparison_doubts(text: str) -> Iterator[str]:
    """Yield each comparison with a field that looks like a text, a truth value or null."""
    tokens = list(Lexer().tokenize(text))
    for operator, operand, following in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if operator["type"] not in _COMPARATORS or following["type"] in _GOES_ON:
            continue
        name = operand["value"]
        if operand["type"] == "quoted_identifier":
            yield f"compares with the field \"{name}\"; write the text as '{name}', a number as `{name}`"
        elif operand["type"] == "unquoted_identifier" and name in {"true", "false", "null"}:
            yield f"compares with the field {name}; write the value in backquotes: `{name}`"


def _places_in(text: str) -> Iterator[str]:
    """Yield each text of an expression that is a place of a request, such as ``'{orderId}'``."""
    for token in Lexer().tokenize(text):
        if token["type"] == "literal" and PLACE.fullmatch(str(token["value"])):
            yield token["value"]


def _leaks(node: Any) -> bool:  # noqa: ANN401 - a node
    """True if the value of a condition that fails may become the value of the expression."""
    left, right = [*node["children"], None, None][:2]
    match node["type"]:
        case "and_expression":
            return not (_is_condition(left) and _is_condition(right))
        case "or_expression":
            empty = right["type"] == "literal" and right["value"] in ("", [], {}, False)
            return _leaks(right) or (empty and _leaks(left))
        case "pipe":
            return _leaks(right)
    return False


def _is_condition(node: Any) -> bool:  # noqa: ANN401 - a node
    """True if an expression gives nothing but true and false."""
    match node["type"]:
        case "comparator" | "not_expression":
            return True
        case "and_expression" | "or_expression":
            return all(map(_is_condition, node["children"]))
        case "function_expression":
            return node["value"] in _TRUTH_FUNCTIONS
    return False
