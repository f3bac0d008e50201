"""The tally: an instrument that counts events. A scrape shows what it has counted: see ``exposition.py``.

A callback pays for a few additions to plain dicts, about a microsecond. The counters of prometheus-client
would cost it several times as much, and a lock each.
"""

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from gateway.core.errors import Code
from gateway.telemetry.events import Event
from gateway.telemetry.families import (
    ANSWERS,
    ATTEMPTS,
    BACKEND_SECONDS,
    CALLBACK_SECONDS,
    CALLBACKS,
    CONNECTIONS,
    COUNTED,
    DROPPED,
    HISTORY_DROPPED,
    LANE_WAIT,
    LATE,
    REDIS_UP,
    REFUSED,
    RELOADED,
    RELOADED_AT,
    Labels,
)

Counts = dict[Labels, float]


class Snapshot(msgspec.Struct, frozen=True):
    """What a process has counted so far. By the family's name and the labels' values: counts; and spreads.

    A spread has the number of values in each bucket, those above all of them, and the values' sum. ``sums``
    and ``least`` have what is at the moment, by the family's name.
    """

    counts: Mapping[str, Mapping[Labels, float]] = {}
    spreads: Mapping[str, Mapping[Labels, list[float]]] = {}
    sums: Mapping[str, float] = {}
    least: Mapping[str, float] = {}

    def counted(self) -> "Snapshot":
        """Return what stays when the process has ended."""
        return Snapshot(self.counts, self.spreads)

    @staticmethod
    def sum_of(snapshots: Iterable["Snapshot"]) -> "Snapshot":
        """Return what several processes have counted together."""
        counts: dict[str, Counts] = {}
        spreads: dict[str, dict[Labels, list[float]]] = {}
        sums: dict[str, float] = {}
        least: dict[str, float] = {}
        for one in snapshots:
            for name, value in one.sums.items():
                sums[name] = sums.get(name, 0) + value
            for name, value in one.least.items():
                least[name] = min(least.get(name, value), value)
            for name, by_labels in one.counts.items():
                total = counts.setdefault(name, {})
                for labels, count in by_labels.items():
                    total[labels] = total.get(labels, 0) + count
            for name, by_label in one.spreads.items():
                totals = spreads.setdefault(name, {})
                for labels, spread in by_label.items():
                    known = totals.setdefault(labels, [0.0] * len(spread))
                    if len(known) == len(spread):  # else another release has other buckets
                        totals[labels] = [a + b for a, b in zip(known, spread, strict=True)]
        return Snapshot(counts, spreads, sums, least)


class _Spread:
    """A histogram: how many values fell into each bucket, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Tally:
    """Counts the events of one process. It is called with each of them."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.dropped: Callable[[], int] = lambda: 0
        """Returns the lines that the log has dropped."""
        self.connections: Callable[[], int] | None = None
        """Returns the open connections of the callback port, if there is one."""
        self.redis_up: Callable[[], bool] = lambda: False
        """Returns whether Redis can be reached."""
        self.reloaded, self.reloaded_at = True, time.time()
        self._counts: dict[str, Counts] = {
            family.name: defaultdict(int) for family in COUNTED if not family.buckets
        }
        self._counts[HISTORY_DROPPED.name][()] += 0
        self._callbacks = self._counts[CALLBACKS.name]
        self._answers = self._counts[ANSWERS.name]
        self._attempts = self._counts[ATTEMPTS.name]
        self._callback_seconds = _Spread(CALLBACK_SECONDS.buckets)
        self._waits: dict[str, _Spread] = {}
        self._seconds: dict[str, _Spread] = {}
        self._of: dict[str, Callable[[dict[str, Any]], None]] = {
            "callback.answered": self._callback_answered,
            "callback.refused": self._callback_refused,
            "callback.failed": self._callback_refused,
            "attempt.ended": self._attempt_ended,
            "lookup.finished": self._lookup_finished,
            "answer.late": self._answer_late,
            "history.dropped": self._history_dropped,
            "config.reloaded": self._config_reloaded,
            "config.refused": self._config_refused,
            "config.failed": self._config_refused,
        }

    def __call__(self, event: Event) -> None:
        """Count an event."""
        count = self._of.get(event.name)
        if count is not None:
            count(event.fields)

    def expect(self, apps: Iterable[int], lookups: Iterable[str], backends: Iterable[str]) -> None:
        """Show what will be counted from now on, as 0: a rate over a series that begins with 1 misses it.

        Bugs are shown, too, because an alert is about a single one.
        """
        for app in apps:
            self._callbacks[app, int(Code.OK)] += 0
            self._counts[REFUSED.name][(int(Code.INTERNAL),)] += 0
        for lookup in lookups:
            self._counts[LATE.name][(lookup,)] += 0
        for backend in backends:
            self._attempts[backend, Code.OK.name] += 0
            self._attempts[backend, Code.LOOKUP_FAILED.name] += 0
            self._waits.setdefault(backend, _Spread(LANE_WAIT.buckets))
            self._seconds.setdefault(backend, _Spread(BACKEND_SECONDS.buckets))

    def snapshot(self) -> Snapshot:
        """Return what has been counted so far."""
        counts: dict[str, Mapping[Labels, float]] = {name: dict(of) for name, of in self._counts.items()}
        counts[DROPPED.name] = {(): self.dropped()}

        def listed(of: Mapping[str, _Spread]) -> dict[Labels, list[float]]:
            return {(name,): [*spread.counts, spread.sum] for name, spread in of.items()}

        return Snapshot(
            counts,
            {
                CALLBACK_SECONDS.name: {(): [*self._callback_seconds.counts, self._callback_seconds.sum]},
                LANE_WAIT.name: listed(self._waits),
                BACKEND_SECONDS.name: listed(self._seconds),
            },
            {} if self.connections is None else {CONNECTIONS.name: self.connections()},
            {
                REDIS_UP.name: float(self.redis_up()),
                RELOADED.name: float(self.reloaded),
                RELOADED_AT.name: self.reloaded_at,
            },
        )

    def _callback_answered(self, fields: dict[str, Any]) -> None:
        self._callbacks[fields["app"], fields["code"]] += 1
        self._callback_seconds.add(fields["took_ms"] / 1000)
        answers = self._answers
        for name, one in fields["lookups"].items():
            answers[name, one["source"], one["code"]] += 1

    def _callback_refused(self, fields: dict[str, Any]) -> None:
        self._counts[REFUSED.name][(fields["code"],)] += 1

    def _attempt_ended(self, fields: dict[str, Any]) -> None:
        backend = fields["backend"]
        self._attempts[backend, fields["outcome"]] += 1
        _spread_of(self._seconds, backend, BACKEND_SECONDS.buckets).add(fields["took_ms"] / 1000)

    def _lookup_finished(self, fields: dict[str, Any]) -> None:
        _spread_of(self._waits, fields["lane"], LANE_WAIT.buckets).add(fields["queue_ms"] / 1000)

    def _answer_late(self, fields: dict[str, Any]) -> None:
        self._counts[LATE.name][(fields["lookup"],)] += 1

    def _history_dropped(self, fields: dict[str, Any]) -> None:
        self._counts[HISTORY_DROPPED.name][()] += fields["entries"]

    def _config_reloaded(self, _: dict[str, Any]) -> None:
        self.reloaded, self.reloaded_at = True, time.time()

    def _config_refused(self, _: dict[str, Any]) -> None:
        self.reloaded = False


def _spread_of(spreads: dict[str, _Spread], name: str, bounds: tuple[float, ...]) -> _Spread:
    spread = spreads.get(name)
    if spread is None:
        spread = spreads[name] = _Spread(bounds)
    return spread


tally = Tally()
"""The tally of this process."""
