"""``deskgate hold``: a backend that nobody asks for a while, and its release."""

from contextlib import AsyncExitStack

from gateway.core.errors import QueueUnavailable
from gateway.declared.catalog import Catalog
from gateway.fleet.board import FleetBoard
from gateway.resilience import operating
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink

PATIENCE = 2.0
"""Seconds that Redis gets for an answer."""


async def hold(catalog: Catalog, url: str, lane: str, seconds: float) -> None:
    """Have nobody of the fleet ask a lane's backend for so long; 0 ends a hold. Raise QueueUnavailable."""
    async with AsyncExitStack() as stack:
        keys = Keys(catalog.settings.redis.prefix)
        link = RedisLink(url, PATIENCE, PATIENCE)
        stack.push_async_callback(link.close)
        board = FleetBoard(link, keys)
        stack.push_async_callback(board.close)
        await link.start()
        if seconds:
            await operating.hold(board, lane, seconds)
        else:
            await operating.release(board, lane)
        if link.lost:  # the board has decided for this process alone
            raise QueueUnavailable(str(link.failure or "the connection broke"))
