"""Reads a fault script from TOML, and collects every fault in it, not only the first one."""

import tomllib
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import msgspec
from msgspec import Struct, ValidationError, structs

from gateway.core.units import parse_duration
from gateway.crm.script import Script, ScriptError, Seconds


def read_script(text: str | bytes) -> Script:
    """Return the script that the TOML ``text`` describes; raise ScriptError with every fault in it."""
    try:
        table = tomllib.loads(text.decode() if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as error:
        raise ScriptError([f"not TOML: {error}"]) from error
    faults: list[str] = []
    script = _read(Script, table, "script", faults)
    if not isinstance(script, Script) or faults:
        raise ScriptError(faults)
    return script


def _read(kind: Any, raw: object, place: str, faults: list[str]) -> object:  # noqa: ANN401 - a type form
    """Return ``raw`` as a ``kind``. If it is not one, add to ``faults`` and return None."""
    is_array = get_origin(kind) is tuple
    if is_array and isinstance(raw, list):
        item = get_args(kind)[0]
        return tuple(_read(item, value, f"{place}[{index}]", faults) for index, value in enumerate(raw))
    if not is_array and isinstance(raw, dict):
        for part in (kind, *get_args(kind)):  # a struct, or a struct or None
            if isinstance(part, type) and issubclass(part, Struct):
                return _read_struct(part, raw, place, faults)
    try:
        return msgspec.convert(raw, kind, dec_hook=_seconds)
    except ValidationError as error:
        faults.append(f"{place}: {str(error).replace('`object`', '`table`')}")
        return None


def _read_struct(kind: type[Struct], raw: dict[str, object], place: str, faults: list[str]) -> object:
    fields = {field.name: field for field in structs.fields(kind)}
    before = len(faults)
    faults.extend(_misfits(fields, raw, place))
    inside = "" if kind is Script else f"{place}."
    values = {
        key: _read(fields[key].type, value, f"{inside}{key}", faults)
        for key, value in raw.items()
        if key in fields
    }
    try:
        return kind(**values) if len(faults) == before else None
    except ValueError as error:
        faults.append(f"{place}: {error}")
        return None


def _misfits(fields: dict[str, structs.FieldInfo], raw: dict[str, object], place: str) -> Iterator[str]:
    """Yield a fault for each unknown key, and for each required key that is missing."""
    for key in raw:
        if key not in fields:
            yield f"{place}: unknown key {key!r}; known are {', '.join(fields)}"
    for name, field in fields.items():
        if field.required and name not in raw:
            yield f"{place}: {name} is missing"


def _seconds(kind: type, raw: object) -> Seconds:
    """Return a duration, the one type here that msgspec does not know; raise ValueError for a bad one."""
    if kind is not Seconds or not isinstance(raw, str):
        msg = f'Expected a duration such as "120ms", got `{type(raw).__name__}`'
        raise ValueError(msg)
    return Seconds(parse_duration(raw))
