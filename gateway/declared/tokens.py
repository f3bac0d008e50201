"""The tables of credentials that are asked for: ``type = "oauth2"`` and ``type = "login"``."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import msgspec

from gateway.declared.expression import compile_expression
from gateway.declared.placing import BEARER, PlaceTable, check_place
from gateway.declared.reading import Fault, Secret
from gateway.declared.request import RequestTable, RequestTemplate, compile_request
from gateway.declared.values import CONTROL, HAS_EDGE, Duration, Table, has_edge, split_url

GrantType = Literal["client_credentials", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"]
JWT_BEARER: GrantType = "urn:ietf:params:oauth:grant-type:jwt-bearer"

LIFETIME = Duration(300)
"""Seconds for which a token is used that does not say how long it lives."""


class OAuth2Auth(Table, frozen=True, kw_only=True, tag_field="type", tag="oauth2"):
    """OAuth 2.0 (RFC 6749) without a person: three grants. The words are those of Prometheus."""

    token_url: str
    client_id: str = ""
    client_secret: Secret = Secret()
    grant_type: GrantType = "client_credentials"
    client_auth: Literal["post", "basic"] = "post"
    scopes: tuple[str, ...] = ()
    audience: str = ""
    endpoint_params: dict[str, str] = {}
    refresh_token: Secret = Secret()
    key: Secret = Secret()
    key_id: str = ""
    algorithm: Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA", "HS256"] = "RS256"
    issuer: str = ""
    subject: str = ""
    claims: dict[str, Any] = {}
    token: str = "access_token"  # noqa: S105 - where it stands
    expires_in: str = "expires_in"
    lifetime: Duration = LIFETIME
    place: PlaceTable = BEARER


class LoginAuth(Table, frozen=True, kw_only=True, tag_field="type", tag="login"):
    """A request of the backend's own, whose reply has a token."""

    request: RequestTable
    token: str
    url: str = ""
    expires_in: str = ""
    lifetime: Duration = LIFETIME
    place: PlaceTable = BEARER


def check_oauth2(path: str, auth: OAuth2Auth) -> Iterator[Fault]:
    """Yield the contradictions of the table at ``path``."""
    url = split_url(auth.token_url)
    if url is None or url.scheme not in {"http", "https"} or not url.hostname or url.fragment:
        yield Fault(f"{path}.token_url", "must be an http:// or https:// address with a host")
    needed = {
        "client_credentials": ("client_id", "client_secret"),
        "refresh_token": ("client_id", "refresh_token"),
        JWT_BEARER: ("key", "issuer"),
    }[auth.grant_type]
    for name in needed:
        if not getattr(auth, name):
            yield Fault(f"{path}.{name}", f"missing: grant_type {auth.grant_type!r} needs it")
    for name in ("client_id", "client_secret", "refresh_token", "issuer", "subject"):
        if CONTROL.search(value := getattr(auth, name)) or has_edge(value):
            yield Fault(f"{path}.{name}", HAS_EDGE)
    if auth.key and auth.grant_type != JWT_BEARER:
        yield Fault(f"{path}.key", f"is for grant_type {JWT_BEARER!r} alone", (f"{path}.grant_type",))
    yield from _check_reply(path, auth)


def check_login(path: str, auth: LoginAuth) -> Iterator[Fault]:
    """Yield the contradictions of the table at ``path``."""
    faults: list[Fault] = []
    request: RequestTable | None = auth.request  # None: it could not be read
    if request is not None:
        compile_login(request, lambda where, text: faults.append(Fault(f"{path}.request.{where}", text)))
    yield from faults
    if auth.url:
        url = split_url(auth.url)
        if url is None or url.scheme not in {"http", "https"} or not url.hostname or url.query:
            yield Fault(f"{path}.url", "must be an http:// or https:// address with a host, and no query")
    yield from _check_reply(path, auth)


def _check_reply(path: str, auth: OAuth2Auth | LoginAuth) -> Iterator[Fault]:
    faults: list[Fault] = []

    def report(name: str, message: str, *, warning: bool = False) -> None:
        faults.append(Fault(f"{path}.{name}", message, warning=warning))

    for name in ("token", "expires_in"):
        if text := getattr(auth, name):
            compile_expression(text, partial(report, name), partial(report, name, warning=True))
    yield from faults
    if not auth.token:
        yield Fault(f"{path}.token", "must not be empty")
    if auth.lifetime <= 0:
        yield Fault(f"{path}.lifetime", "must be more than zero")
    yield from check_place(f"{path}.place", auth.place)


def compile_login(table: RequestTable, report: Any) -> RequestTemplate:  # noqa: ANN401 - its Report
    """Return the request of a login. It has no places: a brace of a password is a brace."""
    names = ("path", "query", "headers", "json", "form", "body")
    plain = {name: _without_places(getattr(table, name)) for name in names}
    return compile_request(msgspec.structs.replace(table, **plain), report)


def _without_places(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        return value.replace("{", "{{").replace("}", "}}")
    if isinstance(value, dict):
        return {_without_places(k): _without_places(v) for k, v in value.items()}
    return [_without_places(one) for one in value] if isinstance(value, list) else value
