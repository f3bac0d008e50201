"""What all processes of a deployment know alike, reached by a command that looks at it or changes it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from gateway.declared.catalog import Catalog
from gateway.fleet.board import FleetBoard
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
