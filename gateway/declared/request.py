"""The table ``lookups.NAME.request``, its contradictions, and the request that it means.

Its texts have ``{Variable}`` places, which are filled with a callback's inputs.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from gateway.declared.reading import encode_json
from gateway.declared.template import Template, encode_header, encode_segment, fill_path, parse_template
from gateway.declared.values import CONTROL, HEADER_NAME, Table

Report = Callable[[str, str], None]

_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


class RequestTable(Table, frozen=True, kw_only=True):
    """The question to an HTTP backend, with ``{Variable}`` places."""

    path: str
    method: Literal["GET", "POST", "PUT", "PATCH"] = "GET"
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    json: Any = None


@dataclass(frozen=True, slots=True)
class FilledRequest:
    """A request ready to be sent: ``target`` is path and query, percent-encoded; ``body`` is JSON or None."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """A request with its places; build it with :func:`compile_request`."""

    method: str
    path: Template
    query: Mapping[str, Template]
    headers: Mapping[str, Template]
    json: Any

    @property
    def inputs(self) -> Iterator[str]:
        """The names of the variables that the request reads."""
        for template in (self.path, *self.query.values(), *self.headers.values(), *_templates(self.json)):
            yield from template.inputs

    def fill(self, values: Mapping[str, str]) -> FilledRequest:
        """Return the request with every place filled.

        Raise KeyError if a value is absent, ValueError if one would change the path's structure.
        """
        path = fill_path(self.path, values)
        query = "&".join(
            f"{quote(name, safe='')}={encode_segment(template.fill(values, str))}"
            for name, template in self.query.items()
        )
        return FilledRequest(
            method=self.method,
            target=f"{path}?{query}" if query else path,
            headers={name: template.fill(values, encode_header) for name, template in self.headers.items()},
            body=None if self.json is None else encode_json(_fill_json(self.json, values)),
        )


def compile_request(table: RequestTable, report: Report) -> RequestTemplate:
    """Return the template that ``table`` means; call ``report(place, message)`` for every fault."""

    def template(text: str, place: str) -> Template:
        try:
            return parse_template(text)
        except ValueError as error:
            report(place, f"{text!r} is not a template: {error}")
            return Template(())

    if table.json is not None and table.method == "GET":
        report("json", "a GET request has no body; use method = 'POST'")
    path = template(table.path, "path")
    _check_path(table.path, path, report)
    _check_headers(table.headers, report)
    return RequestTemplate(
        method=table.method,
        path=path,
        query={name: template(text, f"query.{name}") for name, text in table.query.items()},
        headers={name: template(text, f"headers.{name}") for name, text in table.headers.items()},
        json=_compile_json(table.json, "json", template),
    )


def _check_path(text: str, path: Template, report: Report) -> None:
    if not text.startswith("/"):
        report("path", "must begin with '/': it is added to the backend's url")
    if "?" in text or "#" in text:
        report("path", "'?' and '#' do not belong in a path; put the query into `query`")
    if any(_STRAY_PERCENT.search(literal) for literal, _ in path.parts):
        report("path", "a '%' must be followed by two hexadecimal digits; write '%25' for the sign itself")
    try:
        fill_path(path, dict.fromkeys(path.inputs, "x"))
    except ValueError:
        report("path", "must not have a segment '.' or '..'")


def _check_headers(headers: Mapping[str, str], report: Report) -> None:
    for name, text in headers.items():
        if not HEADER_NAME.fullmatch(name):
            report(f"headers.{name}", "a header's name is letters, digits and hyphens")
        if CONTROL.search(text):
            report(f"headers.{name}", "a header holds no line break and no other control character")


def _compile_json(value: Any, place: str, template: Callable[[str, str], Template]) -> Any:
    if isinstance(value, str):
        return template(value, place)
    if isinstance(value, dict):
        return {k: _compile_json(v, f"{place}.{k}", template) for k, v in value.items()}
    if isinstance(value, list):
        return [_compile_json(v, f"{place}[{i}]", template) for i, v in enumerate(value)]
    return value


def _fill_json(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, Template):
        return value.fill(values, str)
    if isinstance(value, dict):
        return {k: _fill_json(v, values) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill_json(v, values) for v in value]
    return value


def _templates(value: Any) -> Iterator[Template]:
    if isinstance(value, Template):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _templates(inner)
