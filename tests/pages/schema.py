"""docs/deskgate.schema.json: the JSON Schema of the configuration, for editors. It is made from the code.

The types come from the tables, the words from docs/settings.md.
"""

import json
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from gateway.declared.catalog import Config
from gateway.declared.reading import Secret
from gateway.declared.values import Address, Duration, PerSecond, Share, Size, Tokens
from tests.documents import MANUAL, table

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}
_VARIABLE = r"\$\{[^}]+\}"
_TEXTS: Mapping[Any, tuple[str, str, str]] = {
    Duration: ("a time, such as 800ms, 1.6s, 5m, 24h or 7d", r"\d{1,12}(\.\d{1,9})? ?(ms|s|m|h|d)", "800ms"),
    Size: ("a size, such as 64KiB or 1MiB", r"\d{1,12}(\.\d{1,9})? ?(B|KiB|MiB|kB|MB)", "64KiB"),
    Share: ("a share, such as 20%", r"\d{1,3}(\.\d{1,3})? ?%", "20%"),
    PerSecond: ("a rate, such as 50/s or 3000/min", r"\d{1,9}(\.\d{1,6})? ?/ ?(s|min|h)", "50/s"),
    Address: ("host:port; an empty host is every interface", r".*:\d{1,5}", "127.0.0.1:8080"),
}


def _parsed(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - any type
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if kind in _TEXTS:
        says, pattern, example = _TEXTS[kind]
        whole = f"^({pattern}|.*{_VARIABLE}.*)$"
        return {"type": "string", "pattern": whole, "description": says, "examples": [example]}
    if kind is Tokens:
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    if kind is Secret:
        return {"type": "string", "description": 'take it from the environment: "${NAME}"'}
    return {}  # written in several ways: `deskgate check` says what is wrong


def _told() -> dict[str, str]:
    """Return what the manual says of each setting."""
    return {row[0].strip("`"): row[2].replace("`", "") for row in table(MANUAL, "setting")}


def _node(hint: Any, place: str, told: Mapping[str, str]) -> dict[str, Any]:  # noqa: ANN401 - any type
    """Return the schema of a type at a place of the file."""
    origin, inner = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct) and not hasattr(hint, "parse"):
        return _table(hint, place, told)
    if origin in {Union, UnionType}:
        kinds = [_node(one, place, told) for one in inner if one is not NoneType]
        return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if origin is Literal:
        return {"enum": [*inner]}
    if origin is dict:
        word = "ID" if place == "apps" else "NAME"
        return {"type": "object", "additionalProperties": _node(inner[1], f"{place}.{word}", told)}
    if origin is tuple:
        return {"type": "array", "items": _node(inner[0], f"{place}[n]", told)}
    return _parsed(hint)


def _table(struct: Any, place: str, told: Mapping[str, str]) -> dict[str, Any]:  # noqa: ANN401 - a Struct
    hints = get_type_hints(struct)
    properties, required = {}, []
    config = struct.__struct_config__
    if config.tag_field:
        properties[config.tag_field] = {"const": config.tag}
        required += [config.tag_field]
    for field in msgspec.structs.fields(struct):
        name = field.encode_name
        where = f"{place}.{name}" if place else name
        properties[name] = _node(hints[field.name], where, told)
        if where in told:
            properties[name] = {**properties[name], "description": told[where]}
        if field.required:
            required.append(name)
    table: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**table, "required": required} if required else table


def file() -> str:
    """Return docs/deskgate.schema.json."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The configuration of deskgate",
    }
    return json.dumps({**head, **_node(Config, "", _told())}, indent=1, ensure_ascii=False) + "\n"
