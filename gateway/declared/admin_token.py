"""The table ``[gateway.admin_token]``: who may use the console, and its contradictions."""

from collections.abc import Iterator

from gateway.declared.reading import Fault
from gateway.declared.values import HAS_EDGE, Table, Tokens, has_edge

SHORTEST_TOKEN = 16
"""Characters of a token for the console: a shorter one can be guessed."""


class AdminTokens(Table, frozen=True, kw_only=True):
    """Tokens, newest first: those with which one may look, and those with which one may also act."""

    read: Tokens = Tokens()
    act: Tokens = Tokens()


def check_admin_tokens(tokens: AdminTokens) -> Iterator[Fault]:
    """Yield the contradictions of the table."""
    for name, some in (("read", tokens.read), ("act", tokens.act)):
        path = f"gateway.admin_token.{name}"
        if any(len(token) < SHORTEST_TOKEN for token in some):
            message = f"a token has {SHORTEST_TOKEN} characters at least; make one: openssl rand -hex 16"
            yield Fault(path, message)
        if any(map(has_edge, some)):
            yield Fault(path, f"a token {HAS_EDGE}")
    if set(tokens.read) & set(tokens.act):
        message = "a token is in read and in act: give each right a token of its own"
        yield Fault("gateway.admin_token.read", message, ("gateway.admin_token.act",))
    if not (tokens.read or tokens.act):
        yield Fault("gateway.admin_token", "has no token: name some in read, in act, or in both")
