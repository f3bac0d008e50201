"""``deskgate hold``: a backend that nobody asks for a while, and its release."""

from gateway.core.errors import QueueUnavailable
from gateway.declared.catalog import Catalog
from gateway.resilience import operating
from gateway.tools.fleet import reaching


async def hold(catalog: Catalog, url: str, lane: str, seconds: float) -> None:
    """Have nobody of the fleet ask a lane's backend for so long; 0 ends a hold. Raise QueueUnavailable."""
    async with reaching(catalog, url) as fleet:
        if seconds:
            await operating.hold(fleet.board, lane, seconds)
        else:
            await operating.release(fleet.board, lane)
        if fleet.link.lost:  # the board has decided for this process alone
            raise QueueUnavailable(str(fleet.link.failure or "the connection broke"))
