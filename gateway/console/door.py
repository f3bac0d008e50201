"""The door of the console: who comes in, with which right, and the form of what is sent either way."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from aiohttp import web

from gateway.console.files import GUARDS
from gateway.console.rights import (
    COOKIE,
    LOGIN_LASTS,
    Right,
    bearer_of,
    is_from_our_page,
    is_local,
    is_loopback,
    make_cookie,
    right_of_cookie,
    right_of_token,
)
from gateway.declared.admin_token import AdminTokens
from gateway.declared.values import Address
from gateway.edge.body import read_body
from gateway.edge.connections import remote_of
from gateway.edge.response import PageResponse
from gateway.telemetry import events

ROOT = "/console/"
LARGEST_BODY = 1024 * 1024
"""Bytes of a body that the console takes: a backend's reply, to be tried."""

T = TypeVar("T")
_BODY_WITHIN = 5.0
_JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}


class Refused(Exception):
    """A request of the console is answered with an error."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Take the status and the message."""
        super().__init__(message)
        self.status, self.headers = status, headers or {}


class Login(msgspec.Struct, frozen=True):
    """What a login sends."""

    token: str


class Door:
    """Looks at each request for the console, by the tokens of the configuration that runs."""

    def __init__(self, tokens: Callable[[], AdminTokens | None], address: Callable[[], Address]) -> None:
        """Take the functions that return the tokens, and the address of the admin port."""
        self._tokens_now, self._address = tokens, address

    @property
    def tokens(self) -> AdminTokens | None:
        """The tokens; without any, everybody on this machine may look."""
        return self._tokens_now()

    def enter(self, request: web.BaseRequest) -> None:
        """Refuse a console without tokens to others than this machine."""
        if self.tokens is not None:
            return
        if not is_loopback(self._address()[0]):
            why = "on an address that others can reach it needs a token in gateway.admin_token"
            raise Refused(404, f"the console is off: {why}")
        if not is_local(request.headers.get("Host", "")):
            raise Refused(403, "without gateway.admin_token the console is for this machine alone")

    def right_of(self, request: web.BaseRequest) -> Right | None:
        """Return the right that a request has."""
        if (tokens := self.tokens) is None:
            return "read"
        if token := bearer_of(request.headers):
            return right_of_token(tokens, token)
        return right_of_cookie(tokens, request.cookies.get(COOKIE, ""), time.time())

    def demand(self, request: web.BaseRequest, wanted: Right) -> None:
        """Refuse a request without this right."""
        right = self.right_of(request)
        if right is None:
            if bearer_of(request.headers):
                events.console_refused(remote=remote_of(request))
            raise Refused(401, "log in with a token of gateway.admin_token", {"WWW-Authenticate": "Bearer"})
        if wanted == "act" and right != "act":
            why = "no token is declared" if self.tokens is None else "this token is for looking alone"
            raise Refused(403, f"{why}: acting needs one of gateway.admin_token.act")

    async def log_in(self, request: web.BaseRequest) -> web.StreamResponse:
        """Give a cookie for a token."""
        tokens = self.tokens
        if tokens is None:
            raise Refused(409, "no token is declared: everybody on this machine may look")
        given = (await read_as(request, Login)).token
        right = right_of_token(tokens, given)
        if right is None:
            events.console_refused(remote=remote_of(request))
            raise Refused(401, "this is no token of gateway.admin_token")
        cookie = _cookie(make_cookie(given, right, time.time()), LOGIN_LASTS)
        if request.headers.get("Origin", "").startswith("https:"):  # a proxy in front of us speaks TLS
            cookie += "; Secure"
        return as_json({"right": right}, headers={"Set-Cookie": cookie})

    async def log_out(self, _: web.BaseRequest) -> web.StreamResponse:
        """Take the cookie away."""
        return as_json({}, headers={"Set-Cookie": _cookie("", 0)})


def demand_method(request: web.BaseRequest, *methods: str) -> None:
    """Refuse other methods."""
    if request.method not in methods:
        raise Refused(405, f"send {' or '.join(methods)}", {"Allow": ", ".join(methods)})


def demand_our_page(request: web.BaseRequest) -> None:
    """Refuse what a page of another site has a browser send. A program that shows a token is no browser."""
    if not (bearer_of(request.headers) or is_from_our_page(request.headers)):
        raise Refused(403, "not sent by the console's own page; behind a proxy, pass the Host header on")


async def read_as(request: web.BaseRequest, shape: type[T]) -> T:
    """Return what a request's body says; refuse what is not JSON of this shape."""
    if request.content_type != "application/json":
        raise Refused(415, "send application/json")
    body = await read_body(request, LARGEST_BODY, time.monotonic() + _BODY_WITHIN)
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, str(error)) from None


def as_json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.StreamResponse:
    """Return a response; bytes are JSON already."""
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return PageResponse(status=status, body=body, headers={**_JSON, **GUARDS, **(headers or {})})


def _cookie(value: str, seconds: float) -> str:
    return f"{COOKIE}={value}; Path={ROOT}; Max-Age={seconds:.0f}; HttpOnly; SameSite=Strict"
