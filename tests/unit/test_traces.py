"""Spans made of events: what each tells, whatever ids it comes with."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.core.errors import Code
from gateway.telemetry import events, traces


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What would be sent. The sending itself is tried with real processes and a receiver."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(traces, "OTLPSpanExporter", lambda: exporter)
    instrument = traces.Traces({"service.name": "test"})
    monkeypatch.setattr(events, "instruments", [instrument])
    yield exporter
    instrument.close()


def sent(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    """Return the spans so far."""
    (instrument,) = events.instruments
    assert isinstance(instrument, traces.Traces)
    instrument._provider.force_flush()
    return list(exporter.get_finished_spans())


def finish(trace_id: str) -> None:
    """Tell of a lookup that a worker has made."""
    events.lookup_finished(
        lookup="order",
        backend="crm",
        code=Code.OK,
        reason="",
        attempts=1,
        queued=0.2,
        took=0.1,
        left=1.0,
        session="s1",
        trace_id=trace_id,
    )


def test_a_token_is_a_trace_of_its_own(kept: InMemorySpanExporter) -> None:
    """It serves the whole fleet. One that was refused says why."""
    events.token_granted(backend="crm", seconds=3600, took=0.25)
    events.token_failed(backend="crm", code=Code.BACKEND_DENIED, reason="invalid_client", took=0.1)
    granted, failed = sent(kept)
    assert (granted.name, granted.parent, granted.status.is_ok) == ("token crm", None, True)
    assert granted.start_time is not None
    assert granted.end_time is not None
    assert granted.end_time - granted.start_time == 250_000_000
    assert failed.status.description == "invalid_client"
    assert granted.context.trace_id != failed.context.trace_id


def test_wait_ends_where_the_lookup_begins(kept: InMemorySpanExporter) -> None:
    """Both lie below the callback, which another process tells of."""
    finish("a" * 32)
    wait, lookup = sent(kept)
    assert (wait.name, lookup.name) == ("wait crm", "lookup order")
    assert wait.end_time == lookup.start_time
    assert wait.parent is not None
    assert wait.parent == lookup.parent
    assert f"{lookup.context.trace_id:032x}" == "a" * 32


@pytest.mark.parametrize("trace_id", ["", "t1", "0" * 32, "f" * 40, "-5", "é", "\ud800"])
def test_any_trace_id_makes_a_span(trace_id: str, kept: InMemorySpanExporter) -> None:
    """Another client's job may have any text, and a broken instrument would tell of it each time."""
    finish(trace_id)
    assert [span.name for span in sent(kept)] == ["wait crm", "lookup order"]
    assert all(span.context.trace_id for span in sent(kept))
