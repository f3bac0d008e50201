"""The recorder: an instrument that makes entries of events, and writes them to Redis behind the callbacks.

A callback pays for an item in a list. Entries are made of these items, and written, some times a second. What
cannot be written in time is dropped and counted: the history never holds up what it tells of.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from gateway.core.errors import Code, QueueUnavailable
from gateway.core.records import session_name, user_name
from gateway.declared.catalog import Catalog
from gateway.declared.history import HistoryTable
from gateway.declared.mask import Mask, mask_of
from gateway.history.attempts import Attempts
from gateway.history.counting import add_counts
from gateway.history.entries import encode
from gateway.history.making import Attempt, Noted, lasted, make_entry
from gateway.history.series import BACKENDS, CALLBACKS, Series
from gateway.process.background import end
from gateway.process.lasting import Lasting
from gateway.telemetry import events
from gateway.telemetry.events import Event, instruments
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink, Script

ENTRIES_PER_CALLBACK = 5
"""Entries of a session for each callback that is kept: its own, and those of lookups that were asked for."""

MOST_WAITING = 5000
"""Entries that wait to be written; the oldest are dropped first."""

MOST_BYTES = 8 * 1024 * 1024
"""Bytes of entries that wait to be written."""

LARGEST_ENTRY = 32 * 1024
"""Bytes of an entry; a larger one is kept without its values."""

BYTES_AT_ONCE = 64 * 1024
"""Bytes of entries in one call. Callbacks use the same connection, and wait behind it."""

OLDEST = 60.0
"""Seconds that an entry waits to be written, at most: after that a session may have been forgotten."""

WRITTEN_EVERY = 0.2
"""Seconds between two writes."""

_AT_ONCE = 100
_LAST_WRITE = 1.0
KEEP = Script("gateway.history", "keep")


class KeepArguments(NamedTuple):
    """ARGV of keep.lua, once; for each entry follows a KEEP_ROW."""

    histories: str
    history_of: str
    void_of: str
    kept: int
    most: int
    sessions: int


KEEP_ROW = ("began", "user", "entry")


class _Place(NamedTuple):
    """Where entries go, and how they are made: of one configuration."""

    link: RedisLink
    keys: Keys
    settings: HistoryTable
    masks: Mapping[int, Mask]
    mask: Mask


class _Row(NamedTuple):
    """An entry that waits: its session and user, when it was made and when what it tells of began, its text.

    Times are on the monotonic clock.
    """

    name: str
    user: str
    at: float
    began: float
    text: bytes


class Recorder:
    """Gets each event of the process. It records nothing while there is no place for it."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._places: list[_Place] = []
        self._waiting: deque[_Row] = deque()
        self._attempts = Attempts()
        self._series = Series()
        self._wake = asyncio.Event()
        self._bytes = self._dropped = 0
        self._full = Lasting()
        self._of: dict[str, Callable[[Event], None]] = {
            "callback.answered": self._note_callback,
            "callback.refused": self._note_refused,
            "lookup.finished": self._note_lookup,
            "attempt.replied": self._attempts.note_reply,
            "attempt.ended": self._note_attempt,
            "lookup.retried": self._attempts.note_retry,
        }

    def __call__(self, event: Event) -> None:
        """Note an event."""
        note = self._of.get(event.name)
        if note is not None:
            note(event)

    @asynccontextmanager
    async def recording(self, catalog: Catalog, link: RedisLink, keys: Keys) -> AsyncIterator[None]:
        """Record by a configuration for the length of the block; the one that began last counts.

        What waits at the end is written, unless that takes a second.
        """
        settings, mask = catalog.settings.history, mask_of(catalog.settings)
        masks = {app.id: mask.also(app.mask) for app in catalog.apps.values() if app.mask}
        place = _Place(link, keys, settings, masks, mask)
        self._places.append(place)
        self._turn()
        self._wake = asyncio.Event()
        if self._waiting:
            self._wake.set()
        writing = asyncio.create_task(self._keep_writing(place))
        try:
            yield
        finally:
            await end(writing)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WRITE):
                    if place is self._places[-1]:
                        await self._write(place)
            self._places.remove(place)
            self._turn()

    def _turn(self) -> None:
        """Listen to events if the last place wants a history; else forget what waits."""
        if self._places and self._places[-1].settings.level != "off":
            if self not in instruments:
                instruments.append(self)
            return
        if self in instruments:
            instruments.remove(self)
        self._waiting.clear()
        self._series.take()
        self._bytes = 0
        self._attempts.clear()

    def _note(self, event: Event, attempts: tuple[Attempt, ...] = ()) -> None:
        # Made at once: an entry is smaller than its event, whose values should not outlive the callback.
        row = _row_of(Noted(event, time.time(), attempts), self._places[-1])
        if row is None:
            self._dropped += 1
            return
        self._waiting.append(row)
        self._bytes += len(row.text)
        while len(self._waiting) > MOST_WAITING or self._bytes > MOST_BYTES:
            self._next()
            self._dropped += 1
        self._wake.set()

    def _note_callback(self, event: Event) -> None:
        fields = event.fields
        self._series.note(CALLBACKS, "", fields["code_name"], fields["took_ms"] / 1000, time.time())
        self._note(event)

    def _note_refused(self, event: Event) -> None:
        if event.values is not None:  # it is known whose callback it was
            code = Code(event.fields["code"]).name
            self._series.note(CALLBACKS, "", code, None, time.time())
            self._note(event)

    def _note_lookup(self, event: Event) -> None:
        fields = event.fields
        attempts = self._attempts.take(fields["trace_id"], fields["lookup"])
        self._note(event, attempts)

    def _note_attempt(self, event: Event) -> None:
        self._attempts.note_end(event)
        fields = event.fields
        if fields["outcome"] != "CANCELLED":
            seconds = fields["took_ms"] / 1000
            self._series.note(BACKENDS, fields["backend"], fields["outcome"], seconds, time.time())

    async def _keep_writing(self, place: _Place) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(WRITTEN_EVERY)
            if place is self._places[-1]:
                await self._write(place)

    async def _write(self, place: _Place) -> None:
        """Write what waits: the entries, and what was counted."""
        await self._write_entries(place)
        await add_counts(place.link, place.keys, self._series)

    async def _write_entries(self, place: _Place) -> None:
        """Write entries; drop what is too old or cannot be written."""
        while self._waiting:
            if place.link.lost:
                self._drop_old()
                self._tell_dropped()
                self._wake.set()  # tried again a little later
                return
            least = time.monotonic() - OLDEST
            some = self._next_together()
            made = [row for row in some if row.at > least]
            self._dropped += len(some) - len(made)
            if made:
                try:
                    await self._send(place, made)
                except QueueUnavailable:  # they may have been written: once more would be twice
                    self._dropped += len(made)
            self._tell_dropped()

    async def _send(self, place: _Place, made: list[_Row]) -> None:
        # A command may be under way for as long as the link waits for it.
        now = time.monotonic() + place.link.timeout
        settings, keys = place.settings, place.keys
        once = KeepArguments(
            histories=keys.histories(),
            history_of=keys.history(""),
            void_of=keys.void(""),
            kept=int(settings.kept * 1000),
            most=settings.per_session * ENTRIES_PER_CALLBACK,
            sessions=settings.sessions,
        )
        rows = [value for row in made for value in (int((now - row.began) * 1000), row.user, row.text)]
        await place.link.run(KEEP, [keys.history(row.name) for row in made], [*once, *rows])

    def _drop_old(self) -> None:
        least = time.monotonic() - OLDEST
        while self._waiting and self._waiting[0].at < least:
            self._next()
            self._dropped += 1

    def _next_together(self) -> list[_Row]:
        """Take the oldest entries out, as many as are written together."""
        left, some = self._bytes - BYTES_AT_ONCE, [self._next()]
        while self._waiting and len(some) < _AT_ONCE and self._bytes - len(self._waiting[0].text) >= left:
            some.append(self._next())
        return some

    def _next(self) -> _Row:
        """Take the oldest entry out."""
        row = self._waiting.popleft()
        self._bytes -= len(row.text)
        return row

    def _tell_dropped(self) -> None:
        if self._dropped and self._full.due("", time.monotonic()) is not None:
            events.history_dropped(entries=self._dropped)
            self._dropped = 0


def _row_of(noted: Noted, place: _Place) -> _Row | None:
    """Return an event's entry; None if it cannot be written."""
    event, now = noted.event, time.monotonic()
    if event.values is None:
        return None
    mask = place.masks.get(event.values["app"], place.mask)
    entry = make_entry(noted, mask, keeps_values=place.settings.level == "values")
    try:
        text = encode(entry)
        if len(text) > LARGEST_ENTRY:
            text = encode(make_entry(noted, mask, keeps_values=False))
        if len(text) > LARGEST_ENTRY:  # its session's name alone may be as long as a callback
            return None
    except UnicodeEncodeError:  # half a surrogate pair in a name
        return None
    user = user_name(entry.app, entry.user) if entry.user else ""
    return _Row(session_name(entry.app, entry.session), user, now, now - lasted(event), text)


recorder = Recorder()
"""The recorder of this process."""
