"""``deskgate hold``: a backend that nobody asks for a while, and its release."""

from gateway.core.errors import QueueUnavailable
from gateway.declared.catalog import Catalog
from gateway.resilience import operating
from gateway.tools.fleet import reaching


async def hold(catalog: Catalog, url: str, lane: str, seconds: float) -> None:
    """Have nobody of the fleet ask a lane's backend for so long; 0 ends a hold.

    Raise QueueUnavailable, which says why the fleet cannot hear of it.
    """
    async with reaching(catalog, url) as fleet:
        try:
            if seconds:
                await operating.hold(fleet.board, lane, seconds)
            else:
                await operating.release(fleet.board, lane)
        except QueueUnavailable as error:
            raise QueueUnavailable(fleet.link.why(error)) from None
