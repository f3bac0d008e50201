"""Telemetry for operators. Each instrument in this list gets each event."""

from gateway.telemetry import events, logs
from gateway.telemetry.tally import tally

events.instruments += [logs.write, tally]
