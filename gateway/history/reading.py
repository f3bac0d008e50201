"""The history, read back."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from gateway.core.records import session_name
from gateway.history.entries import Entry, decode
from gateway.history.series import as_counts
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink


async def read_session(link: RedisLink, keys: Keys, apps: Collection[int], session: str) -> list[Entry]:
    """Return what is kept of a session, oldest first; raise QueueUnavailable. ``apps`` are looked into."""
    return await read_named(link, keys, [session_name(app, session) for app in apps])


async def read_named(link: RedisLink, keys: Keys, names: Collection[str]) -> list[Entry]:
    """Return what is kept of sessions, each named as in records, oldest first; raise QueueUnavailable."""
    return await read_latest(link, keys, names, 0)


async def read_latest(link: RedisLink, keys: Keys, names: Collection[str], most: int) -> list[Entry]:
    """Return the same, of each session the latest ``most`` entries alone; 0: all. Raise QueueUnavailable."""
    asked = [link.execute("LRANGE", keys.history(name), 0, most - 1) for name in names]
    lists: list[list[bytes]] = await asyncio.gather(*asked)
    found = [entry for data in lists for entry in map(decode, reversed(data)) if entry is not None]
    return sorted(found, key=lambda entry: entry.at)


async def sessions_since(link: RedisLink, keys: Keys, seconds: float) -> list[str]:
    """Return the names of the sessions with an entry in the last seconds; raise QueueUnavailable."""
    return (await sessions_after(link, keys, -seconds * 1000)).names


class Sessions(NamedTuple):
    """Sessions with new entries, and until when they were looked for, in ms on the server's clock."""

    names: list[str]
    until_ms: float


async def sessions_after(link: RedisLink, keys: Keys, ms: float) -> Sessions:
    """Return the sessions with an entry that was written later than ``ms``, on the server's clock.

    A number below zero goes back from now. Raise QueueUnavailable.
    """
    now: list[Any] = await link.execute("TIME")
    until = int(now[0]) * 1000 + int(now[1]) / 1000
    least = until + ms if ms < 0 else ms
    found: list[bytes] = await link.execute("ZRANGEBYSCORE", keys.histories(), least, "+inf")
    return Sessions([name.decode(errors="replace") for name in found], until)


async def read_slots(link: RedisLink, keys: Keys, slots: Sequence[int]) -> dict[int, dict[str, int]]:
    """Return what the whole fleet has counted in these slots, by field; raise QueueUnavailable."""
    asked = [link.execute("HGETALL", keys.series(str(slot))) for slot in slots]
    found: list[list[bytes]] = await asyncio.gather(*asked)
    return {slot: as_counts(pairs) for slot, pairs in zip(slots, found, strict=True)}
