"""The story of a session, read from Redis."""

from collections.abc import Sequence

from gateway.declared.catalog import Catalog
from gateway.history.reading import read_session
from gateway.tools.explaining.story import Told, tell
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink

PATIENCE = 2.0
"""Seconds that Redis gets for an answer."""


async def read_story(catalog: Catalog, url: str, apps: Sequence[int], session: str) -> list[Told]:
    """Return the callbacks of a session that are kept, oldest first; raise QueueUnavailable."""
    keys = Keys(catalog.settings.redis.prefix)
    link = RedisLink(url, PATIENCE, PATIENCE)
    await link.start()
    try:
        return tell(await read_session(link, keys, apps, session), catalog.lookups)
    finally:
        await link.close()
