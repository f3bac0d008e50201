"""Series: how many callbacks and calls to backends ended how, and how fast, in each ten seconds. Pure.

They are of the whole fleet, and of no session. Each process adds its counts to those in Redis.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain, repeat
from typing import NamedTuple

SLOT = 10
"""Seconds that are counted together."""

SLOTS_KEPT = 36
"""Slots that Redis keeps: five minutes, and one for clocks that differ."""

BOUNDS = (
    *(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
    *(1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0, 20.0),
)
"""Seconds: the upper ends of the buckets that durations are counted in."""

CALLBACKS, BACKENDS = "callbacks", "backends"
_LONGEST_COUNT = 18  # digits, those that Redis counts with
_MARK = "/"
_BUCKET = "<"


def slot_of(at: float) -> int:
    """Return the number of the slot of a Unix time."""
    return int(at // SLOT)


class Counts(NamedTuple):
    """What was counted of one name in a slot: ends by the name of their code, and durations by bucket."""

    outcomes: Mapping[str, int]
    buckets: Sequence[int]


class Series:
    """Counts of one process that are not in Redis yet, by slot and field."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._slots: dict[int, defaultdict[str, int]] = {}

    def __bool__(self) -> bool:
        """True if something has been counted."""
        return bool(self._slots)

    def note(self, kind: str, name: str, outcome: str, seconds: float | None, at: float) -> None:
        """Count an end at a Unix time, and the time that it took, if it took any.

        ``kind`` is CALLBACKS or BACKENDS.
        """
        slot = slot_of(at)
        counts = self._slots.get(slot)
        if counts is None:
            counts = self._slots[slot] = defaultdict(int)
            for old in [one for one in self._slots if one <= slot - SLOTS_KEPT]:
                del self._slots[old]  # Redis was away for so long
        counts[f"{kind}{_MARK}{name}{_MARK}{outcome}"] += 1
        if seconds is not None:
            counts[f"{kind}{_MARK}{name}{_MARK}{_BUCKET}{bisect_left(BOUNDS, seconds)}"] += 1

    def take(self) -> Mapping[int, Mapping[str, int]]:
        """Return the counts by slot and field, and begin anew."""
        taken, self._slots = self._slots, {}
        return taken


def read_slot(kind: str, fields: Mapping[str, int]) -> dict[str, Counts]:
    """Return what a slot's fields say of each name of a kind. Fields of another release are passed over."""
    outcomes: dict[str, dict[str, int]] = {}
    buckets: dict[str, list[int]] = {}
    for field, count in fields.items():
        of, _, rest = field.partition(_MARK)
        name, _, end = rest.rpartition(_MARK)
        if of != kind:
            continue
        outcomes.setdefault(name, {})
        known = buckets.setdefault(name, [0] * (len(BOUNDS) + 1))
        if not end.startswith(_BUCKET):
            outcomes[name][end] = count
        elif end[1:].isdecimal() and int(end[1:]) < len(known):
            known[int(end[1:])] = count
    return {name: Counts(of, buckets[name]) for name, of in outcomes.items()}


def added(some: Iterable[Counts]) -> Counts:
    """Return the sum of several counts."""
    outcomes: dict[str, int] = {}
    buckets = [0] * (len(BOUNDS) + 1)
    for one in some:
        for name, count in one.outcomes.items():
            outcomes[name] = outcomes.get(name, 0) + count
        buckets = [a + b for a, b in zip(buckets, one.buckets, strict=True)]
    return Counts(outcomes, buckets)


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """Return the seconds within which this share of the durations lies; None if there is none.

    Within a bucket, durations are taken to be spread evenly, as Prometheus' ``histogram_quantile`` does.
    """
    total = sum(buckets)
    if not total:
        return None
    rank = share * total
    starts, ends = chain((0.0,), BOUNDS), chain(BOUNDS, repeat(BOUNDS[-1]))
    rows = zip(starts, ends, buckets, accumulate(buckets), strict=False)
    start, end, count, until = next(row for row in rows if row[2] and row[3] >= rank)
    return start + (end - start) * max(0.0, 1 - (until - rank) / count)


def as_counts(pairs: Iterable[bytes]) -> dict[str, int]:
    """Return a hash of Redis, as its flat reply has it; what is no count is passed over."""
    row = iter(pairs)
    return {
        name.decode(errors="replace"): int(value)
        for name, value in zip(row, row, strict=False)
        if value.isdigit() and len(value) <= _LONGEST_COUNT
    }
