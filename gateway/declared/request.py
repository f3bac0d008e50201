"""The table ``lookups.NAME.request``, its contradictions, and the request that it means.

Its texts have ``{Variable}`` places, which are filled with a callback's inputs (see ``template.py``).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.core.errors import InvalidInput
from gateway.declared.body import (
    JSON_TYPE,
    XML_TYPE,
    compile_json,
    escape_json,
    escape_xml,
    fill_json,
    fill_pairs,
    keys_of,
    templates_of,
)
from gateway.declared.place import PLAIN, QUOTES, TYPED, Place
from gateway.declared.reading import Secret, encode_json, plain
from gateway.declared.template import Template, encode_header, fill_path, is_plain, parse_template
from gateway.declared.values import CONTROL, HEADER_NAME, Table

Report = Callable[[str, str], None]

_BRACES = re.compile(r"\{[^{}]*\}")
_HALF_ESCAPE = re.compile("%25[0-9A-Fa-f]?$")
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+\s*(;[^\x00-\x1f\x7f]*)?", re.ASCII)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s;\"']+)", re.IGNORECASE)
_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_FORM = "application/x-www-form-urlencoded"


class RequestTable(Table, frozen=True, kw_only=True):
    """The question to an HTTP backend, with ``{Variable}`` places. At most one of the three bodies is set."""

    path: str
    method: Literal["GET", "POST", "PUT", "PATCH"] = "GET"
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    json: Any = None
    form: dict[str, str] | None = None
    body: str | None = None
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class FilledRequest:
    """A request ready to be sent: ``target`` is path and query, percent-encoded.

    ``content_type`` is the body's, unless ``headers`` say another.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None
    content_type: str


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """A request with its places; build it with :func:`compile_request`."""

    method: str
    path: Template
    query: Mapping[str, Template]
    headers: Mapping[str, Template]
    json: Any
    form: Mapping[str, Template] | None = None
    body: Template | None = None
    content_type: str = ""
    escape: Callable[[str], str] = str
    raw: frozenset[str] = frozenset()
    inputs: frozenset[str] = field(init=False)
    optional: frozenset[str] = field(init=False)
    judges: bool = field(init=False)
    path_inputs: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Note what can be known without values; ``judges``: not every value fits outside the path."""
        places = [place for _, template in self.texts for place in template.places]
        needed = frozenset(place.name for place in places if not place.optional)
        object.__setattr__(self, "inputs", frozenset(place.name for place in places))
        object.__setattr__(self, "optional", self.inputs - needed)
        object.__setattr__(self, "path_inputs", self.path.inputs)
        judges = any(place.kind not in PLAIN for place in places) or self.escape is escape_xml
        object.__setattr__(self, "judges", judges or any(True for _ in keys_of(self.json)))

    @property
    def texts(self) -> Iterator[tuple[str, Template]]:
        """Each text of the request, with its place in the table."""
        yield "path", self.path
        for table, entries in (("query", self.query), ("headers", self.headers), ("form", self.form or {})):
            yield from ((f"{table}.{name}", template) for name, template in entries.items())
        yield from templates_of(self.json, "json")
        if self.body is not None:
            yield "body", self.body

    def fill(self, values: Mapping[str, str]) -> FilledRequest:
        """Return the request with every place filled.

        Raise KeyError if a value is absent, InvalidInput with the variable's name if it does not fit there.
        """
        path = fill_path(self.path, values)
        query = fill_pairs(self.query, values)
        return FilledRequest(
            method=self.method,
            target=f"{path}?{query}" if query else path,
            headers={
                name: template.fill(values, encode_header)
                for name, template in self.headers.items()
                if not template.left_out(values)
            },
            body=self._fill_body(values),
            content_type=self.content_type,
        )

    def refuses(self, values: Mapping[str, str]) -> str | None:
        """Return the name of a variable whose value does not fit, None if all do; none of them is absent."""
        try:
            if self.judges:
                self.fill(values)
            elif not all(map(is_plain, map(values.__getitem__, self.path_inputs))):
                fill_path(self.path, values)
        except InvalidInput as error:
            return str(error)
        return None

    def _fill_body(self, values: Mapping[str, str]) -> bytes | None:
        if self.body is not None:
            return self.body.fill(values, self.escape, self.raw).encode()
        if self.form is not None:
            return fill_pairs(self.form, values).encode()
        return None if self.json is None else encode_json(fill_json(self.json, values))


def compile_request(table: RequestTable, report: Report) -> RequestTemplate:
    """Return the template that ``table`` means; call ``report(place, message)`` for every fault."""

    def template(text: str, place: str, *, typed: bool = False) -> Template:
        try:
            parsed = parse_template(text)
        except ValueError as error:
            reason = "" if isinstance(text, Secret) else f": {error}"
            report(place, f"{text!r} is not a template{reason}")
            return Template(())
        if not typed and parsed.alone is None and any(one.kind == "json" for one in parsed.places):
            report(place, "a {name:json} must be the whole text here")
        for before, one in parsed.befores():
            if one.kind in QUOTES and not _is_quoted(before, one.kind):
                report(
                    place, f"{{{one.name}:{one.kind}}} must stand in {QUOTES[one.kind]}…{QUOTES[one.kind]}"
                )
        return parsed

    path = template(table.path, "path")
    _check_path(table.path, path, report)
    _check_headers(table.headers, report)
    _check_bodies(table, report)
    _check_content_type(table, report)
    is_xml = table.content_type is not None and XML_TYPE.fullmatch(table.content_type) is not None
    is_json = table.content_type is not None and JSON_TYPE.fullmatch(table.content_type) is not None
    usual = _FORM if table.form is not None else "application/json"
    compiled_json = compile_json(table.json, "json", template)
    if isinstance(compiled_json, Template) and any(place.optional for place in compiled_json.places):
        report("json", "the whole body cannot be left out; write the place without '?'")
    if any(place.optional for key in keys_of(compiled_json) for place in key.places):
        report("json", "a place in a key cannot be left out; write it without '?'")
    body = None if table.body is None else template(table.body, "body", typed=True)
    if body is not None and any(place.optional for place in body.places):
        report("body", "a place of a body cannot be left out; use `json` or `form`, or a place without '?'")
    if body is not None and (is_xml or is_json):
        _check_escaped(body, report, is_xml=is_xml)
    return RequestTemplate(
        method=table.method,
        path=path,
        query={name: template(text, f"query.{name}") for name, text in table.query.items()},
        headers={name: template(text, f"headers.{name}") for name, text in table.headers.items()},
        json=compiled_json,
        form=None
        if table.form is None
        else {name: template(text, f"form.{name}") for name, text in table.form.items()},
        body=body,
        content_type=plain(table.content_type) or usual,
        escape=escape_xml if is_xml else escape_json if is_json else str,
        raw=TYPED if is_json else frozenset(),
    )


def exposed(request: RequestTemplate) -> Iterator[tuple[str, Place, str | None]]:
    """Yield each place whose value could become more than a value in its text, and the quotes around it.

    A path, a header, XML and JSON are encoded by themselves. In any other longer text the value is a part of
    a language that only its author knows.
    """
    for where, template in request.texts:
        table = where.partition(".")[0].partition("[")[0]
        if table in {"path", "headers"} or template.alone is not None:
            continue
        if table == "body" and request.escape is not str:
            continue
        for before, place in template.befores():
            if place.kind in PLAIN:
                quoted = next((mark for mark in "'\"" if before.count(mark) % 2), None)
                yield where, place, quoted


def _is_quoted(before: str, kind: str) -> bool:
    """True if a place stands in quotes in which the escapes of its kind count: not in a block string."""
    in_block = kind == "graphql" and before.count('"""') % 2 == 1
    return not in_block and before.count(QUOTES[kind]) % 2 == 1


def _check_escaped(body: Template, report: Report, *, is_xml: bool) -> None:
    """Report each place at which the escapes of XML or JSON protect nothing."""
    for before, place in body.befores():
        if is_xml:
            tag = before.rpartition("<")[2] if before.rfind("<") > before.rfind(">") else None
            if tag is not None and not any(tag.count(mark) % 2 for mark in "'\""):
                report("body", f"{{{place.name}}} must stand in a text or in the value of an attribute")
        elif (before.count('"') - before.count('\\"')) % 2 == (place.kind in TYPED):
            wanted = "outside of quotes" if place.kind in TYPED else 'in "…"'
            report("body", f"{{{place.name}}} must stand {wanted}")


def _check_bodies(table: RequestTable, report: Report) -> None:
    bodies = [name for name in ("json", "form", "body") if getattr(table, name) is not None]
    for name in bodies:
        if table.method == "GET":
            report(name, "a GET request has no body; use method = 'POST'")
    for name in bodies[1:]:
        report(name, f"a request has one body; here `{bodies[0]}` is one, too")
    for where, pairs in (("query", table.query), ("form", table.form or {})):
        for name in pairs:
            if "{" in name or "}" in name:
                report(f"{where}.{name}", "a name has no places; only its text has")


def _check_content_type(table: RequestTable, report: Report) -> None:
    """Report what would make a backend read the body in another way than it was escaped for."""
    if table.body is None:
        if table.content_type is not None:
            report("content_type", "is for `body`; `json` and `form` have their own")
        return
    if table.content_type is None:
        report("content_type", "missing; for example 'text/xml; charset=utf-8'")
    elif not _MEDIA_TYPE.fullmatch(table.content_type):
        report("content_type", "is no media type; write for example 'text/xml; charset=utf-8'")
    charset = _CHARSET.search(table.content_type or "")
    if charset is not None and charset[1].lower() not in {"utf-8", "utf8"}:
        report("content_type", "a body is sent in UTF-8; write 'charset=utf-8'")
    if any(name.lower() == "content-type" for name in table.headers):
        report("headers", "`content_type` says how `body` is escaped; leave Content-Type out here")


def _check_path(text: str, path: Template, report: Report) -> None:
    if not text.startswith("/"):
        report("path", "must begin with '/': it is added to the backend's url")
    if {"?", "#"} & set(_BRACES.sub("", text)):
        report("path", "'?' and '#' do not belong in a path; put the query into `query`")
    if any(place.optional for place in path.places):
        report("path", "a place of a path cannot be left out; write it without '?'")
    if any(_HALF_ESCAPE.search(before) for before, _ in path.befores()):
        report("path", "a place must not finish an escape: '%25' stands right before it")
    if any(_STRAY_PERCENT.search(literal) for literal, _ in path.parts):
        report("path", "a '%' must be followed by two hexadecimal digits; write '%25' for the sign itself")
    try:
        fill_path(path, dict.fromkeys(path.inputs, "1"))
    except InvalidInput:
        report("path", "must not have a segment '.' or '..'")


def _check_headers(headers: Mapping[str, str], report: Report) -> None:
    for name, text in headers.items():
        if not HEADER_NAME.fullmatch(name):
            report(f"headers.{name}", "a header's name is letters, digits and hyphens")
        if CONTROL.search(text):
            report(f"headers.{name}", "a header holds no line break and no other control character")
