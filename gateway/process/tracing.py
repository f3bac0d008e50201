"""Traces of a process, if the standard variables of OpenTelemetry say where to send them."""

import atexit

from gateway.declared.environment import environment
from gateway.process.release import RELEASE
from gateway.telemetry import events

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Variables of which one makes traces."""


def send_traces(process: str) -> None:
    """Send spans from now on, until the process ends, if a variable says where. ``process`` is its kind."""
    off = (environment("OTEL_SDK_DISABLED") or "").lower() == "true"
    if off or not any(environment(name) for name in ENDPOINTS):
        return
    try:
        from gateway.telemetry.traces import Traces  # noqa: PLC0415 - an extra
    except ImportError as error:
        events.traces_unavailable(reason=f"{error.name} cannot be imported: install deskgate[otel]")
        return
    resource = {"service.version": RELEASE}
    if environment("OTEL_SERVICE_NAME") is None:
        resource["service.name"] = f"deskgate-{process}"
    traces = Traces(resource)
    events.instruments.append(traces)
    atexit.register(traces.close)
