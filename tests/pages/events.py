"""docs/events.md and the JSON Schema of each line of the log: made by telling each event.

Each function of ``telemetry/events.py`` is called with what its types allow: once with all there is, once
with as little. The lines that come out have the fields, and those that are in both are always there.
"""

import inspect
import json
import subprocess
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway.core.errors import Code
from gateway.telemetry import events
from gateway.telemetry.events import LookupAnswered

FIRST = ("event", "level", "timestamp", "process")
_LEVELS = ["debug", "info", "warning", "error"]
_JSON = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", type(None): "null"}
_FULL: dict[Any, Any] = {
    str: "text",
    int: 1,
    float: 0.5,
    bool: True,
    Code: Code.TIMEOUT,
    object: "text",
    bytes: b"text",
    BaseException: ValueError("text"),
    Exception: ValueError("text"),
}


def functions() -> dict[str, Callable[..., None]]:
    """Return the function of each event, in the order of the file."""
    return {
        name.replace("_", ".", 1): one
        for name, one in vars(events).items()
        if inspect.isfunction(one) and one.__module__ == events.__name__ and not name.startswith("_")
    }


def _value(kind: Any, *, full: bool) -> Any:  # noqa: ANN401 - any type of an argument
    """Return a value of a type: as much as it allows, or as little."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in {types.UnionType, typing.Union}:
        if not full and type(None) in inner:
            return None
        return _value(next(one for one in inner if one is not type(None)), full=full)
    if origin is Mapping:
        return {"name": _value(inner[1], full=full)}
    if origin is Sequence:
        return [_value(inner[0], full=full)] if full else []
    if origin is typing.Literal:
        return inner[-1]
    return {**_FULL, bool: full, LookupAnswered: _lookup(full=full)}[kind]


def _lookup(*, full: bool) -> LookupAnswered:
    return LookupAnswered("stale", 1.5 if full else None, 0.5, Code.TIMEOUT, "x" * full, 2 * full)


def _calls(one: Callable[..., None]) -> Iterator[dict[str, Any]]:
    hints = typing.get_type_hints(one)
    hints.pop("return")
    needed = [name for name, one in inspect.signature(one).parameters.items() if one.default is one.empty]
    yield {name: _value(kind, full=True) for name, kind in hints.items()}
    yield {name: _value(hints[name], full=False) for name in needed if name in hints}


_CODE = """
import pickle, sys
from gateway.telemetry import events
from gateway.telemetry.logs import choose, configure_logs
configure_logs("gateway", "json")
choose("debug", None)
for name, arguments in pickle.load(sys.stdin.buffer):
    getattr(events, name.replace(".", "_"))(**arguments)
"""


def lines() -> dict[str, list[dict[str, Any]]]:
    """Return two lines of each event as a process writes them: with all there is, and with as little."""
    import pickle  # noqa: PLC0415 - to a process of ours

    calls = [(name, arguments) for name, one in functions().items() for arguments in _calls(one)]
    told = subprocess.run([sys.executable, "-c", _CODE], input=pickle.dumps(calls), stdout=-1, check=True)
    found: dict[str, list[dict[str, Any]]] = {}
    for line in map(json.loads, told.stdout.splitlines()):
        found.setdefault(line["event"], []).append(line)
    return found


def _schema(values: Sequence[Any]) -> dict[str, Any]:
    """Return the schema of some values of one field."""
    maps = [value for value in values if isinstance(value, dict)]
    if maps:
        inner = [one for value in maps for one in value.values()]
        if all(isinstance(one, dict) for one in inner) and inner:
            return {"type": "object", "additionalProperties": _object(inner)}
        return {"type": "object"}
    kinds = sorted({_JSON[type(value)] for value in values})
    kinds = [kind for kind in kinds if kind != "integer" or "number" not in kinds]
    schema: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds}
    items = [one for value in values if isinstance(value, list) for one in value]
    if items:
        schema["items"] = _schema(items)
    return schema


def _object(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for value in values for name in value))
    return {
        "type": "object",
        "properties": {name: _schema([one[name] for one in values if name in one]) for name in names},
        "required": [name for name in names if all(name in one for one in values)],
    }


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each event's lines. Further fields may come in later releases."""
    found = {}
    for name, told in lines().items():
        schema = _object(told)
        schema["description"] = (inspect.getdoc(functions()[name]) or "").partition("\n")[0]
        properties = schema["properties"]
        properties["event"] = {"const": name}
        levels = _LEVELS[1:] if name == "library.logged" else [told[0]["level"]]
        properties["level"] = {"enum": levels}
        properties["timestamp"] = {"type": "string", "format": "date-time"}
        properties["process"] = {"type": "string"}
        if "code_name" in properties:
            properties["code_name"] = {"enum": [code.name for code in Code]}
        found[name] = schema
    return found


def file() -> str:
    """Return docs/events.schema.json: one schema for any line."""
    each = schemas()
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of deskgate's log",
        "type": "object",
        "required": [*FIRST],
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in each],
        "$defs": each,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


_HEAD = """\
# Events

Every line of the log, as JSON: its fields and their types. This page is made from the code (`make pages`). \
[Logs](logs.md) says what they mean. [events.schema.json](events.schema.json) has all of it \
as one JSON Schema, for collectors and checks.

Each line begins with `event`, `level`, `timestamp` (RFC 3339, UTC) and `process` (`gateway` or `worker`). \
Fields in *italics* are not in every line. Later releases may add fields.
"""


def page() -> str:
    """Return docs/events.md."""
    parts = [_HEAD]
    for name, schema in schemas().items():
        level = "/".join(schema["properties"]["level"]["enum"])
        parts += [f"\n## {name}\n", f"*{level}*. {schema['description']}\n\n"]
        rows = [
            f"| {_marked(field, schema)} | {_type(one)} |\n"
            for field, one in schema["properties"].items()
            if field not in FIRST
        ]
        if rows:
            parts += ["| field | type |\n|---|---|\n", *rows]
    return "".join(parts)


def _marked(field: str, schema: Mapping[str, Any]) -> str:
    return f"`{field}`" if field in schema["required"] else f"*`{field}`*"


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "the name of a code" if "TIMEOUT" in schema["enum"] else ", ".join(schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    text = " or ".join(kinds)
    if "items" in schema:
        text += f" of {schema['items']['type']}"
    if inner := schema.get("additionalProperties"):
        text += f": for each name {', '.join(_marked(name, inner) for name in inner['properties'])}"
    return text
