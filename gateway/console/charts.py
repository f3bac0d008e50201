"""Five minutes of charts, read from the series of the whole fleet and kept while somebody looks."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from gateway.history.reading import read_slots
from gateway.history.series import (
    BACKENDS,
    CALLBACKS,
    SLOT,
    Counts,
    added,
    quantile,
    read_slot,
    slot_of,
)
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink

SLOTS = 30
"""Points of a chart: five minutes."""

_STILL_COUNTED = 3  # the latest slots, to which processes still add

_Ends = Mapping[str, Counts]


class Chart(msgspec.Struct, frozen=True):
    """A chart, oldest first: how many in each slot, how many of them went wrong, and the ms that they took.

    ``per_s``, ``errors``, ``p50_ms`` and ``p95_ms`` are of the five minutes; None without a call.
    """

    counts: list[int]
    wrong: list[int]
    p50s_ms: list[float | None]
    p95s_ms: list[float | None]
    per_s: float
    error_share: float | None
    p50_ms: float | None
    p95_ms: float | None
    outcomes: dict[str, int]


class _Point(NamedTuple):
    """What a slot says of one name."""

    counts: Counts
    total: int
    wrong: int
    p50_ms: float | None
    p95_ms: float | None


_Slot = Mapping[str, Mapping[str, _Point]]


class Charts:
    """The slots that have been read, and the charts that they make."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._slots: dict[int, _Slot] = {}

    async def read(self, link: RedisLink, keys: Keys, now: float) -> None:
        """Read what is new; raise QueueUnavailable. ``now`` is Unix time."""
        last = slot_of(now)
        wanted = range(last - SLOTS + 1, last + 1)
        anew = [slot for slot in wanted if slot not in self._slots or slot > last - _STILL_COUNTED]
        found = await read_slots(link, keys, anew)
        read = await asyncio.to_thread(_points, found)
        self._slots = {slot: one for slot, one in {**self._slots, **read}.items() if slot in wanted}

    def callbacks(self, now: float) -> Chart:
        """Return the chart of all callbacks."""
        return self._chart(CALLBACKS, "", now)

    def backend(self, name: str, now: float) -> Chart:
        """Return the chart of the calls to a backend."""
        return self._chart(BACKENDS, name, now)

    def _chart(self, kind: str, name: str, now: float) -> Chart:
        last = slot_of(now)
        points = [
            self._slots.get(slot, {}).get(kind, {}).get(name) for slot in range(last - SLOTS + 1, last + 1)
        ]
        there = [point for point in points if point is not None]
        total = sum(point.total for point in there)
        whole = added(point.counts for point in there)
        first = next((i for i, point in enumerate(points) if point is not None), SLOTS)
        seconds = (SLOTS - first - 1) * SLOT + now % SLOT  # since the first call: it may have begun just now
        return Chart(
            [0 if point is None else point.total for point in points],
            [0 if point is None else point.wrong for point in points],
            [None if point is None else point.p50_ms for point in points],
            [None if point is None else point.p95_ms for point in points],
            round(total / max(1.0, seconds), 2) if total else 0.0,
            round(sum(point.wrong for point in there) / total, 4) if total else None,
            _ms(quantile(whole.buckets, 0.5)),
            _ms(quantile(whole.buckets, 0.95)),
            dict(whole.outcomes),
        )


def _points(slots: Mapping[int, Mapping[str, int]]) -> dict[int, _Slot]:
    return {
        slot: {kind: _read(read_slot(kind, fields)) for kind in (CALLBACKS, BACKENDS)}
        for slot, fields in slots.items()
    }


def _read(ends: _Ends) -> dict[str, _Point]:
    points = {}
    for name, counts in ends.items():
        total = sum(counts.outcomes.values())
        wrong = total - counts.outcomes.get("OK", 0)
        p50, p95 = (_ms(quantile(counts.buckets, share)) for share in (0.5, 0.95))
        points[name] = _Point(counts, total, wrong, p50, p95)
    return points


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
