"""JMESPath expressions, by which a lookup reads a reply (https://jmespath.org/specification.html)."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.parser import ParsedResult

from gateway.declared.reading import Secret, suggestion


def compile_expression(text: str, report: Callable[[str], None]) -> ParsedResult:
    """Return a JMESPath expression; report that it is none, or each unknown function that it calls."""
    try:
        compiled = jmespath.compile(text)
    except JMESPathError as error:
        reason = "" if isinstance(text, Secret) else ": " + str(error).splitlines()[0].rstrip(":")
        report(f"{text!r} is not a JMESPath expression{reason}")
        return jmespath.compile("@")  # a stand-in: with this fault there is no catalog
    for function in _functions(compiled.parsed):
        if function not in Functions.FUNCTION_TABLE:
            shown = repr(text) if isinstance(text, Secret) else f"{function}()"
            hint = suggestion(function, Functions.FUNCTION_TABLE)
            report(f"{shown} is not a function of JMESPath{hint}")
    return compiled


def _functions(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the functions that a parsed expression calls: ``jmespath.compile`` looks none of them up."""
    if node["type"] == "function_expression":
        yield node["value"]
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _functions(child)
