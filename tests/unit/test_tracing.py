"""Traces are sent if the environment says where, and if the packages are there."""

import logging
import sys
from unittest.mock import Mock

import pytest
from structlog.testing import capture_logs

from gateway.lookups.reported import AttemptReporter
from gateway.process.tracing import send_traces
from gateway.telemetry import events


@pytest.fixture(autouse=True)
def _instruments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the instruments as they were."""
    monkeypatch.setattr(events, "instruments", [*events.instruments])


def test_missing_packages_are_told_and_hurt_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform may set the variable for everything that it runs."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "gateway.telemetry.traces", None)
    before = len(events.instruments)
    with capture_logs() as lines:
        send_traces("worker")
    (line,) = lines
    assert (line["event"], "deskgate[otel]" in line["reason"]) == ("traces.unavailable", True)
    assert len(events.instruments) == before


UNREAD = "opentelemetry.util.re"
UNREACHED = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


@pytest.mark.parametrize(
    ("logger", "about", "kept"),
    [
        (UNREAD, "Authorization: Bearer a-long-key", "Authorization: •••"),
        (UNREAD, "another-long-key", "•••"),
        (UNREACHED, "url: /?api_key=a-third-key/v1/traces", "url: /?•••/v1/traces"),
    ],
)
def test_secrets_of_the_collector_are_not_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, logger: str, about: str, kept: str
) -> None:
    """OpenTelemetry shows a header that it cannot read, and the address that does not answer."""
    headers = "Authorization: Bearer a-long-key,another-long-key,\udcff"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1/?api_key=a-third-key")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://[::1/")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
    monkeypatch.setattr("gateway.telemetry.traces.Traces", Mock())
    monkeypatch.setattr("atexit.register", Mock())
    monkeypatch.setattr(logging.getLogger(logger), "filters", [])
    send_traces("worker")
    logging.getLogger(logger).warning("invalid: %s", about)
    assert caplog.messages == [f"invalid: {kept}"]


DISABLED = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}


@pytest.mark.parametrize("environ", [{}, DISABLED])
def test_nobody_asks_for_traces(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Then there are none, and their packages are not loaded."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    before = len(events.instruments)
    send_traces("worker")
    assert len(events.instruments) == before


@pytest.mark.parametrize("trace_id", ["", "t1", "0" * 32, "A" * 32, "a" * 33, "a\r\nX: y", "é" * 16])
def test_job_with_another_kind_of_id_makes_no_header(trace_id: str) -> None:
    """It comes from Redis, where other clients write, too."""
    assert AttemptReporter("order", "crm", trace_id).begin() == ""


def test_attempts_are_named_apart_and_as_they_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the backend was told is the span's name. An older gateway's id is half as long."""
    told: list[events.Event] = []
    monkeypatch.setattr(events, "instruments", [told.append])
    reporter = AttemptReporter("order", "crm", "a" * 16)
    headers = [reporter.begin(), reporter.begin()]
    for number in (2, 1):
        reporter.ended(number, "OK", 0.1)
    spans = [event.fields["span_id"] for event in told]
    assert headers == [f"00-{'0' * 16}{'a' * 16}-{span}-01" for span in reversed(spans)]
    assert len(set(spans)) == 2
