"""Events reach every instrument, whatever another instrument makes of them."""

import pytest

from gateway.telemetry import events
from gateway.telemetry.events import Event


def test_every_instrument_gets_each_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric counts the events that the log writes."""
    first: list[Event] = []
    second: list[Event] = []
    monkeypatch.setattr(events, "instruments", [first.append, second.append])
    events.lane_full(lane="crm", depth=10_000)
    assert first == second == [Event("lane.full", "warning", {"lane": "crm", "depth": 10_000})]


def test_broken_instrument_breaks_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The room that emits goes on: it may be the task that reconnects to Redis."""

    def fail(_: Event) -> None:
        msg = "a counter that is gone"
        raise KeyError(msg)

    heard: list[Event] = []
    monkeypatch.setattr(events, "instruments", [fail, heard.append])
    events.redis_restored()
    assert [event.name for event in heard] == ["redis.restored"]
    assert "a counter that is gone" in capsys.readouterr().err
