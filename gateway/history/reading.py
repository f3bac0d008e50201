"""The history, read back."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any

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
    asked = [link.execute("LRANGE", keys.history(name), 0, -1) for name in names]
    return _entries(await asyncio.gather(*asked))


async def read_latest(link: RedisLink, keys: Keys, names: Collection[str], most: int) -> list[Entry]:
    """Return the same, of each session the latest ``most`` entries alone.

    A session that cannot be read is left out: something else may lie at its key. Raise QueueUnavailable if
    none can be read.
    """
    asked = [link.execute("LRANGE", keys.history(name), 0, most - 1) for name in names]
    found = await asyncio.gather(*asked, return_exceptions=True)
    failures = [one for one in found if isinstance(one, BaseException)]
    if failures and len(failures) == len(found):
        raise failures[0]
    return _entries(one for one in found if not isinstance(one, BaseException))


def _entries(lists: Iterable[list[bytes]]) -> list[Entry]:
    found = [entry for data in lists for entry in map(decode, reversed(data)) if entry is not None]
    return sorted(found, key=lambda entry: entry.at)


async def sessions_since(link: RedisLink, keys: Keys, seconds: float) -> list[str]:
    """Return the names of the sessions with an entry in the last seconds; raise QueueUnavailable."""
    return await sessions_after(link, keys, await now_ms(link) - seconds * 1000)


async def sessions_after(link: RedisLink, keys: Keys, ms: float) -> list[str]:
    """Return the sessions with an entry that was written at ``ms`` of the server's clock, or later.

    Raise QueueUnavailable.
    """
    found: list[bytes] = await link.execute("ZRANGEBYSCORE", keys.histories(), ms, "+inf")
    return [name.decode(errors="replace") for name in found]


async def now_ms(link: RedisLink) -> float:
    """Return the time on the server's clock; raise QueueUnavailable."""
    time: list[Any] = await link.execute("TIME")
    return int(time[0]) * 1000 + int(time[1]) / 1000


async def read_slots(link: RedisLink, keys: Keys, slots: Sequence[int]) -> dict[int, dict[str, int]]:
    """Return what the whole fleet has counted in these slots, by field; raise QueueUnavailable."""
    asked = [link.execute("HGETALL", keys.series(str(slot))) for slot in slots]
    found: list[list[bytes]] = await asyncio.gather(*asked)
    return {slot: as_counts(pairs) for slot, pairs in zip(slots, found, strict=True)}
