"""The story of a session, read from Redis."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.core.errors import QueueUnavailable
from gateway.declared.catalog import Catalog
from gateway.history.entries import LookupEntry
from gateway.history.reading import read_named, read_session, sessions_since
from gateway.tools.explaining.story import Told, tell
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink

PATIENCE = 2.0
"""Seconds that Redis gets for an answer."""


async def read_story(catalog: Catalog, url: str, apps: Sequence[int], session: str) -> list[Told]:
    """Return the callbacks of a session that are kept, oldest first; raise QueueUnavailable."""
    async with _reading(catalog, url) as (link, keys):
        return tell(await read_session(link, keys, apps, session), catalog.lookups)


async def read_questions(catalog: Catalog, url: str, session: str, lookup: str) -> list[LookupEntry]:
    """Return the questions of a lookup in a session, oldest first; raise QueueUnavailable."""
    async with _reading(catalog, url) as (link, keys):
        found = await read_session(link, keys, list(catalog.apps), session)
    return [one for one in found if isinstance(one, LookupEntry) and one.lookup == lookup]


async def read_stories(catalog: Catalog, url: str, seconds: float) -> list[Told]:
    """Return the kept callbacks of all sessions that had one in the last seconds; raise QueueUnavailable."""
    async with _reading(catalog, url) as (link, keys):
        now, story = time.time(), list[Told]()
        for name in await sessions_since(link, keys, seconds):
            story += tell(await read_named(link, keys, [name]), catalog.lookups)
    return [told for told in story if told.callback.at > now - seconds]


@asynccontextmanager
async def _reading(catalog: Catalog, url: str) -> AsyncIterator[tuple[RedisLink, Keys]]:
    link = RedisLink(url, PATIENCE, PATIENCE)
    await link.start()
    try:
        yield link, Keys(catalog.settings.redis.prefix)
    except QueueUnavailable as error:
        raise QueueUnavailable(link.why(error)) from None
    finally:
        await link.close()
