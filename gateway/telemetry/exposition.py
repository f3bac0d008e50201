"""The text that Prometheus scrapes, made of what a process has counted and of what it finds at the moment.

Its form is that of prometheus-client, by the ``Accept`` header: the classic text or OpenMetrics.

Processes of one address may be of two releases, and those that have ended too. What another release has
counted in another way is left out, and its further codes have no name.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway.core.errors import Code
from gateway.telemetry.families import COUNTED, LEAST, SUMS, Family, Gauge, Labels
from gateway.telemetry.tally import Snapshot

_CODES = {int(code): code.name for code in Code}


def expose(
    counted: Snapshot, gauges: Sequence[Gauge], *, accept: str = "", of_process: bool = True
) -> tuple[str, bytes]:
    """Return the content type and the body for a scrape.

    ``of_process`` adds CPU, memory and open files of this process: several on one address leave it out,
    because it is chance which of them is asked.
    """
    registry = CollectorRegistry()
    registry.register(_Families(counted, gauges))
    if of_process:
        ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return content_type, encode(registry)


class _Families(Collector):
    def __init__(self, counted: Snapshot, gauges: Sequence[Gauge]) -> None:
        self._counted, self._gauges = counted, gauges

    def collect(self) -> Iterator[Metric]:
        """Yield each family with its samples."""
        for family in COUNTED:
            if family.buckets:
                yield self._histogram(family)
            else:
                counter = CounterMetricFamily(family.name, family.says, labels=_names(family))
                for labels, count in self._counted.counts.get(family.name, {}).items():
                    if len(labels) == len(family.labels):
                        counter.add_metric(_values(family, labels), count)
                yield counter
        now = {**self._counted.sums, **self._counted.least}
        found = [Gauge(family, {(): now[family.name]}) for family in (*SUMS, *LEAST) if family.name in now]
        for family, values in (*found, *self._gauges):
            gauge = GaugeMetricFamily(family.name, family.says, labels=_names(family))
            for labels, value in values.items():
                gauge.add_metric(_values(family, labels), value)
            yield gauge

    def _histogram(self, family: Family) -> Metric:
        histogram = HistogramMetricFamily(family.name, family.says, labels=_names(family))
        bounds = [*map(str, family.buckets), "+Inf"]
        for labels, spread in self._counted.spreads.get(family.name, {}).items():
            *counts, total = spread
            if len(counts) != len(bounds) or len(labels) != len(family.labels):
                continue
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            histogram.add_metric(_values(family, labels), buckets, total)
        return histogram


def _names(family: Family) -> list[str]:
    """Return the labels of a family. A code has its name beside it."""
    return [
        name for label in family.labels for name in (("code", "code_name") if label == "code" else (label,))
    ]


def _values(family: Family, values: Labels) -> list[str]:
    texts: list[str] = []
    for label, value in zip(family.labels, values, strict=True):
        texts.append(str(value))
        if label == "code":
            texts.append(_CODES.get(int(value), "UNKNOWN"))
    return texts
