"""Reading a backend's reply: its body decoded, and mapped to variables. Pure.

A further format of replies is a function beside :func:`decode`.
"""

from typing import NamedTuple

import msgspec
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from gateway.core.errors import BadBackendReply, NotJson
from gateway.core.packing import UNREADABLE
from gateway.core.variables import as_text
from gateway.declared.lookup import Lookup

# An expression's search() makes an interpreter each time, which costs more than the search.
evaluate = TreeInterpreter().visit
"""Return the value of a parsed expression; raise one of FAILS."""

FAILS = (JMESPathError, ArithmeticError, AttributeError, RecursionError, TypeError, ValueError)
"""The exceptions of an expression that fails on a reply."""


class Finding(NamedTuple):
    """The answer that one attempt gave: its variables, and False for ``found`` if there is no such thing."""

    variables: dict[str, str]
    found: bool = True


def decode(body: bytes) -> object:
    """Return the JSON of a body; raise NotJson."""
    try:
        reply: object = msgspec.json.decode(body)
    except UNREADABLE:
        msg = "the reply is not JSON"
        raise NotJson(msg) from None
    return reply


def map_reply(lookup: Lookup, reply: object) -> tuple[dict[str, str], list[str]]:
    """Return the variables that ``lookup`` reads out of a decoded ``reply``, and the names of the null ones.

    Raise BadBackendReply if an expression fails on it.
    """
    variables, nulls = {}, []
    for name, expression in lookup.variables.items():
        try:
            value = evaluate(expression.parsed, reply)
            variables[name] = as_text(value)
        except FAILS as error:
            msg = f"the expression of {name} fails on the reply: {type(error).__name__}"
            raise BadBackendReply(msg) from None
        if value is None:
            nulls.append(name)
    return variables, nulls


def map_not_found(lookup: Lookup) -> dict[str, str]:
    """Return the variables of ``lookup`` for a thing that the backend does not have."""
    declared = lookup.not_found or {}
    return {name: declared.get(name, "") for name in lookup.variables}
