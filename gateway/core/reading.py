"""Reading tables into structures with every fault collected, each with its place."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)
_PLACE = re.compile(r"^(.*) - at `(?:key in )?\$(.*)`$", re.DOTALL)


class Fault(msgspec.Struct, frozen=True, order=True):
    """Something wrong with the configuration: its place (``lookups.order.fresh``) and what it is."""

    path: str
    message: str

    def __str__(self) -> str:
        """Return the fault as ``check`` prints it."""
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigFaults(Exception):
    """The configuration cannot be used; ``faults`` says everything that is wrong with it."""

    def __init__(self, faults: list[Fault]) -> None:
        """Keep ``faults`` in the order in which they were found."""
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def present(table: Mapping[str, T | None]) -> dict[str, T]:
    """Return ``table`` without the gaps that unreadable structs left."""
    return {name: value for name, value in table.items() if value is not None}


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` when one of the ``known`` words is close to ``word``, else nothing."""
    close = get_close_matches(
        word, [str(k) for k in known] if isinstance(known, (set, dict, tuple, list)) else []
    )
    return f"; did you mean {close[0]!r}?" if close else ""


def read_struct(
    table: object, struct: type[S], path: str, environ: Mapping[str, str], faults: list[Fault]
) -> S | None:
    """Return ``table`` as a ``struct``; note every fault in ``faults``.

    A field that cannot be read keeps its default, so that the rest can still be checked; None when a field
    without a default is missing.
    """
    if not isinstance(table, dict):
        faults.append(Fault(path, f"expected a table, got {_kind(table)}"))
        return None
    prefix = f"{path}." if path else ""
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    hints = get_type_hints(struct)
    unknown = [key for key in table if key not in fields]
    faults += [Fault(f"{prefix}{key}", f"unknown key{suggestion(key, fields)}") for key in unknown]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in table:
            noted = len(faults)
            value = _read(table[name], hints[name], f"{prefix}{name}", environ, faults)
            if value is not None or len(faults) == noted:
                values[name] = value
        elif field.required:
            faults.append(Fault(f"{prefix}{name}", "missing"))
    if any(field.required and name not in values for name, field in fields.items()):
        return None
    return struct(**values)


def _read(value: object, hint: Any, path: str, environ: Mapping[str, str], faults: list[Fault]) -> Any:
    """Return ``value`` as the type ``hint`` says, None after noting a fault.

    A struct that cannot be read leaves a gap under its name or number, so that others may still refer to it.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    structs = [a for a in (hint, *arguments) if _is_struct(a)]
    if origin is dict and isinstance(value, dict):
        read = {k: _read(v, arguments[1], f"{path}.{k}", environ, faults) for k, v in value.items()}
        return read if structs else {k: v for k, v in read.items() if v is not None}
    if origin is tuple and isinstance(value, list) and structs:
        return tuple(_read(v, structs[0], f"{path}[{i}]", environ, faults) for i, v in enumerate(value))
    if len(structs) == 1:  # a struct, or a struct that may be left out
        return read_struct(value, structs[0], path, environ, faults)
    return _read_leaf(value, hint, path, environ, faults)


def _read_leaf(value: object, hint: Any, path: str, environ: Mapping[str, str], faults: list[Fault]) -> Any:
    noted = len(faults)
    expanded = _expand(value, path, environ, faults)
    if len(faults) > noted:
        return None
    try:
        return msgspec.convert(expanded, hint, dec_hook=_parse, strict=True)
    except msgspec.ValidationError as error:
        message, place = str(error), ""
        if match := _PLACE.match(message):
            message, place = match[1], match[2]
        if expanded != value:  # a value taken from the environment stays out of messages
            message = "the value taken from the environment does not fit here"
        faults.append(Fault(path + place, _plain(message, hint)))
        return None


def _plain(message: str, hint: Any) -> str:
    """Return msgspec's ``message`` in the words of a person who writes the file."""
    if message.startswith("Invalid value"):
        tags = [str(a.__struct_config__.tag) for a in get_args(hint) if _is_struct(a)]
        return message.lower() + (f"; one of {', '.join(tags)}" if tags else "")
    if message.startswith("Object missing required field"):
        return message.replace("Object missing", "missing")
    return message[:1].lower() + message[1:]


def _expand(value: object, path: str, environ: Mapping[str, str], faults: list[Fault]) -> Any:
    """Return ``value`` with each ``${NAME}`` of its texts replaced, noting the names that are not set."""
    if isinstance(value, dict):
        return {k: _expand(v, f"{path}.{k}", environ, faults) for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(v, f"{path}[{i}]", environ, faults) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value
    missing = [name for name in _VARIABLE.findall(value) if name not in environ]
    faults += [Fault(path, f"the environment variable {name} is not set") for name in missing]
    return _VARIABLE.sub(lambda match: environ.get(match[1], ""), value)


def _parse(kind: Any, value: object) -> object:
    """Let msgspec read the types that are written as text (durations, sizes, addresses, secrets)."""
    try:
        return kind.parse(value)
    except (TypeError, AttributeError):
        msg = f"expected text in quotes, got {_kind(value)}"
        raise ValueError(msg) from None  # msgspec adds the place to a ValueError alone


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct) and not hasattr(hint, "parse")


def _kind(value: object) -> str:
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), type(value).__name__)
