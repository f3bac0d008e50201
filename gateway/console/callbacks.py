"""The latest callbacks of the whole fleet, as the history has them, for as long as somebody watches."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import NamedTuple

import msgspec

from gateway.console.sight import Sight
from gateway.core.errors import QueueUnavailable
from gateway.core.records import session_name
from gateway.forgetting.forget import forgotten_since
from gateway.history.entries import CallbackEntry
from gateway.history.reading import now_ms, read_latest, sessions_after
from gateway.process.background import end
from gateway.telemetry import events
from gateway.tools.explaining.story import code_name

LOOK_EVERY = 0.5
"""Seconds between two looks."""

MOST_SESSIONS = 100
"""Sessions that are read at a look; of more, a sample."""

MOST_KEPT = 2000
"""Callbacks of two minutes that are remembered, for those who begin to watch or change their filter."""

_LATEST = 4  # entries of a session that are read at a look
_BACKLOG = 120.0  # seconds that the first look goes back


class LookupSeen(msgspec.Struct, frozen=True):
    """A lookup's part of a callback."""

    source: str
    code: str
    took_ms: float
    age_ms: float | None


class CallbackSeen(msgspec.Struct, frozen=True):
    """A callback, without its variables. ``number`` grows with each one that is seen here."""

    number: int
    at: float
    trace_id: str
    app: int
    session: str
    route: str
    code: str
    took_ms: float
    lookups: dict[str, LookupSeen]


class Filter(NamedTuple):
    """Which callbacks are wanted. ``slow_ms``: those that took so long. ``bad``: every code but 0."""

    code: str = ""
    lookup: str = ""
    session: str = ""
    slow_ms: float = 0.0
    bad: bool = False

    def fits(self, one: CallbackSeen) -> bool:
        """True if a callback is wanted."""
        return (
            (
                not self.code
                or one.code == self.code
                or any(of.code == self.code for of in one.lookups.values())
            )
            and (not self.lookup or self.lookup in one.lookups)
            and (not self.session or self.session in one.session)
            and one.took_ms >= self.slow_ms
            and not (self.bad and one.code == "OK")
        )


class Look(NamedTuple):
    """What the last look found: the sessions with something new, how many were read, and what went wrong."""

    sessions: int = 0
    read: int = 0
    error: str = ""


class Latest:
    """The latest callbacks, shared by all who watch."""

    def __init__(self, sight: Sight) -> None:
        """Take the connection to Redis."""
        self._sight = sight
        self._kept: deque[CallbackSeen] = deque(maxlen=MOST_KEPT)
        self._seen: dict[str, None] = {}
        self._watchers = 0
        self._news = asyncio.Condition()
        self._number = 0
        self.last = Look()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look for the length of the block."""
        self._watchers += 1
        if self._watchers == 1:
            self._looking = asyncio.create_task(self._keep_looking())
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                await end(self._looking)
                self._kept.clear()
                self._seen.clear()

    def __len__(self) -> int:
        """Return the number of callbacks that are remembered."""
        return len(self._kept)

    async def next_look(self) -> None:
        """Return after the next look."""
        async with self._news:
            await self._news.wait()

    def after(self, number: int, wanted: Filter, most: int) -> list[CallbackSeen]:
        """Return the wanted callbacks with a higher number, the newest ``most`` of them, newest first."""
        return list(islice(self._newer(number, wanted), most))

    @property
    def number(self) -> int:
        """The number of the newest callback."""
        return self._number

    def _newer(self, number: int, wanted: Filter) -> Iterator[CallbackSeen]:
        for one in reversed(self._kept):
            if one.number <= number:
                return
            if wanted.fits(one):
                yield one

    async def _keep_looking(self) -> None:
        since: float | None = None
        while True:
            try:
                self.last, since = await self._look(since)
            except QueueUnavailable as error:
                self.last, since = Look(error=str(error)), None
            except Exception as error:  # noqa: BLE001 - a bug: who watches must hear that nothing comes
                self.last, since = Look(error=f"a bug: {type(error).__name__}"), None
                events.edge_failed(error=error)
            async with self._news:
                self._news.notify_all()
            await asyncio.sleep(LOOK_EVERY)

    async def _look(self, since: float | None) -> tuple[Look, float]:
        """Read what has come since a time, in ms on the server's clock; return also until when.

        Without a time, since as long ago as anything is remembered: sessions that were forgotten, too.
        """
        link, keys = await self._sight.link(), self._sight.service().keys
        now = await now_ms(link)
        since = now - _BACKLOG * 1000 if since is None else since
        names = await sessions_after(link, keys, since)
        some = sample(names, MOST_SESSIONS)
        entries = await read_latest(link, keys, some, _LATEST)
        oldest = time.time() - _BACKLOG
        while self._kept and self._kept[0].at < oldest:
            self._kept.popleft()
        if self._kept and (gone := await forgotten_since(link, keys, since)):
            left = [one for one in self._kept if session_name(one.app, one.session) not in gone]
            self._kept.clear()
            self._kept.extend(left)
        for entry in entries:
            if isinstance(entry, CallbackEntry) and entry.trace_id not in self._seen:
                self._seen[entry.trace_id] = None
                self._number += 1
                self._kept.append(_seen(entry, self._number))
        for old in list(islice(self._seen, max(0, len(self._seen) - 5 * MOST_KEPT))):
            del self._seen[old]
        return Look(len(names), len(some)), now


def sample(names: Sequence[str], most: int) -> list[str]:
    """Return ``most`` of the names at most, spread evenly."""
    step = max(1.0, len(names) / most)
    return [names[int(i * step)] for i in range(min(most, len(names)))]


def _seen(entry: CallbackEntry, number: int) -> CallbackSeen:
    lookups = {
        name: LookupSeen(part.source, code_name(part.code), part.took_ms, part.age_ms)
        for name, part in entry.lookups.items()
    }
    return CallbackSeen(
        number,
        entry.at,
        entry.trace_id,
        entry.app,
        entry.session,
        entry.route,
        code_name(entry.code),
        entry.took_ms,
        lookups,
    )
