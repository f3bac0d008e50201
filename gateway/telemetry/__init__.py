"""How the processes speak to those who run them. Each event is told to every instrument listed here."""

from gateway.telemetry import events, logs

events.instruments += [logs.write]
