"""Variants of a configuration: settings changed by their places, and all of it written as TOML again."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any


def varied(text: str, changes: Mapping[str, object]) -> str:
    """Return a configuration in which settings are changed, each named by its place, as in a fault.

    A setting that is to be None is left out; it must have been there.
    """
    tables = tomllib.loads(text)
    for place, value in changes.items():
        *above, last = place.split(".")
        table = tables
        for name in above:
            table = table.setdefault(name, {})
        if value is None:
            del table[last]
        else:
            table[last] = value
    return written(tables)


def written(tables: Mapping[str, Any]) -> str:
    """Return a configuration as TOML, each table of the file's under a heading of its own."""
    return "\n".join(line for name, value in tables.items() for line in _lines(name, value))


def _lines(name: str, value: Any) -> Iterator[str]:  # noqa: ANN401 - any TOML value
    if isinstance(value, list):
        for one in value:
            yield f"[[{name}]]"
            yield from _settings(one)
    elif value and all(isinstance(inner, dict) for inner in value.values()):
        for inner_name, inner in value.items():
            yield f"[{name}.{_key(inner_name)}]"
            yield from _settings(inner)
    else:
        yield f"[{name}]"
        yield from _settings(value)


def _settings(table: Mapping[str, object]) -> Iterator[str]:
    for name, value in table.items():
        yield f"{_key(name)} = {_inline(value)}"
    yield ""


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(name)} = {_inline(inner)}' for name, inner in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return json.dumps(value)  # text, numbers, true and false are written as in JSON


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
