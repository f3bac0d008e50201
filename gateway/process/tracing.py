"""Traces of a process, if the standard variables of OpenTelemetry say where to send them."""

import atexit
import logging
from collections.abc import Iterator

from gateway.declared.environment import environment
from gateway.declared.mask import Mask
from gateway.declared.values import split_url
from gateway.process.release import RELEASE
from gateway.telemetry import events

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Variables of which one makes traces."""

_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_TELL_OF_SETTINGS = ("opentelemetry.util.re", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
"""Loggers that show a header which they cannot read, and the address that does not answer."""


class _Masking(logging.Filter):
    """Hides the secrets of these variables in what a logger says."""

    def __init__(self, mask: Mask) -> None:
        """Take what hides them."""
        super().__init__()
        self._mask = mask

    def filter(self, record: logging.LogRecord) -> bool:
        """Let each record pass, without the secrets."""
        record.msg, record.args = self._mask.text(record.getMessage()), None
        return True


def _secrets() -> Iterator[str]:
    """Yield the values of the headers, and the query of the address: either may have a key."""
    for name in _HEADERS:
        for header in (environment(name) or "").split(","):
            key, _, value = header.partition("=" if "=" in header else ":")
            yield from (value.strip() or key.strip(), value.strip().rpartition(" ")[2])
    for name in ENDPOINTS:
        if (address := split_url(environment(name) or "")) is not None:
            yield from (address.query, address.password or "")


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
    for logger in _TELL_OF_SETTINGS:
        logging.getLogger(logger).addFilter(_Masking(Mask(one for one in _secrets() if one.isprintable())))
    resource = {"service.version": RELEASE}
    if environment("OTEL_SERVICE_NAME") is None:
        resource["service.name"] = f"deskgate-{process}"
    traces = Traces(resource)
    events.instruments.append(traces)
    atexit.register(traces.close)
