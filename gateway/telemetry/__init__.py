"""Telemetry for operators. Each instrument in this list gets each event."""

from gateway.telemetry import events, logs

events.instruments += [logs.write]
