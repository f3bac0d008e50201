"""A reply and all that is made of it, step by step, for people who ask why. Pure.

The verdict is that of ``answers.py``, so it cannot differ from what a worker makes of the same reply.
"""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, NamedTuple

from gateway.core.errors import Code, NoAnswer
from gateway.core.variables import as_text
from gateway.declared.expression import EVALUATION_ERRORS, evaluate
from gateway.declared.lookup import Lookup
from gateway.lookups.answers import Response, Undecoded, decoded, find_rule, interpret
from gateway.lookups.other_answers import interpret_missing, interpret_rows, interpret_value
from gateway.lookups.reply import Finding

_LONGEST_KEYS = 200
_BUILT_IN = "built in"


class Given(NamedTuple):
    """What an expression gave: its text; the value, None for null; why it gave none, as far as is known."""

    expression: str
    value: str | None
    why: str = ""


class Judged(NamedTuple):
    """A reply, judged: its decoded ``value``, the ``rule`` that matched, what each expression gave.

    ``code`` and ``reason`` are those of a worker. ``variables`` are None with another code than 0.
    """

    value: object
    rule: str
    code: Code
    reason: str
    expressions: dict[str, Given]
    variables: dict[str, str] | None
    found: bool = True


def judge_response(lookup: Lookup, response: Response, now: float) -> Judged:
    """Return what a response to an HTTP lookup means; ``now`` is Unix time in seconds."""
    value = decoded(lookup, response)
    return _judged(lookup, value, response, lambda: interpret(lookup, response, now))


def judge_value(lookup: Lookup, value: object) -> Judged:
    """Return what the value of a Python lookup means."""
    return _judged(lookup, value, None, lambda: interpret_value(lookup, value))


def judge_rows(lookup: Lookup, rows: object) -> Judged:
    """Return what the rows of a database mean: a list, a row, or None for no row."""
    return _judged(lookup, rows, None, lambda: interpret_rows(lookup, rows))


def judge_missing(lookup: Lookup, reason: str) -> Judged:
    """Return what it means that a Python lookup found nothing."""
    return _judged(lookup, None, None, lambda: interpret_missing(lookup, reason))


def _judged(
    lookup: Lookup, value: object, response: Response | None, interpret: Callable[[], Finding]
) -> Judged:
    rule = find_rule(lookup, response, value)
    expressions = {} if isinstance(value, Undecoded) else _give(lookup, value)
    name = rule.name if rule is not None else _BUILT_IN
    try:
        finding = interpret()
    except NoAnswer as error:
        return Judged(value, name, error.code, str(error), expressions, None)
    return Judged(value, name, Code.OK, "", expressions, finding.variables, finding.found)


def _give(lookup: Lookup, value: object) -> dict[str, Given]:
    given = {}
    for name, expression in lookup.variables.items():
        text = expression.expression
        try:
            found = evaluate(expression.parsed, value)
            given[name] = Given(text, None if found is None else as_text(found))
        except EVALUATION_ERRORS as error:
            given[name] = Given(text, None, f"fails: {error}".partition("\n")[0])
        else:
            if found is None:
                given[name] = Given(text, None, explain_null(expression.parsed, value))
    return given


def explain_null(node: Any, value: object) -> str:  # noqa: ANN401 - a node of JMESPath's
    """Return where a path of fields and indices breaks off, ``""`` if an expression is no such path."""
    steps = _steps(node)
    way = ""
    for step in steps or ():
        where = f"`{way}`" if way else "the reply"
        if step["type"] == "field":
            value, why = _field(step["value"], value, where)
            way = f"{way}.{step['value']}" if way else str(step["value"])
        else:
            value, why = _index(step["value"], value, where)
            way += f"[{step['value']}]"
        if why:
            return why
    return ""


def _steps(node: Any) -> list[Any] | None:  # noqa: ANN401
    """Return the fields and indices of a path, None if an expression is more than that."""
    match node["type"]:
        case "field" | "index":
            return [node]
        case "identity" | "current":
            return []
        case "subexpression" | "index_expression":
            parts = [_steps(child) for child in node["children"]]
            if None not in parts:
                return [step for part in parts for step in part or ()]
    return None


def _field(name: str, value: object, where: str) -> tuple[object, str]:
    if not isinstance(value, dict):
        hint = ": write `[0]` before the field, or a projection" * isinstance(value, list)
        return None, f"{where} is {_kind(value)}, and has no fields{hint}"
    if name not in value:
        close = get_close_matches(name, map(str, value), n=1) or [
            key for key in map(str, value) if key.lower() == name.lower()
        ]
        listed = ", ".join(map(str, value))[:_LONGEST_KEYS]
        help_ = f"; did you mean `{close[0]}`?" if close else f"; it has {listed}" if value else ""
        return None, f"{where} has no `{name}`{help_}"
    found = value[name]
    return found, "" if found is not None else f"`{name}` of {where} is null"


def _index(number: int, value: object, where: str) -> tuple[object, str]:
    if not isinstance(value, list):
        return None, f"{where} is {_kind(value)}, and has no [{number}]"
    try:
        return value[number], "" if value[number] is not None else f"[{number}] of {where} is null"
    except IndexError:
        return None, f"{where} has {len(value)} entries, and no [{number}]"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}.get(
        type(value), "a number"
    )
