"""Refreshes: records renewed by jobs behind the callbacks that they have served; no callback waits."""

import asyncio
import time
from contextlib import suppress

from gateway.core.errors import QueueUnavailable
from gateway.process.background import Background
from gateway.queue.hand_off import HandOff
from gateway.queue.jobs import Wanted


class Refreshes:
    """The refreshes that this process has under way, at most one for a record."""

    def __init__(self, hand_off: HandOff, patience: float) -> None:
        """Take the way to the workers, and the seconds after which another refresh may be begun."""
        self._hand_off = hand_off
        self._patience = patience
        self._background = Background()
        self._under_way: set[str] = set()

    def start(self, want: Wanted) -> None:
        """Begin to refresh the record of ``want``, unless that is under way; return at once."""
        record = want.job.record
        if record not in self._under_way:
            self._under_way.add(record)
            refresh = self._background.start(self._refresh(want._replace(awaited=False)))
            refresh.add_done_callback(lambda _: self._under_way.discard(record))

    async def close(self) -> None:
        """Wait for no answer any more; the jobs run on."""
        await self._background.close()

    async def _refresh(self, want: Wanted) -> None:
        """Begin the job, and hold its place until the answer has come; that goes into memory by itself."""
        with suppress(QueueUnavailable):  # the next callback tries again
            (asked,) = await self._hand_off.begin([want], time.monotonic() + self._patience)
            if asked.job is not None:
                await asyncio.wait([asked.job.future], timeout=self._patience)

    def __len__(self) -> int:
        """Return the number of refreshes under way."""
        return len(self._under_way)
