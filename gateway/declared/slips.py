"""Texts that can be used, and that probably do not mean what their author expects.

Who comes from another tool writes its places: ``{{orderId}}``, ``:orderId``, ``<orderId>``, ``$TOKEN``. Here
such a text stands as it is, and the backend is asked about an order of that name.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gateway.declared.place import PLACE
from gateway.declared.reading import Fault, Secret

_IN_PATH = re.compile(r"\{\{\s*(\w+)\s*\}\}|(?<=/):(\w+)|<(\w+)>")
_WHOLE = re.compile(r"\{\{\s*(\w+)\s*\}\}|<(\w+)>")
_TEXT = re.compile(r"'((?:[^']|'')*)'")
_PARAMETER = re.compile(r"%?(?:\{(\w+)\}|:([A-Za-z_]\w*))%?")
_OF_CONNECTIONS = frozenset(
    ("connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)
_OF_DRIVERS = re.compile(r"%\((\w+)\)s|\$[1-9]\b|=\s*[?](?!\w)")


def slips_of_request(path: str, request: Any) -> Iterator[Fault]:  # noqa: ANN401 - its table
    """Yield a warning for each text of a request in which a place of another tool stands."""
    for found in _IN_PATH.finditer(_as_written(request.path)):
        yield _no_place(f"{path}.path", found)
    if _as_written(request.path) != _as_written(request.path).strip():
        yield Fault(f"{path}.path", "begins or ends with a blank, which is sent as it is", warning=True)
    for name in request.headers:
        if name.lower() in _OF_CONNECTIONS:
            message = (
                "a connection has this header by itself, and another one confuses the backend; leave it out"
            )
            yield Fault(f"{path}.headers.{name}", message, warning=True)
    pairs = {"query": request.query, "headers": request.headers, "form": request.form, "json": request.json}
    for where, text in _texts(path, pairs):
        if alone := _WHOLE.fullmatch(_as_written(text)):
            yield _no_place(where, alone)


def slips_of_texts(path: str, texts: Mapping[str, str], inputs: Collection[str]) -> Iterator[Fault]:
    """Yield a warning for each text that goes out as it stands, and has an input as a place would."""
    for name, text in texts.items():
        for found in PLACE.finditer(_as_written(text)):
            if found["name"] in inputs:
                message = f"{found[0]} is a text, and no place: it goes out as it is"
                yield Fault(f"{path}.{name}", message, warning=True)


def slips_of_statement(path: str, sql: str) -> Iterator[Fault]:
    """Yield a warning for each parameter that is none: in quotes it is a text, and drivers have their own."""
    sql = _as_written(sql)
    for quoted in _TEXT.finditer(sql):
        if found := _PARAMETER.fullmatch(quoted[1]):
            name = found[1] or found[2]
            like = f", and behind LIKE '%' || :{name} || '%'" if "%" in quoted[1] else ""
            message = f"{quoted[0]} is a text, and no parameter; write :{name} without quotes{like}"
            yield Fault(path, message, warning=True)
    for found in _OF_DRIVERS.finditer(_TEXT.sub("''", sql)):
        message = f"{found[0].lstrip('= ')} is no parameter here; write :{found[1] or 'orderId'}"
        yield Fault(path, message, warning=True)


def _no_place(where: str, found: re.Match[str]) -> Fault:
    name = next(filter(None, found.groups()))
    return Fault(where, f"{found[0]} is a text, and no place; write {{{name}}}", warning=True)


def _texts(where: str, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(f"{where}.{key}", inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts(f"{where}[{number}]", inner)


def _as_written(text: str) -> str:
    """Return a text as the file has it: what the environment gave is not looked at, and not shown."""
    return text.written if isinstance(text, Secret) else text
