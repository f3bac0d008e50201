"""The tables ``backends.NAME.auth``, one a kind of credentials, and their contradictions."""

from collections.abc import Iterator

from gateway.declared.reading import Fault, Secret
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


Auth = NoAuth | BearerAuth | BasicAuth | HeaderAuth
"""Every kind of credentials; `type` in the table says which one it is."""


def check_auth(path: str, auth: Auth) -> Iterator[Fault]:
    """Yield the contradictions of the table at ``path``."""
    for name in auth.__struct_fields__:
        value = getattr(auth, name)
        if not value or CONTROL.search(value):
            message = "must not be empty, nor hold a line break or another control character"
            yield Fault(f"{path}.{name}", message)
        elif has_edge(value):
            yield Fault(f"{path}.{name}", HAS_EDGE)
    if isinstance(auth, BasicAuth) and ":" in auth.username:
        yield Fault(f"{path}.username", "must hold no colon (RFC 7617)")
    if isinstance(auth, HeaderAuth) and not HEADER_NAME.fullmatch(auth.name):
        yield Fault(f"{path}.name", "a header's name is letters, digits and hyphens")
