"""The page: files of the package, read once, and the headers that a browser is to keep to."""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

from aiohttp import web

from gateway.edge.response import PageResponse

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

GUARDS = {
    # Nothing of another host, no inline script or style, no text taken for HTML, and no frame around it.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Headers of every response of the console."""


class File(NamedTuple):
    """A file of the page."""

    body: bytes
    content_type: str
    tag: str


def serve_file(request: web.BaseRequest, name: str) -> web.StreamResponse | None:
    """Return a file of the page, or that the browser has it already; None if there is no such file."""
    file = _read_all().get(name)
    if file is None:
        return None
    headers = {**GUARDS, "ETag": file.tag, "Cache-Control": "no-cache"}
    if request.headers.get("If-None-Match") == file.tag:
        return PageResponse(status=304, headers=headers)
    return PageResponse(body=file.body, headers={**headers, "Content-Type": file.content_type})


@cache
def _read_all() -> dict[str, File]:
    found = {}
    for path in files("gateway.console").joinpath("static").iterdir():
        ending = path.name.rpartition(".")[2]
        if path.is_file() and ending in _TYPES:
            body = path.read_bytes()
            found[path.name] = File(body, _TYPES[ending], f'"{sha256(body).hexdigest()[:16]}"')
    return found
