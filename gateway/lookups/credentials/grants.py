"""How a token is asked for: the grants of OAuth 2.0 that need no person, and logins of a backend's own."""

import base64
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from hashlib import blake2b
from http import HTTPStatus
from time import time
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from gateway.core.errors import Code
from gateway.core.packing import UNREADABLE
from gateway.core.variables import as_text
from gateway.declared.backend import Backend
from gateway.declared.expression import EVALUATION_ERRORS, compile_expression, evaluate
from gateway.declared.mask import Mask
from gateway.declared.reading import Secret, encode_meant
from gateway.declared.request import FilledRequest
from gateway.declared.secrets import secrets_of
from gateway.declared.tokens import JWT_BEARER, LoginAuth, OAuth2Auth, compile_login
from gateway.declared.values import CONTROL
from gateway.lookups.answers import pause_of
from gateway.lookups.credentials.assertion import sign_assertion
from gateway.lookups.credentials.placing import FORM
from gateway.lookups.failures import failure_of
from gateway.lookups.reach import Reach
from gateway.lookups.resolver import Resolver

GRANT_TIMEOUT = 10.0
"""Seconds that a request for a token may take."""

SHORTEST_LIFE = 1.0
LONGEST_LIFE = 30 * 86_400.0

MAX_GRANT = 64 * 1024
"""Most bytes of a reply with a token."""

_WORD = re.compile(r"[\w .:-]{1,60}", re.ASCII)


class Granted(NamedTuple):
    """A token, the seconds that it lives, and a new refresh token if one came with it."""

    text: str
    life: float
    refresh: str = ""

    def __repr__(self) -> str:
        """Hide the tokens."""
        return f"Granted(life={self.life})"


class GrantFailed(Exception):
    """There is no token. ``str()`` says why, without a secret; ``pause`` is what the server asks for."""

    def __init__(self, reason: str, code: Code, pause: float = 0.0) -> None:
        """Take the reason, the code for callbacks, and the pause."""
        super().__init__(f"token: {reason}")
        self.code, self.pause = code, pause


Make = Callable[[str], FilledRequest]
"""Returns the request for a token; takes the refresh token that came last, or ``""``."""


class Grant:
    """Asks for tokens. ``whose`` is a digest of the client that they are for."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a request and of its reply
        self,
        base: str,
        make: Make,
        auth: OAuth2Auth | LoginAuth,
        whose: str,
        reach: Reach,
        longest_pause: float,
    ) -> None:
        """Take the address, what makes the request, how its reply is read, and how the server is reached.

        ``longest_pause`` is in seconds: the server gets none that is longer, whatever it asks for.
        """
        self._base, self._make, self.whose, self._reach = base, make, whose, reach
        self._longest_pause = longest_pause
        self._mask = Mask(secrets_of(auth))
        self._lifetime = float(auth.lifetime)
        self._token = compile_expression(auth.token, _ignore, _ignore)
        self._expires_in = compile_expression(auth.expires_in, _ignore, _ignore) if auth.expires_in else None

    async def close(self) -> None:
        """Do nothing: each request has a connection of its own."""

    async def ask(self, refresh: str = "") -> Granted:
        """Return a token; raise GrantFailed."""
        try:
            request = self._make(refresh)
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(force_close=True, resolver=Resolver()),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    timeout=aiohttp.ClientTimeout(total=GRANT_TIMEOUT),
                    headers={"Accept": "application/json", "User-Agent": "deskgate"},
                ) as http,
                http.request(
                    request.method,
                    URL(self._base + request.target, encoded=True),
                    headers=_headers(request),
                    data=request.body,
                    allow_redirects=False,
                    **self._reach.arguments_for(self._base),
                ) as response,
            ):
                body = await response.content.read(MAX_GRANT + 1)
                while not response.content.at_eof() and len(body) <= MAX_GRANT:
                    body += await response.content.read(MAX_GRANT)
                mask = self._mask.also(values=[refresh])
                return self._read(response.status, response.headers, body, mask)
        except TimeoutError:
            msg = f"no answer within {GRANT_TIMEOUT:g} s"
            raise GrantFailed(msg, Code.BACKEND_UNAVAILABLE) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failed = failure_of(error, proxied="proxy" in self._reach.arguments)
            msg = str(failed).replace("the backend", "the token endpoint")
            raise GrantFailed(msg, Code.BACKEND_UNAVAILABLE) from None

    def _read(self, status: int, headers: Mapping[str, str], body: bytes, mask: Mask) -> Granted:
        reply = _decoded(body)
        said = mask.text(_error_of(reply))
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            msg = f"the token endpoint answered {status}"
            pause = min(pause_of(headers, time()) or 0.0, self._longest_pause)
            raise GrantFailed(msg, Code.BACKEND_UNAVAILABLE, pause)
        if status not in {HTTPStatus.OK, HTTPStatus.CREATED}:
            raise GrantFailed(said or f"the token endpoint answered {status}", Code.BACKEND_DENIED)
        text = _evaluated(self._token.parsed, reply)
        if not isinstance(text, str) or not text or CONTROL.search(text) or not text.isprintable():
            raise GrantFailed(said or "the reply has no token", Code.BACKEND_DENIED)
        renewed = reply.get("refresh_token") if isinstance(reply, dict) else None
        return Granted(text, self._life(reply), renewed if isinstance(renewed, str) else "")

    def _life(self, reply: object) -> float:
        """Return the seconds that the reply says; without them, or with nonsense, the declared lifetime."""
        try:
            said = _evaluated(self._expires_in.parsed, reply) if self._expires_in else None
            seconds = float(as_text(said)) if said is not None else self._lifetime
        except (ValueError, TypeError):
            seconds = self._lifetime
        return seconds if SHORTEST_LIFE <= seconds <= LONGEST_LIFE else self._lifetime


def open_grant(auth: OAuth2Auth | LoginAuth, backend: Backend, name: str, reach: Reach) -> Grant:
    """Return what asks for the tokens of a backend; raise ConfigFaults for a key that cannot be used."""
    base = (auth.url or backend.url).rstrip("/") if isinstance(auth, LoginAuth) else str(auth.token_url)
    whose = _digest_client(auth, base)
    if isinstance(auth, LoginAuth):
        template = compile_login(auth.request, lambda _where, _message: None)
        filled = template.fill({})
        return Grant(base, lambda _refresh: filled, auth, whose, reach, backend.retry_after_max)
    if auth.grant_type == JWT_BEARER:
        sign_assertion(auth, f"backends.{name}.auth")  # now, so that a bad key is found at the start

    def make(refresh: str) -> FilledRequest:
        return _oauth2_request(auth, name, refresh)

    return Grant(base, make, auth, whose, reach, backend.retry_after_max)


def _digest_client(auth: OAuth2Auth | LoginAuth, base: str) -> str:
    """Return a digest of the client, texts of the environment by their values: these may name the client.

    A renewed secret or key is the same client. A new refresh token is another grant: of those that the server
    gave out for the one before, none is used.
    """
    if isinstance(auth, OAuth2Auth):
        auth = msgspec.structs.replace(auth, client_secret=Secret(), key=Secret())
    return blake2b(encode_meant((base, auth)), digest_size=6).hexdigest()


def _oauth2_request(auth: OAuth2Auth, name: str, refresh: str) -> FilledRequest:
    """Return the request of RFC 6749, 4.4 and 6, or RFC 7523, 2.1."""
    form: dict[str, str] = {"grant_type": auth.grant_type}
    headers: dict[str, str] = {}
    if auth.grant_type == "refresh_token":
        form["refresh_token"] = refresh or str(auth.refresh_token)
    elif auth.grant_type == JWT_BEARER:
        form["assertion"] = sign_assertion(auth, f"backends.{name}.auth")
    if auth.client_auth == "basic":  # both are encoded first: RFC 6749, 2.3.1
        pair = f"{quote(auth.client_id, safe='')}:{quote(auth.client_secret, safe='')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form |= {
            name: str(value) for name in ("client_id", "client_secret") if (value := getattr(auth, name))
        }
    if auth.scopes:
        form["scope"] = " ".join(auth.scopes)
    if auth.audience and auth.grant_type != JWT_BEARER:
        form["audience"] = auth.audience
    form |= {name: str(value) for name, value in auth.endpoint_params.items()}
    return FilledRequest("POST", "", headers, urlencode(form).encode(), FORM)


def _headers(request: FilledRequest) -> dict[str, str]:
    headers = dict(request.headers)
    if request.body is not None:
        headers.setdefault("Content-Type", request.content_type)
    return headers


def _decoded(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return a body as JSON, None for one that is none, or too long."""
    if len(body) > MAX_GRANT:
        return None
    try:
        return msgspec.json.decode(body.removeprefix(BOM_UTF8))
    except UNREADABLE:
        return None


def _evaluated(expression: Any, reply: Any) -> Any:  # noqa: ANN401
    try:
        return evaluate(expression, reply)
    except EVALUATION_ERRORS:
        return None


def _error_of(reply: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return what a reply says is wrong, in short: ``invalid_client``, ``errcode 40013``; "" for nothing."""
    if not isinstance(reply, dict):
        return ""
    for name in ("error", "code", "errcode", "errorCode", "error_code"):
        said = reply.get(name)
        if isinstance(said, str) and _WORD.fullmatch(said):
            return said if name == "error" else f"{name} {said}"
        if isinstance(said, int) and not isinstance(said, bool) and said:
            return f"{name} {said}"
    return ""


def _ignore(_message: str) -> None:
    """Do nothing: the table was judged when it was read."""
