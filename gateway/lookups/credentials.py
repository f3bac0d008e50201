"""Credentials: the headers that prove to a backend that we may ask."""

import base64

from gateway.declared.credentials import Auth, BasicAuth, BearerAuth, HeaderAuth, NoAuth


def auth_headers(auth: Auth) -> dict[str, str]:
    """Return the headers of ``auth`` (RFC 6750 for bearer tokens, RFC 7617 for basic)."""
    match auth:
        case BearerAuth(token=token):
            return {"Authorization": f"Bearer {token}"}
        case BasicAuth(username=username, password=password):
            pair = base64.b64encode(f"{username}:{password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        case HeaderAuth(name=name, value=value):
            return {name: str(value)}
        case NoAuth():
            return {}
