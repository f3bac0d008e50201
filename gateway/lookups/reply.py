"""Mapping: from a backend's reply to the variables of a lookup."""

from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from gateway.core.errors import BadBackendReply
from gateway.core.variables import as_text
from gateway.declared.lookup import Lookup

# search() of an expression makes one anew each time, which costs more than what it then does.
_evaluate = TreeInterpreter().visit


def map_reply(lookup: Lookup, reply: object) -> dict[str, str]:
    """Return the variables that ``lookup`` reads out of a decoded JSON ``reply``.

    Raise BadBackendReply when an expression fails on it or a required variable is missing or null.
    """
    variables = {}
    for name, expression in lookup.variables.items():
        try:
            value = _evaluate(expression.parsed, reply)
            variables[name] = as_text(value)
        except (
            JMESPathError,
            ArithmeticError,
            AttributeError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            msg = f"the expression of {name} fails on the reply: {type(error).__name__}"
            raise BadBackendReply(msg) from None
        if value is None and name in lookup.required:
            msg = f"the reply has no {name}, which is required"
            raise BadBackendReply(msg)
    return variables


def map_not_found(lookup: Lookup) -> dict[str, str] | None:
    """Return what a 404 means to ``lookup``, every other variable empty; None when it means a failure."""
    if lookup.not_found is None:
        return None
    return {name: lookup.not_found.get(name, "") for name in lookup.variables}
