"""A decoded reply into variables. Pure."""

from typing import NamedTuple

from gateway.core.variables import as_text
from gateway.declared.expression import EVALUATION_ERRORS, evaluate
from gateway.declared.lookup import Lookup


class Finding(NamedTuple):
    """The answer that one attempt gave: its variables, and False for ``found`` if there is no such thing.

    ``failed`` names the variables whose expressions failed on the reply. They are empty.
    """

    variables: dict[str, str]
    found: bool = True
    failed: tuple[str, ...] = ()


class Mapped(NamedTuple):
    """The variables of a reply, the names of those that are null, and of those whose expressions failed."""

    variables: dict[str, str]
    nulls: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def map_reply(lookup: Lookup, reply: object) -> Mapped:
    """Return the variables that ``lookup`` reads out of a decoded ``reply``.

    An expression that fails, or gives null, makes its own variable empty, and no other.
    """
    variables: dict[str, str] = {}
    nulls: list[str] = []
    failed: list[str] = []
    for name, expression in lookup.variables.items():
        try:
            value = evaluate(expression.parsed, reply)
            variables[name] = as_text(value)
        except EVALUATION_ERRORS:
            failed.append(name)
            variables[name] = ""
        else:
            if value is None or (not variables[name] and not isinstance(value, str)):  # NaN is null in JSON
                nulls.append(name)
    return Mapped(variables, tuple(nulls), tuple(failed)) if nulls or failed else Mapped(variables)


def map_not_found(lookup: Lookup) -> dict[str, str]:
    """Return the variables of ``lookup`` for a thing that the backend does not have."""
    declared = lookup.not_found or {}
    return {name: declared.get(name, "") for name in lookup.variables}
