"""The signed assertion of the JWT bearer grant (RFC 7523). PyJWT, of the extra ``oauth2``, signs it."""

import time
from uuid import uuid4

from gateway.declared.reading import ConfigFaults, Fault, plain
from gateway.declared.tokens import OAuth2Auth

ASSERTION_LIVES = 180.0
"""Seconds for which an assertion may be used: the shortest that the known vendors allow is three minutes."""


def sign_assertion(auth: OAuth2Auth, path: str) -> str:
    """Return an assertion; raise ConfigFaults, which names the setting, if the key cannot be used."""
    try:
        import jwt  # noqa: PLC0415 - an extra: most deployments do without
    except ImportError:
        message = "needs PyJWT: install deskgate[oauth2]"
        raise ConfigFaults([Fault(f"{path}.grant_type", message)]) from None
    now = time.time()
    claims = {
        "iss": auth.issuer,
        "sub": auth.subject or auth.issuer,
        "aud": auth.audience or auth.token_url,
        "iat": int(now),
        "exp": int(now + ASSERTION_LIVES),
        "jti": uuid4().hex,
        **plain(auth.claims),
    }
    headers = {"kid": str(auth.key_id)} if auth.key_id else None
    try:
        return jwt.encode(plain(claims), str(auth.key), algorithm=auth.algorithm, headers=headers)
    except (ValueError, TypeError, jwt.PyJWTError, NotImplementedError):
        message = f"is no key for {auth.algorithm}: it takes a private key in PEM"
        raise ConfigFaults([Fault(f"{path}.key", message)]) from None
