"""The console's own connection to Redis: what it reads may be large, and no callback waits behind it."""

import asyncio
from collections.abc import Callable

from gateway.front.service import Service
from gateway.wire.link import RedisLink

PATIENCE = 2.0
"""Seconds that Redis gets for an answer to the console."""


class Sight:
    """A connection that is opened when somebody looks, and follows the configuration that runs."""

    def __init__(self, service: Callable[[], Service]) -> None:
        """Take the function that returns the service that runs."""
        self.service = service
        self._link: RedisLink | None = None
        self._url = ""
        self._opening = asyncio.Lock()

    async def link(self) -> RedisLink:
        """Return the connection; Redis may be away."""
        async with self._opening:
            url = self.service().catalog.settings.redis.url
            if self._link is None or url != self._url:
                await self.close()
                link = RedisLink(url, PATIENCE, PATIENCE, quiet=True)  # the service's link tells of losses
                self._link, self._url = link, url
                await link.start()
            return self._link

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._link is not None:
            link, self._link = self._link, None
            await link.close()
