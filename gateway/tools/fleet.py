"""What all processes of a deployment know alike, reached by a command that looks at it or changes it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from gateway.core.errors import QueueUnavailable
from gateway.declared.backend import Backend
from gateway.declared.catalog import Catalog
from gateway.declared.redis_server import EMBEDDED
from gateway.declared.tokens import OAuth2Auth
from gateway.fleet.board import FleetBoard
from gateway.resilience.board import Board
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink

PATIENCE = 2.0
"""Seconds that Redis gets for an answer."""


class Reached(NamedTuple):
    """The way to Redis, the names of its keys, and the board of the fleet."""

    link: RedisLink
    keys: Keys
    board: FleetBoard


@asynccontextmanager
async def reaching(catalog: Catalog, url: str) -> AsyncIterator[Reached]:
    """Connect for the length of the block; Redis may be away."""
    async with AsyncExitStack() as stack:
        keys = Keys(catalog.settings.redis.prefix)
        link = RedisLink(url, PATIENCE, PATIENCE)
        stack.push_async_callback(link.close)
        board = FleetBoard(link, keys)
        stack.push_async_callback(board.close)
        await link.start()
        yield Reached(link, keys, board)


@asynccontextmanager
async def board_for(catalog: Catalog, url: str, backends: Iterable[Backend]) -> AsyncIterator[Board]:
    """Yield a board for a command that asks these backends: the fleet's, if one has a refresh token.

    The server may change that with each grant. If the fleet did not hear of the next one, it would be locked
    out. Raise QueueUnavailable.
    """
    auths = [one.auth for one in backends]
    if not any(isinstance(auth, OAuth2Auth) and auth.grant_type == "refresh_token" for auth in auths):
        yield Board()
        return
    msg = "no token is asked for: the fleet keeps the refresh token in Redis"
    if url == EMBEDDED:
        raise QueueUnavailable(msg)
    async with reaching(catalog, url) as fleet:
        try:
            await fleet.link.execute("PING")
        except QueueUnavailable as error:
            msg += f". {fleet.link.why(error)}"
            raise QueueUnavailable(msg) from None
        yield fleet.board
