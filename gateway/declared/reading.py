"""Reading tables into structures with every fault collected, each with its place."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from gateway.core.errors import DeskgateError
from gateway.declared.environment import UnreadableSecret
from gateway.declared.wording import kind_of, misfit, misfit_of_environment, misplaced, suggestion

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*|file:[^{}]+)\}", re.ASCII)
_LIKE_VARIABLE = re.compile(
    r"\$\{|^(?:\$[A-Z][A-Z0-9_]+|%[A-Z][A-Z0-9_]+%|\{\{ ?[A-Z][A-Z0-9_]+ ?\}\})$", re.ASCII
)
"""A variable of the environment as shells, Windows and templates write it: here it is a text."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_PLACE = re.compile(r"^(.*) - at `(?:key in )?\$(.*)`$", re.DOTALL)


UNKNOWN_KEY = "unknown key"


class Secret(str):
    """A text that no log line and no traceback shows: a credential, or a value of the environment.

    ``written`` is how the file has it, with the names of environment variables in place of their values, and
    ``parts`` are these, each with its name.
    """

    __slots__ = ("parts", "written")

    def __new__(
        cls, text: str = "", written: str | None = None, parts: tuple[tuple[str, str], ...] = ()
    ) -> Self:
        """Take the text, and how the file has it if that is another text."""
        secret = super().__new__(cls, text)
        secret.written = text if written is None else written
        secret.parts = parts
        return secret

    written: str
    parts: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return ``text`` as a secret; raise TypeError if it is no text."""
        return cls(str.__add__("", text), getattr(text, "written", None), getattr(text, "parts", ()))

    def __repr__(self) -> str:
        """Hide the value."""
        return "'***'"


def plain(value: Any) -> Any:
    """Return a value with the secrets in it as plain text, fit to be encoded."""
    if isinstance(value, str):
        return str.__add__("", value)
    if isinstance(value, dict):
        return {plain(k): plain(v) for k, v in value.items()}
    return tuple(map(plain, value)) if isinstance(value, tuple) else value


encode_json = msgspec.json.Encoder(enc_hook=plain).encode
"""Return a value as JSON, the secrets in it as plain text."""


def _as_meant(value: Any) -> Any:
    return float(value) if isinstance(value, float) else plain(value)  # a duration, in a table that has one


def _as_written(value: Any) -> Any:
    return plain(value.written) if isinstance(value, Secret) else _as_meant(value)


encode_meant = msgspec.json.Encoder(enc_hook=_as_meant, order="sorted").encode
"""Return a value as JSON, its keys in order, each text of the environment as it is."""

encode_written = msgspec.json.Encoder(enc_hook=_as_written, order="sorted").encode
"""Return the same, each text of the environment as the file has it: by its variable's name."""


class Fault(msgspec.Struct, frozen=True, order=True):
    """A fault of the configuration: its place (``lookups.order.fresh``), and a message for people.

    ``about`` names the other places that it contradicts. A ``warning`` is about a setting that can be used,
    and that probably does not do what its author expects.
    """

    path: str
    message: str
    about: tuple[str, ...] = ()
    warning: bool = False

    def __str__(self) -> str:
        """Return the fault as ``check`` prints it."""
        return f"{self.path}: {self.message}" if self.path else self.message

    def elsewhere(self, tables: Mapping[str, type[msgspec.Struct]]) -> Self:
        """Return the fault, with the one table that has the key, if it is unknown where it stands."""
        key = self.path.rpartition(".")[2]
        owners = [head for head, table in tables.items() if key in table.__struct_encode_fields__]
        if self.message != UNKNOWN_KEY or len(owners) != 1:
            return self
        return msgspec.structs.replace(self, message=f"{self.message}; it belongs into {owners[0]}")

    def lies_in(self, paths: Iterable[str]) -> bool:
        """True if a place of this fault is one of ``paths``, or lies in one."""
        within = tuple(f"{path}{mark}" for path in paths for mark in ".[")
        return any(f"{place}.".startswith(within) for place in (self.path, *self.about))


class ConfigFaults(DeskgateError):
    """The configuration cannot be used; ``faults`` says everything that is wrong with it."""

    def __init__(self, faults: list[Fault]) -> None:
        """Keep ``faults`` in the order in which they were found."""
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def present(table: Mapping[str, T | None]) -> dict[str, T]:
    """Return ``table`` without the gaps that unreadable structs left."""
    return {name: value for name, value in table.items() if value is not None}


def read_struct(
    table: object, struct: type[S], path: str, environ: Mapping[str, str], faults: list[Fault]
) -> S | None:
    """Return ``table`` as a ``struct``, None if it is no table; note every fault in ``faults``.

    A field that cannot be read keeps its default, or is empty, so that the rest can still be checked.
    """
    if not isinstance(table, dict):
        _wrong("a table", table, path, faults)
        return None
    prefix = f"{path}." if path else ""
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    hints = get_type_hints(struct)
    inside = {name: _keys_of(hints[field.name]) for name, field in fields.items()}
    faults += [
        Fault(f"{prefix}{key}", f"{UNKNOWN_KEY}{misplaced(key, inside) or suggestion(key, fields)}")
        for key in table
        if key not in fields
    ]
    values: dict[str, Any] = {}
    for key, field in fields.items():
        hint = hints[field.name]
        if key in table:
            noted = len(faults)
            value = _read(table[key], hint, f"{prefix}{key}", environ, faults)
            if value is not None or len(faults) == noted:
                values[field.name] = value
        elif field.required:
            faults.append(Fault(f"{prefix}{key}", "missing"))
        if field.required and field.name not in values:
            values[field.name] = _empty(hint)
    return struct(**values)


def _read(value: object, hint: Any, path: str, environ: Mapping[str, str], faults: list[Fault]) -> Any:
    """Return ``value`` as the type that ``hint`` names, None after noting a fault.

    A struct that cannot be read leaves None under its name or number: other tables may still refer to it.
    """
    origin = get_origin(hint)
    structs = [a for a in (hint, *get_args(hint)) if _is_struct(a)]
    if origin is dict or (origin is tuple and structs):
        return _read_many(value, hint, path, environ, faults)
    words = [a for a in get_args(hint) if get_origin(a) is Literal]
    if structs and words and not isinstance(value, dict):  # a struct, or a word in its place
        if not isinstance(value, str):
            return _wrong(f"a table, or {' or '.join(map(repr, get_args(words[0])))}", value, path, faults)
        return _read_leaf(value, words[0], path, environ, faults)
    if len(structs) == 1:  # a struct, or a struct that may be left out
        return read_struct(value, structs[0], path, environ, faults)
    if structs:
        return _read_tagged(value, structs, path, environ, faults)
    return _read_leaf(value, hint, path, environ, faults)


def _read_many(value: object, hint: Any, path: str, environ: Mapping[str, str], faults: list[Fault]) -> Any:
    """Return the values of a table, or the structs of a list; a fault in one leaves the others readable."""
    inner = get_args(hint)[1 if get_origin(hint) is dict else 0]
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            return _wrong("a list of tables", value, path, faults)
        return tuple(_read(v, inner, f"{path}[{i}]", environ, faults) for i, v in enumerate(value))
    if not isinstance(value, dict):
        return _wrong("a table", value, path, faults)
    keys = inner.__struct_encode_fields__ if _is_struct(inner) else ()
    if stray := [key for key, one in value.items() if key in keys and not isinstance(one, dict)]:
        faults.append(Fault(path, f"its tables have names: write [{path}.NAME] before {', '.join(stray)}"))
        value = {key: one for key, one in value.items() if key not in keys}
    read = {k: _read(v, inner, f"{path}.{k}", environ, faults) for k, v in value.items()}
    return {k: v if v is not None or _is_struct(inner) else _empty(inner) for k, v in read.items()}


def _read_tagged(
    value: object,
    structs: list[type[msgspec.Struct]],
    path: str,
    environ: Mapping[str, str],
    faults: list[Fault],
) -> Any:
    """Return ``value`` as the one of ``structs`` that its tag names."""
    tagged = {struct.__struct_config__.tag: struct for struct in structs}
    field = str(structs[0].__struct_config__.tag_field)
    tag = _expand(value.get(field), f"{path}.{field}", environ, faults) if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(tag, str) or tag not in tagged:
        known = ", ".join(map(str, tagged))
        faults.append(Fault(f"{path}.{field}", f"must be one of {known}"))
        return None
    return read_struct({k: v for k, v in value.items() if k != field}, tagged[tag], path, environ, faults)


def _read_leaf(value: object, hint: Any, path: str, environ: Mapping[str, str], faults: list[Fault]) -> Any:
    noted = len(faults)
    expanded = _expand(value, path, environ, faults)
    if any(not fault.warning for fault in faults[noted:]):
        return None
    try:
        return msgspec.convert(expanded, hint, dec_hook=parse, strict=True)
    except msgspec.ValidationError as error:
        message, place = str(error), ""
        if match := _PLACE.match(message):
            message, place = match[1], match[2]
        told = misfit(message, hint) if expanded == value else misfit_of_environment(message)
        faults.append(Fault(path + place, told))
        return None


def _wrong(wanted: str, value: object, path: str, faults: list[Fault]) -> None:
    faults.append(Fault(path, f"expected {wanted}, got {kind_of(value)}"))


def _empty(hint: Any) -> Any:
    """Return the empty value that takes the place of a required field that cannot be read."""
    empty: type = get_origin(hint) or hint
    return empty() if empty in {str, dict, tuple, Secret} else None


def _expand(value: object, path: str, environ: Mapping[str, str], faults: list[Fault]) -> Any:
    """Return ``value`` with each ``${NAME}`` and ``${file:PATH}`` of its texts replaced; note each fault."""
    if isinstance(value, dict):
        return {k: _expand(v, f"{path}.{k}", environ, faults) for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(v, f"{path}[{i}]", environ, faults) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value
    found: dict[str, str] = {}
    for name in _VARIABLE.findall(value):
        try:
            found[name] = environ[name]
        except UnreadableSecret as error:
            faults.append(Fault(path, error.reason))
        except KeyError:
            hint = f"; a variable of the session is written {{{name}}}" if ".request." in path else ""
            faults.append(Fault(path, f"the environment variable {name} is not set{hint}"))
        else:
            if _SURROGATE.search(found[name]):
                faults.append(Fault(path, f"the environment variable {name} is not UTF-8"))
    if _LIKE_VARIABLE.search(_VARIABLE.sub("", value)):
        message = (
            "is taken as it is; a variable is written ${NAME}, a file ${file:/path}, and there is no default"
        )
        faults.append(Fault(path, message, warning=True))
    expanded = _VARIABLE.sub(lambda match: found.get(match[1], ""), value)
    return value if expanded == value else Secret(expanded, value, tuple(found.items()))


def parse(kind: Any, value: object) -> object:
    """Let msgspec read the types that are written as text (durations, sizes, addresses, secrets)."""
    try:
        return kind.parse(value)
    except (TypeError, AttributeError):
        example = getattr(kind, "EXAMPLE", "")
        shown = f", such as {example!r}" if example else ""
        msg = f"expected text in quotes{shown}, got {kind_of(value)}"
        raise ValueError(msg) from None  # msgspec adds the place to a ValueError alone


def _keys_of(hint: Any) -> list[str]:
    """Return the keys of the table that a setting is, none for another setting."""
    structs = [one for one in (hint, *get_args(hint)) if _is_struct(one)]
    named = get_origin(hint) in {dict, tuple}  # a table for each name
    return [] if named else [field.encode_name for one in structs for field in msgspec.structs.fields(one)]


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct) and not hasattr(hint, "parse")
