"""Public: a kit to test lookups, mappings and routes of your own, without network, Redis and workers.

::

    from gateway.testing import Desk, ScriptedBackend

    def test_an_order_that_is_not_there():
        crm = ScriptedBackend(status=404, json={})
        reply = Desk("deskgate.toml", crm=crm).call(orderId="7")
        assert reply.variables == {"status": "unknown"}

Everything from the callback to its reply is the real code: routes, conditions, waves, inputs, requests,
answer rules, expressions, records, the ladder. A scripted backend stands in for HTTP and databases alone.
Each question is one attempt: retries, breakers and rates are not part of it.
"""

from gateway.testing.backend import Reply, Request, ScriptedBackend
from gateway.testing.clock import Clock
from gateway.testing.desk import Desk, DeskReply, LookupReply

__all__ = ["Clock", "Desk", "DeskReply", "LookupReply", "Reply", "Request", "ScriptedBackend"]
