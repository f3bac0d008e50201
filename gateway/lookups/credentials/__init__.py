"""Credentials: how a request proves to a backend that we may ask.

=================  ======================================================================================
``fixed.py``       the same for each request: headers, or a key at a place
``sign.py``        worked out for each request: a signature
``tokens.py``      asked for: a token, which the whole fleet shares (``token.py``: its states, pure)
``grants.py``      how a token is asked for: OAuth 2.0, a login
``placing.py``     where in a request they stand
=================  ======================================================================================

A further kind is a table in ``declared/``, a file here, and a line in :func:`open_credentials`.
"""

from typing import Protocol

from gateway.declared.backend import Backend
from gateway.declared.credentials import KeyAuth
from gateway.declared.reading import ConfigFaults, Fault
from gateway.declared.request import FilledRequest
from gateway.declared.signature import SignAuth
from gateway.declared.tokens import LoginAuth, OAuth2Auth
from gateway.lookups.credentials.fixed import Key
from gateway.lookups.credentials.grants import GRANT_TIMEOUT, open_grant
from gateway.lookups.credentials.sign import Signer
from gateway.lookups.credentials.tokens import Tokens
from gateway.lookups.reach import Reach
from gateway.resilience.board import Board


class Credentials(Protocol):
    """What adds credentials to each request."""

    def start(self) -> None:
        """Keep credentials ready, before a request needs them."""
        ...

    async def close(self) -> None:
        """End what is under way."""
        ...

    async def add(self, request: FilledRequest) -> tuple[FilledRequest, str]:
        """Return the request with credentials, and what :meth:`renew` wants to know; raise NoAnswer."""
        ...

    async def renew(self, used: str) -> bool:
        """Note that the backend did not accept these; return True if another attempt would use others."""
        ...


def find_faults(backend: Backend, name: str) -> list[Fault]:
    """Return what is wrong with the credentials of a backend, as far as nobody need be asked for that."""
    try:
        open_credentials(backend, name, Board(), Reach(backend))
    except ConfigFaults as faults:
        return faults.faults
    except OSError:  # told as a fault of the table `tls`
        return []
    return []


async def try_grant(backend: Backend, name: str, board: Board) -> str | None:
    """Ask for a token; return how that went, None for a backend without tokens.

    A grant that may cost a refresh token is made for all who share the ``board``, unless they have a token.
    Raise GrantFailed, or NoAnswer.
    """
    auth = backend.auth
    if not isinstance(auth, OAuth2Auth | LoginAuth):
        return None
    grant = open_grant(auth, backend, name, Reach(backend))
    if isinstance(auth, OAuth2Auth) and auth.grant_type == "refresh_token":
        tokens = Tokens(grant, auth.place, board, name, GRANT_TIMEOUT)
        try:
            token = await tokens.obtain()
        finally:
            await tokens.close()
        return f"the fleet has a token, for {token.until - board.now():.0f} s more"
    granted = await grant.ask()
    return f"a token was granted, for {granted.life:.0f} s"


def open_credentials(backend: Backend, name: str, board: Board, reach: Reach) -> Credentials | None:
    """Return the credentials of a backend, None if its session has all that it needs in its headers.

    Raise ConfigFaults for a key that cannot be used.
    """
    match backend.auth:
        case KeyAuth() as auth:
            return Key(auth)
        case SignAuth() as auth:
            return Signer(auth)
        case OAuth2Auth() | LoginAuth() as auth:
            grant = open_grant(auth, backend, name, reach)
            return Tokens(grant, auth.place, board, name, float(backend.attempt_timeout))
        case _:
            return None
