"""The body of a lookup's request: a JSON value, a form or a text, filled without breaking its language."""

# ruff: noqa: ANN401 - any JSON value

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from gateway.core.errors import InvalidInput
from gateway.declared.place import TYPED
from gateway.declared.reading import encode_json
from gateway.declared.template import Template, encode_segment

XML_TYPE = re.compile(r"[^;]*[/+]xml\s*(;.*)?", re.IGNORECASE)
JSON_TYPE = re.compile(r"[^;]*[/+]json\s*(;.*)?", re.IGNORECASE)
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Line breaks and tabs are written as references too: a parser turns them into spaces in an attribute.
_XML = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
    | {blank: f"&#{ord(blank)};" for blank in "\t\n\r"}
)


class _Key(msgspec.Struct, frozen=True):
    """A key of a JSON object that has places."""

    template: Template


class _LeftOut(Exception):
    """An optional place has no value: what holds it is left out."""


def compile_json(value: Any, place: str, template: Callable[[str, str], Template]) -> Any:
    """Return a JSON value with its texts made templates by ``template(text, place)``."""
    if isinstance(value, str):
        return template(value, place)
    if isinstance(value, dict):
        return {
            _Key(template(k, place)) if "{" in k or "}" in k else k: compile_json(v, f"{place}.{k}", template)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [compile_json(v, f"{place}[{i}]", template) for i, v in enumerate(value)]
    return value


def fill_json(value: Any, values: Mapping[str, str]) -> Any:
    """Return a JSON value with its places filled; raise _LeftOut if it is to be left out."""
    if isinstance(value, Template):
        if value.left_out(values):
            raise _LeftOut
        alone = value.alone
        if alone is not None and alone.kind in TYPED:
            return msgspec.Raw(alone.fill(values).encode())
        return value.fill(values, str)
    if isinstance(value, dict):
        return _fill_object(value, values)
    if isinstance(value, list):
        return [filled for item in value for filled in _kept(item, values)]
    return value


def _fill_object(value: Mapping[Any, Any], values: Mapping[str, str]) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    for key, item in value.items():
        name = key.template.fill(values, str) if isinstance(key, _Key) else key
        for kept in _kept(item, values):
            if (
                name in filled
            ):  # the value of one place is the key of another: which one does the backend take?
                raise InvalidInput(", ".join(key.template.inputs) if isinstance(key, _Key) else name)
            filled[name] = kept
    return filled


def _kept(item: Any, values: Mapping[str, str]) -> Iterator[Any]:
    """Yield the filled item, unless it is to be left out."""
    try:
        yield fill_json(item, values)
    except _LeftOut:
        return


def fill_pairs(pairs: Mapping[str, Template], values: Mapping[str, str]) -> str:
    """Return a query, or a form: names and values percent-encoded."""
    return "&".join(
        f"{quote(name, safe='')}={encode_segment(template.fill(values, str))}"
        for name, template in pairs.items()
        if not template.left_out(values)
    )


def templates_of(value: Any, place: str) -> Iterator[tuple[str, Template]]:
    """Yield the templates in a compiled JSON value, each with its place in the table."""
    if isinstance(value, Template):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(key, _Key):
                yield place, key.template
            yield from templates_of(inner, f"{place}.{key}" if isinstance(key, str) else place)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from templates_of(inner, f"{place}[{number}]")


def keys_of(value: Any) -> Iterator[Template]:
    """Yield the keys of a compiled JSON value that have places: two keys may become one."""
    inner: Iterable[Any] = ()
    if isinstance(value, dict):
        yield from (key.template for key in value if isinstance(key, _Key))
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    for one in inner:
        yield from keys_of(one)


def escape_xml(value: str) -> str:
    """Return ``value`` as a text or an attribute of XML; raise ValueError if XML cannot hold a character."""
    if _NOT_IN_XML.search(value):
        msg = "XML cannot hold this character"
        raise ValueError(msg)
    return value.translate(_XML)


def escape_json(value: str) -> str:
    """Return ``value`` as the inside of a JSON string."""
    return encode_json(value).decode()[1:-1]
