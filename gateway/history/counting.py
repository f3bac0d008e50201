"""What one process has counted, added to what Redis has of the whole fleet."""

from contextlib import suppress

from gateway.core.errors import QueueUnavailable
from gateway.history.series import SLOT, SLOTS_KEPT, Series
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink, Script

COUNT = Script("gateway.history", "count")
COUNT_ROW = ("slot", "field", "count")
"""ARGV of count.lua, for each count."""


async def add_counts(link: RedisLink, keys: Keys, series: Series) -> None:
    """Add the counts of a process. If that fails, they are lost: they may have been added already."""
    if not series or link.lost:
        return
    rows = [
        value
        for slot, counts in series.take().items()
        for field, count in counts.items()
        for value in (keys.series(str(slot)), field, count)
    ]
    with suppress(QueueUnavailable):
        await link.run(COUNT, [], [SLOT * SLOTS_KEPT * 1000, *rows])
