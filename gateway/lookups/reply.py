"""The meaning of a backend's reply: its status is judged, its body decoded and mapped to variables. Pure.

A further format of replies is a function beside :func:`decode`.
"""

from http import HTTPStatus
from typing import NamedTuple

import msgspec
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from gateway.core.errors import BackendRejected, BackendUnavailable, BadBackendReply, NotJson
from gateway.core.packing import UNREADABLE
from gateway.core.variables import as_text
from gateway.declared.lookup import Lookup

# An expression's search() makes an interpreter each time, which costs more than the search.
_evaluate = TreeInterpreter().visit


class Finding(NamedTuple):
    """The answer that one attempt gave: its variables, and False for ``found`` if there is no such thing."""

    variables: dict[str, str]
    found: bool = True


def judge(lookup: Lookup, status: int) -> Finding | None:
    """Return the answer that an HTTP status alone gives; None if the body has to be read.

    Raise NoAnswer for a status that means a failure.
    """
    if status == HTTPStatus.NOT_FOUND and (variables := map_not_found(lookup)) is not None:
        return Finding(variables, found=False)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        msg = f"the backend answered {status}"
        raise BackendUnavailable(msg)
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        followed = "; redirects are not followed" if status < HTTPStatus.BAD_REQUEST else ""
        msg = f"the backend answered {status}{followed}"
        raise BackendRejected(msg)
    return None


def decode(body: bytes) -> object:
    """Return the JSON of a body; raise NotJson."""
    try:
        reply: object = msgspec.json.decode(body)
    except UNREADABLE:
        msg = "the reply is not JSON"
        raise NotJson(msg) from None
    return reply


def map_reply(lookup: Lookup, reply: object) -> dict[str, str]:
    """Return the variables that ``lookup`` reads out of a decoded JSON ``reply``.

    Raise BadBackendReply if an expression fails on it, or if a required variable is missing or null.
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
    """Return the variables that a 404 means to ``lookup``; None if it means a failure."""
    if lookup.not_found is None:
        return None
    return {name: lookup.not_found.get(name, "") for name in lookup.variables}
