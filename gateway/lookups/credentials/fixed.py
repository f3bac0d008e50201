"""Credentials that are the same for each request."""

import base64

from gateway.declared.credentials import Auth, BasicAuth, BearerAuth, HeaderAuth, KeyAuth
from gateway.declared.request import FilledRequest
from gateway.lookups.credentials.placing import put


def auth_headers(auth: Auth) -> dict[str, str]:
    """Return the headers of ``auth`` (RFC 6750 for bearer tokens, RFC 7617 for basic), if it has any."""
    match auth:
        case BearerAuth(token=token):
            return {"Authorization": f"Bearer {token}"}
        case BasicAuth(username=username, password=password):
            pair = base64.b64encode(f"{username}:{password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        case HeaderAuth(name=name, value=value):
            return {name: str(value)}
        case _:
            return {}


class Key:
    """A key at a place of the backend's own."""

    def __init__(self, auth: KeyAuth) -> None:
        """Take its table."""
        self._auth = auth

    def start(self) -> None:
        """Do nothing: it is ready."""

    async def close(self) -> None:
        """Do nothing."""

    async def add(self, request: FilledRequest) -> tuple[FilledRequest, str]:
        """Return the request with the key."""
        return put(request, self._auth.place, str(self._auth.value)), ""

    async def renew(self, used: str) -> bool:  # noqa: ARG002 - there is one key
        """Return False: there is no other key."""
        return False
