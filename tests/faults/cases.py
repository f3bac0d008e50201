"""The faults, and what is right for each: the code, the calls that the backend hears, and the variables."""

from codecs import BOM_UTF8
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.core.errors import Code
from tests.faults.server import (
    GOOD,
    Backend,
    Play,
    answers,
    bomb,
    drip,
    flood,
    hang,
    reset,
    response,
)

LAST = "the last known answer"
NONE = "the declared `not_found` values"
LIVE = "the backend's answer"


@dataclass(frozen=True)
class Case:
    """One fault: what to call it, how to begin it, and what comes of it.

    ``heard`` says which variables go out. ``reason`` is a part of the reason in the log. ``calls`` is None
    where no call reaches the backend's count. ``lookup`` and ``backend`` are further settings.
    """

    name: str
    begin: Callable[[Backend], None]
    code: Code
    calls: int | None
    heard: str = LAST
    reason: str = ""
    tls: bool = False
    keep_alive: bool = False
    lookup: dict[str, object] = field(default_factory=dict)
    backend: dict[str, object] = field(default_factory=dict)


def plays(fault: Play) -> Callable[[Backend], None]:
    """Return what makes a backend play a fault."""

    def begin(backend: Backend) -> None:
        backend.fault = fault

    return begin


def sends(data: bytes) -> Callable[[Backend], None]:
    """Return what makes a backend send these bytes in answer to each request."""
    return plays(answers(data))


def status(text: str, *headers: str) -> Callable[[Backend], None]:
    """Return what makes a backend answer with a status and a JSON error."""
    return sends(response(text, {"error": "s3cret"}, *headers))


def framed(header: str, body: bytes | object = GOOD) -> Callable[[Backend], None]:
    """Return what makes a backend send a body under this header alone."""
    return sends(response("200 OK", body, header, length=False))


def close(backend: Backend) -> None:
    """Listen no more."""
    backend.close()


def silence(backend: Backend) -> None:
    """Take connections, and make no handshake."""
    backend.silent = True


def unasked(backend: Backend) -> None:
    """Send one answer too many after each."""
    backend.after = response("200 OK", {"code": 0, "data": {"name": "Somebody Else", "tier": "x"}})


NOT_FOUND: dict[str, object] = {"not_found": {"name": "guest", "tier": "none"}}
RULES: dict[str, object] = {
    "answers": [
        {"when": {"code": 40001}, "is": "unauthorized"},
        {"when": {"code": 90018}, "is": "throttled"},
    ]
}
DEAD = response("200 OK", {"code": 40001, "msg": "access_token expired", "data": None})
BUSY = response("200 OK", {"code": 90018, "msg": "request frequency too high"})
FLAT = b'{"data":{"name":"Lin Xia","tier":"gold"}}'
PAGE = b"<html><h1>Sign in</h1></html>"
UNAVAILABLE, BAD, REJECTED = Code.BACKEND_UNAVAILABLE, Code.BAD_BACKEND_REPLY, Code.BACKEND_REJECTED
DENIED, THROTTLED, TIMEOUT = Code.BACKEND_DENIED, Code.BACKEND_THROTTLED, Code.TIMEOUT

CASES = [
    Case("200 with the answer", lambda _: None, Code.OK, 1, LIVE),
    Case("202 Accepted", status("202 Accepted"), UNAVAILABLE, 3, reason="202"),
    Case("204 without a body", sends(b"HTTP/1.1 204 No Content\r\n\r\n"), BAD, 1, reason="empty"),
    Case(
        "204, where nothing may be found",
        sends(b"HTTP/1.1 204 No Content\r\n\r\n"),
        Code.OK,
        1,
        NONE,
        lookup=NOT_FOUND,
    ),
    Case("206 with half a body", sends(response("206 Partial Content", b'{"data":')), BAD, 1, reason="206"),
    Case("302 to a login page", status("302 Found", "Location: /login"), REJECTED, 1, reason="redirects"),
    Case("400", status("400 Bad Request"), REJECTED, 1, reason="400"),
    Case("401", status("401 Unauthorized"), DENIED, 1, reason="401"),
    Case("403", status("403 Forbidden"), REJECTED, 1, reason="403"),
    Case("404 in the API's own JSON", status("404 Not Found"), REJECTED, 1, reason="404"),
    Case("the same, where nothing may be found", status("404 Not Found"), Code.OK, 1, NONE, lookup=NOT_FOUND),
    Case(
        "404 with an ingress' page",
        sends(response("404 Not Found", b"default backend - 404", kind="text/plain")),
        UNAVAILABLE,
        3,
        reason="not the backend's own",
        lookup=NOT_FOUND,
    ),
    Case("408", status("408 Request Timeout"), UNAVAILABLE, 3, reason="408"),
    Case("429", status("429 Too Many Requests"), THROTTLED, 1, reason="429"),
    Case("429, Retry-After: 30", status("429 Too Many", "Retry-After: 30"), THROTTLED, 1, reason="429"),
    Case("500", status("500 Internal Server Error"), UNAVAILABLE, 3, reason="500"),
    Case("503", status("503 Service Unavailable"), UNAVAILABLE, 3, reason="503"),
    Case("503, Retry-After: 30", status("503 Busy", "Retry-After: 30"), THROTTLED, 1, reason="503"),
    Case("hangs", plays(hang), TIMEOUT, 3, reason="no answer within"),
    Case("breaks the connection", plays(reset), UNAVAILABLE, 3, reason="broke"),
    Case("refuses connections", close, UNAVAILABLE, None, reason="no connection"),
    Case("a byte each 100 ms", plays(drip), TIMEOUT, 3, reason="no answer within"),
    Case("speaks another protocol", sends(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), BAD, 1, reason="HTTP"),
    Case("speaks HTTP/0.9", sends(b"<html>hello</html>"), BAD, 1, reason="HTTP"),
    Case("interim answers without end", plays(flood), BAD, None, reason="headers are too long"),
    Case("over `max_reply`", sends(response("200 OK", b" " * 2_000_000)), BAD, 1, reason="max_reply"),
    Case(
        "a body that unpacks to 100 MB",
        sends(response("200 OK", bomb(), "Content-Encoding: gzip")),
        BAD,
        1,
        reason="max_reply",
    ),
    Case(
        "says gzip, and is none",
        sends(response("200 OK", b'{"a":1}', "Content-Encoding: gzip")),
        BAD,
        2,
        reason="Content-Encoding",
    ),
    Case("a page with status 200", sends(response("200 OK", PAGE, kind="text/html")), BAD, 2),
    Case("JSON that is cut off", sends(response("200 OK", b'{"code":0,"data":{"name":"Li')), BAD, 2),
    Case("a number that is none", sends(response("200 OK", b'{"data":{"name":NaN,"tier":1}}')), BAD, 2),
    Case(
        "JSON that is too deep",
        sends(response("200 OK", b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}")),
        BAD,
        2,
    ),
    Case("another type", sends(response("200 OK", {"data": "gold"})), BAD, 1),
    Case("a list for an object", sends(response("200 OK", [GOOD])), BAD, 1),
    Case("every variable null", sends(response("200 OK", {"data": {"name": None}})), BAD, 1, reason="null"),
    Case("an empty body", sends(response("200 OK", b"")), BAD, 1, reason="empty"),
    Case("a byte order mark before it", sends(response("200 OK", BOM_UTF8 + FLAT)), Code.OK, 1, LIVE),
    Case("an error in a 200", sends(DEAD), BAD, 1, reason="null"),
    Case("the same, with a rule: token expired", sends(DEAD), DENIED, 1, lookup=RULES),
    Case("the same, with a rule: too many requests", sends(BUSY), THROTTLED, 1, lookup=RULES),
    Case(
        "shorter than its Content-Length",
        framed("Content-Length: 999"),
        TIMEOUT,
        3,
        reason="no answer within",
    ),
    Case("a negative Content-Length", framed("Content-Length: -1"), BAD, 1, reason="HTTP"),
    Case("a chunk that is none", framed("Transfer-Encoding: chunked", b"zz\r\n{}\r\n"), BAD, 1),
    Case("a header of 100 kB", framed(f"X: {'x' * 100_000}"), BAD, 1, reason="header is too long"),
    Case("one answer too many each time", unasked, Code.OK, 1, LIVE, keep_alive=True),
    Case("no TLS handshake", silence, TIMEOUT, None, reason="no answer within", tls=True),
    Case("a certificate of somebody else", lambda _: None, UNAVAILABLE, None, reason="certificate", tls=True),
    Case(
        "a name without an address",
        lambda _: None,
        UNAVAILABLE,
        None,
        reason="no address",
        backend={"url": "http://crm.invalid"},
    ),
]
