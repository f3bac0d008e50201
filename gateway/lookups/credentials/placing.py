"""Credentials put into a request, where its backend wants them."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote, urlencode

import msgspec

from gateway.core.errors import LookupFailed
from gateway.declared.placing import TOKEN, PlaceTable
from gateway.declared.request import FilledRequest

FORM = "application/x-www-form-urlencoded"


def put(request: FilledRequest, place: PlaceTable, token: str) -> FilledRequest:
    """Return the request with a token at its place; raise LookupFailed if it has no such place."""
    kind, name = place.where
    text = place.text.replace(TOKEN, token)
    if kind == "header":
        return with_headers(request, {name: text})
    return with_params(request, kind, {name: text})


def with_headers(request: FilledRequest, headers: Mapping[str, str]) -> FilledRequest:
    """Return the request with more headers. One that the lookup declares itself stays."""
    declared = {name.lower() for name in request.headers}
    more = {name: text for name, text in headers.items() if name.lower() not in declared}
    return replace(request, headers={**request.headers, **more})


def with_params(request: FilledRequest, kind: str, params: Mapping[str, str]) -> FilledRequest:
    """Return the request with more parameters: in its query, its form or its JSON body."""
    if not params:
        return request
    if kind == "query":
        path, mark, query = request.target.partition("?")
        pairs = urlencode(params, quote_via=quote)
        return replace(request, target=f"{path}?{query}&{pairs}" if mark and query else f"{path}?{pairs}")
    if kind == "form":
        if request.body is None or not request.content_type.startswith(FORM):
            msg = "the credentials belong into a form, and the lookup's request has none"
            raise LookupFailed(msg)
        more = urlencode(params, quote_via=quote).encode()
        return replace(request, body=b"&".join(filter(None, (request.body, more))))
    body = (request.body or b"").strip()
    if not body.startswith(b"{"):
        msg = "the credentials belong into a JSON object, and the lookup's request has none"
        raise LookupFailed(msg)
    # Spliced in, so that no number of the body is written in another way than the lookup wrote it.
    entries = b",".join(
        msgspec.json.encode(name) + b":" + msgspec.json.encode(params[name]) for name in params
    )
    rest = body[1:].lstrip()
    return replace(request, body=b"{" + entries + (rest if rest.startswith(b"}") else b"," + rest))
