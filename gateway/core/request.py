"""An HTTP lookup's request: declared with ``{Variable}`` places, filled with a callback's inputs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from gateway.core import config
from gateway.core.template import Template, encode_header, encode_segment, fill_path, parse_template


@dataclass(frozen=True, slots=True)
class FilledRequest:
    """A request ready to be sent: ``target`` is path and query, percent-encoded; ``body`` is JSON or None."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """A declared request with its places; build it with :func:`compile_request`."""

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

        Raise KeyError when a value is absent, ValueError when one would change the path's structure.
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
            body=None if self.json is None else msgspec.json.encode(_fill_json(self.json, values)),
        )


def compile_request(declared: config.Request, fault: Callable[[str, str], None]) -> RequestTemplate:
    """Return the template that ``declared`` says; call ``fault(place, message)`` for each that is none."""

    def template(text: str, place: str) -> Template:
        try:
            return parse_template(text)
        except ValueError as error:
            fault(place, f"{text!r} is not a template: {error}")
            return Template(())

    if not declared.path.startswith("/"):
        fault("path", "must begin with '/': it is added to the backend's url")
    if "?" in declared.path or "#" in declared.path:
        fault("path", "'?' and '#' do not belong in a path; put the query into `query`")
    if declared.json is not None and declared.method == "GET":
        fault("json", "a GET request has no body; use method = 'POST'")
    return RequestTemplate(
        method=declared.method,
        path=template(declared.path, "path"),
        query={name: template(text, f"query.{name}") for name, text in declared.query.items()},
        headers={name: template(text, f"headers.{name}") for name, text in declared.headers.items()},
        json=_compile_json(declared.json, "json", template),
    )


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
