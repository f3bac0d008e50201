"""The tables ``backends.NAME.auth``, one a kind of credentials, and their contradictions.

The kinds whose credentials are asked for, or worked out for each request, are in ``tokens.py`` and
``signature.py``.
"""

from collections.abc import Iterator

from gateway.declared.placing import PlaceTable, check_place
from gateway.declared.reading import Fault, Secret
from gateway.declared.signature import SignAuth, check_sign
from gateway.declared.tokens import LoginAuth, OAuth2Auth, check_login, check_oauth2
from gateway.declared.values import CONTROL, HAS_EDGE, HEADER_NAME, Table, has_edge


class NoAuth(Table, frozen=True, kw_only=True, tag_field="type", tag="none"):
    """The backend asks for no credentials."""


class BearerAuth(Table, frozen=True, kw_only=True, tag_field="type", tag="bearer"):
    """RFC 6750: ``Authorization: Bearer TOKEN``."""

    token: Secret


class BasicAuth(Table, frozen=True, kw_only=True, tag_field="type", tag="basic"):
    """RFC 7617: ``Authorization: Basic …``."""

    username: str
    password: Secret


class HeaderAuth(Table, frozen=True, kw_only=True, tag_field="type", tag="header"):
    """A header of the backend's own."""

    name: str
    value: Secret


class KeyAuth(Table, frozen=True, kw_only=True, tag_field="type", tag="key"):
    """A key at a place of the backend's own."""

    value: Secret
    place: PlaceTable


Auth = NoAuth | BearerAuth | BasicAuth | HeaderAuth | KeyAuth | OAuth2Auth | LoginAuth | SignAuth
"""Every kind of credentials; `type` in the table says which one it is."""


def check_auth(path: str, auth: Auth) -> Iterator[Fault]:
    """Yield the contradictions of the table at ``path``."""
    match auth:
        case OAuth2Auth():
            yield from check_oauth2(path, auth)
        case LoginAuth():
            yield from check_login(path, auth)
        case SignAuth():
            yield from check_sign(path, auth)
        case _:
            yield from _check_texts(path, auth)
    if isinstance(auth, BearerAuth) and auth.token.lower().startswith("bearer "):
        yield Fault(f"{path}.token", "'Bearer' is put before it; leave that word out", warning=True)
    if isinstance(auth, BasicAuth) and ":" in auth.username:
        yield Fault(f"{path}.username", "must hold no colon (RFC 7617)")
    if isinstance(auth, HeaderAuth) and not HEADER_NAME.fullmatch(auth.name):
        yield Fault(f"{path}.name", "a header's name is letters, digits and hyphens")
    if isinstance(auth, KeyAuth):
        yield from check_place(f"{path}.place", auth.place)


def _check_texts(path: str, auth: Table) -> Iterator[Fault]:
    for name in auth.__struct_fields__:
        value = getattr(auth, name)
        if not isinstance(value, str):
            continue
        if not value or CONTROL.search(value):
            message = "must not be empty, nor hold a line break or another control character"
            yield Fault(f"{path}.{name}", message)
        elif has_edge(value):
            yield Fault(f"{path}.{name}", HAS_EDGE)
