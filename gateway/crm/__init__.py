"""The flaky CRM: a real HTTP server with invented customers. By a script, it misbehaves, always the same way.

Tests, demo and benchmarks put it behind deskgate. No other room of deskgate needs it.
"""

from gateway.crm.script import ScriptError
from gateway.crm.server import Crm, run

__all__ = ["Crm", "ScriptError", "run"]
