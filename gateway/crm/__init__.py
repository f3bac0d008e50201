"""The flaky CRM: a real HTTP server with made-up customers that misbehaves by a script, repeatably.

A room of its own: tests, demo and benchmarks put it behind deskgate, and deskgate imports nothing from it.
"""

from gateway.crm.script import ScriptError
from gateway.crm.server import Crm, run

__all__ = ["Crm", "ScriptError", "run"]
