"""Places: the variables of a template, and which text each kind of place makes of a value.

A place is ``{name}``, with two marks: ``{name?}`` may stay empty, and ``{name:kind}`` says what its value is.

==============================  ========================================================================
``{name}``                      any text; the text around it encodes it
``{name:any}``                  the same; in a path it may hold a slash
``{name:int}``                  a whole number of 64 bits; white space and leading zeros are not sent
``{name:number}``               a number as JSON writes it, sent as it is written
``{name:bool}``                 ``true``, ``false``, ``1``, ``0``
``{name:json}``                 a JSON text
``{name:soql}``                 escaped for a SOQL string in quotes
``{name:soqllike}``             the same behind LIKE: ``%`` and ``_``, too; ``:soql`` there means this
``{name:odata}``                escaped for an OData string in quotes
``{name:graphql}``              escaped for a GraphQL string in quotes
==============================  ========================================================================
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from gateway.core.errors import InvalidInput
from gateway.core.packing import UNREADABLE

PLACE = re.compile(r"\{(?P<name>[^\s{}\[\]!:?]+)(?P<optional>\?)?(?::(?P<kind>[a-z]+))?\}")
"""A place; its kind may be none that is known."""

_INT = re.compile(r"\s*([+-]?[0-9]{1,19})\s*", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_LONGEST_NUMBER = 64
_LONGEST_JSON = 16_384
_INT_RANGE = range(-(2**63), 2**63)
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
"""A control character: no path holds one, nor a string of a query language."""

_SOQL = str.maketrans(
    {"\\": r"\\", "'": r"\'", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\b": r"\b", "\f": r"\f"}
)


def _int(value: str) -> str:
    found = _INT.fullmatch(value)
    if found is None or int(found[1]) not in _INT_RANGE:
        raise ValueError
    return str(int(found[1]))


def _number(value: str) -> str:
    if len(value) > _LONGEST_NUMBER or not _NUMBER.fullmatch(value):
        raise ValueError
    return value


def _bool(value: str) -> str:
    return {"true": "true", "1": "true", "false": "false", "0": "false"}[value.lower()]


def _json(value: str) -> str:
    if len(value) > _LONGEST_JSON:
        raise ValueError
    msgspec.json.decode(value)
    return value


def _soql(value: str) -> str:
    escaped = value.translate(_SOQL)
    if CONTROL.search(escaped):
        raise ValueError
    return escaped


def _soqllike(value: str) -> str:
    return _soql(value).replace("%", r"\%").replace("_", r"\_")


def _odata(value: str) -> str:
    if CONTROL.search(value):
        raise ValueError
    return value.replace("'", "''")


def _graphql(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1].replace("\x7f", r"\u007f")


KINDS: Mapping[str, Callable[[str], str]] = {
    "text": str,
    "any": str,
    "int": _int,
    "number": _number,
    "bool": _bool,
    "json": _json,
    "soql": _soql,
    "soqllike": _soqllike,
    "odata": _odata,
    "graphql": _graphql,
}
"""By the mark of a place: what makes its text of a value; one of UNFIT for a value that is none."""

UNFIT = (ValueError, KeyError, *UNREADABLE)
TYPED = frozenset({"int", "number", "bool", "json"})
"""Kinds whose text is a JSON value by itself."""

PLAIN = frozenset({"text", "any"})
"""Kinds without an escape of their own."""

QUOTES = {"soql": "'", "soqllike": "'", "odata": "'", "graphql": '"'}
"""Kinds that escape for a string in quotes, and its quotes. Outside of them they protect nothing."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place of a template."""

    name: str
    kind: str = "text"
    optional: bool = False

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text of the value; raise KeyError if it is absent, InvalidInput if it does not fit."""
        value = values[self.name]
        try:
            return KINDS[self.kind](value)
        except UNFIT:
            raise InvalidInput(self.name) from None


def parse_place(text: str) -> Place:
    """Return the place that a text in braces is; raise ValueError if it is none."""
    found = PLACE.fullmatch(text)
    if found is None:
        msg = "a place holds a variable's name, for example {orderId}; a brace itself is written {{ or }}"
        raise ValueError(msg)
    kind = found["kind"] or "text"
    if kind not in KINDS:
        msg = f"{found['kind']!r} is no kind of place; known: {', '.join(KINDS)}"
        raise ValueError(msg)
    return Place(found["name"], kind, found["optional"] is not None)
