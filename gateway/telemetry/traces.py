"""Traces, an instrument on the events: spans of OpenTelemetry, sent by OTLP beside the loop.

::

    callback                      its trace id is the trace_id of the log
    ├── wait LANE                 the job waits for a worker
    └── lookup NAME               a worker, or a gateway that asks by itself
        └── attempt BACKEND       each call; the backend is given this span's name in ``traceparent``
    token BACKEND                 a trace of its own: it serves the whole fleet

An event tells of what has ended, so each span is made whole, from its end and its length. The names of
callback and lookup come from the trace id: gateway and worker need not tell each other.
"""

import threading
import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from gateway.telemetry.events import Event

END_WITHIN = 2.0
"""Seconds that spans which wait get to be sent when the process ends."""

Attributes = dict[str, str | int | float | bool]


class Traces:
    """Makes spans of events. It is called with each of them."""

    def __init__(self, resource: Mapping[str, str]) -> None:
        """Begin; the standard variables ``OTEL_…`` say where to send, and what to sample."""
        self._ids = _GivenIds()
        self._provider = TracerProvider(
            resource=Resource.create(dict(resource)), id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("deskgate")
        self._of: dict[str, Callable[[dict[str, Any]], None]] = {
            "callback.answered": self._callback,
            "lookup.finished": self._lookup,
            "attempt.ended": self._attempt,
            "token.granted": self._token,
            "token.failed": self._token,
        }

    def __call__(self, event: Event) -> None:
        """Make the spans of an event."""
        make = self._of.get(event.name)
        if make is not None:
            make(event.fields)

    def close(self) -> None:
        """Send what waits, if that can be done soon."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(END_WITHIN)

    def _callback(self, fields: dict[str, Any]) -> None:
        trace_id = _trace_id(fields)
        attributes = _attributes(fields, "app", "session", "route", "code", "code_name")
        for name, one in fields["lookups"].items():
            attributes[f"deskgate.lookup.{name}.source"] = one["source"]
        self._span(
            "callback",
            trace_id,
            _of_callback(trace_id),
            None,
            took=fields["took_ms"],
            kind=SpanKind.SERVER,
            attributes=attributes,
            failed=fields["code_name"] if fields["code"] else "",
        )

    def _lookup(self, fields: dict[str, Any]) -> None:
        trace_id, lane, took = _trace_id(fields), fields["lane"], fields["backend_ms"]
        parent, ended = _of_callback(trace_id), time.time_ns()
        if fields["queue_ms"] > 0:
            begun = ended - int(took * 1e6)
            self._span(
                f"wait {lane}",
                trace_id,
                0,
                parent,
                took=fields["queue_ms"],
                ended=begun,
                attributes={"deskgate.lane": lane},
            )
        self._span(
            f"lookup {fields['lookup']}",
            trace_id,
            _of_lookup(trace_id, fields["lookup"]),
            parent,
            took=took,
            ended=ended,
            attributes={
                f"deskgate.{name}": fields[name] for name in ("lookup", "backend", "code", "attempts")
            },
            failed=fields["reason"] or fields["outcome"] if fields["code"] else "",
        )

    def _attempt(self, fields: dict[str, Any]) -> None:
        trace_id = _trace_id(fields)
        self._span(
            f"attempt {fields['backend']}",
            trace_id,
            int(fields["span_id"], 16),
            _of_lookup(trace_id, fields["lookup"]),
            took=fields["took_ms"],
            kind=SpanKind.CLIENT,
            attributes=_attributes(fields, "backend", "attempt", "outcome"),
            failed="" if fields["outcome"] == "OK" else fields["outcome"],
        )

    def _token(self, fields: dict[str, Any]) -> None:
        self._span(
            f"token {fields['backend']}",
            0,
            0,
            None,
            took=fields["took_ms"],
            kind=SpanKind.CLIENT,
            attributes={"deskgate.backend": fields["backend"]},
            failed=fields.get("reason", ""),
        )

    def _span(  # noqa: PLR0913 - what a span has
        self,
        name: str,
        trace_id: int,
        span_id: int,
        parent: int | None,
        *,
        took: float,
        attributes: Attributes,
        ended: int | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        failed: str = "",
    ) -> None:
        """Make a span that took so many ms, and has just ended unless ``ended`` says when.

        An id of 0 is drawn. ``failed`` says why it failed, if it did.
        """
        ended = time.time_ns() if ended is None else ended
        context = Context()
        if parent is not None:
            # The sampler decides by the trace id: gateway and worker keep or leave out the same traces.
            decision = self._provider.sampler.should_sample(None, trace_id, name).decision
            kept = decision is Decision.RECORD_AND_SAMPLE
            flags = TraceFlags(TraceFlags.SAMPLED if kept else TraceFlags.DEFAULT)
            above = SpanContext(trace_id, parent, is_remote=True, trace_flags=flags)
            context = set_span_in_context(NonRecordingSpan(above), context)
        self._ids.give(trace_id, span_id)
        span = self._tracer.start_span(
            name, context, kind, attributes=attributes, start_time=ended - int(took * 1e6)
        )
        if failed:
            span.set_status(Status(StatusCode.ERROR, failed))
        span.end(ended)


class _GivenIds(IdGenerator):
    """Gives the next span the ids that it is to have."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self._trace_id = self._span_id = 0

    def give(self, trace_id: int, span_id: int) -> None:
        self._trace_id, self._span_id = trace_id, span_id

    def generate_span_id(self) -> int:
        return self._span_id or self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        return self._trace_id or self._random.generate_trace_id()


def _attributes(fields: Mapping[str, Any], *names: str) -> Attributes:
    return {f"deskgate.{name}": fields[name] for name in names}


def _trace_id(fields: Mapping[str, Any]) -> int:
    """Return an event's trace id; that of another client's job may be any text."""
    try:
        return int(fields["trace_id"], 16) % 2**128
    except ValueError:
        return 0


def _of_callback(trace_id: int) -> int:
    return _named(f"{trace_id:032x}")


def _of_lookup(trace_id: int, lookup: str) -> int:
    return _named(f"{trace_id:032x}{lookup}")


def _named(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) or 1
