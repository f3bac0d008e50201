"""The history, read back."""

from collections.abc import Collection
from typing import Any

from gateway.core.records import session_name
from gateway.history.entries import Entry, decode
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink


async def read_session(link: RedisLink, keys: Keys, apps: Collection[int], session: str) -> list[Entry]:
    """Return what is kept of a session, oldest first; raise QueueUnavailable. ``apps`` are looked into."""
    return await read_named(link, keys, [session_name(app, session) for app in apps])


async def read_named(link: RedisLink, keys: Keys, names: Collection[str]) -> list[Entry]:
    """Return what is kept of sessions, each named as in records, oldest first; raise QueueUnavailable."""
    asked = [link.execute("LRANGE", keys.history(name), 0, -1) for name in names]
    lists: list[list[bytes]] = [await one for one in asked]
    found = [entry for data in lists for entry in map(decode, reversed(data)) if entry is not None]
    return sorted(found, key=lambda entry: entry.at)


async def sessions_since(link: RedisLink, keys: Keys, seconds: float) -> list[str]:
    """Return the names of the sessions with an entry in the last seconds; raise QueueUnavailable."""
    now: list[Any] = await link.execute("TIME")
    least = (int(now[0]) + int(now[1]) / 1e6 - seconds) * 1000
    found: list[bytes] = await link.execute("ZRANGEBYSCORE", keys.histories(), least, "+inf")
    return [name.decode(errors="replace") for name in found]
