"""The kit for users' own tests: real code from the callback to its reply, and a clock that is moved."""

import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.core.errors import Code
from gateway.testing import Clock, Desk, Reply, Request, ScriptedBackend
from gateway.testing.desk import NotScripted
from tests.desk import ROOT
from tests.documents import blocks

DOCUMENT = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
CONFIG = """
[apps.1]
token = "${DESK_TOKEN}"
[[routes]]
when = { node = "profile" }
lookups = ["customer", "orders"]
[[routes]]
when = { node = "order" }
lookups = ["order"]
[backends.crm]
url = "${CRM_URL}"
[backends.db]
url = "${DSN}"
[lookups.customer]
backend = "crm"
request = { path = "/customers", query = { phone = "{phone}" } }
variables = { customer_id = "[0].id" }
internal = ["customer_id"]
[lookups.orders]
backend = "db"
sql = "select count(*) as n from orders where customer = :customer_id"
variables = { orders = "n" }
[lookups.order]
backend = "crm"
request = { path = "/orders/{orderId}", method = "POST", json = { fast = "{fast?:bool}" } }
variables = { status = "status" }
not_found = { status = "none" }
fresh = "1m"
stale_while_revalidate = "1m"
stale_if_error = "1h"
share = "user"
fallback = { status = "unknown" }
"""
ENVIRON = {"DSN": "postgresql://u:p@h/d"}


def desk(**given: object) -> Desk:
    """Return a Desk of the configuration above."""
    return Desk(CONFIG, environ=ENVIRON, **given)  # type: ignore[arg-type]


@pytest.mark.timeout(120)
def test_documented_tests_pass_as_they_stand(tmp_path: Path) -> None:
    """By the plugin, in a suite of their own."""
    (tmp_path / "test_mine.py").write_text(blocks(DOCUMENT, "python")[0], encoding="utf-8")
    (tmp_path / "deskgate.toml").write_text(blocks(DOCUMENT, "toml")[0], encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "4 passed" in done.stdout, done.stdout


def test_waves_conditions_and_internal_variables_are_the_real_ones() -> None:
    """What one lookup sets is the next one's input."""
    crm, db = ScriptedBackend(json=[{"id": 42}]), ScriptedBackend(rows=[{"n": 3}])
    reply = desk(crm=crm, db=db).call(node="profile", phone="+1 555")
    assert reply.variables == {"orders": "3"}
    assert crm.requests[0].query == {"phone": "+1 555"}
    assert db.requests[0].inputs == {"customer_id": "42"}
    assert reply.route == "routes[0]"


def test_records_age_by_the_clock_alone() -> None:
    """Fresh, renewed behind the reply, stale, shared with the user, gone."""
    clock, crm = Clock(), ScriptedBackend(json={"status": "a"})
    here = desk(crm=crm, clock=clock)

    def source(session: str = "s1", user: str = "u1") -> tuple[str, str]:
        reply = here.call(session, user, node="order", orderId="7")
        return reply.lookups["order"].source, reply.variables["status"]

    assert source() == ("live", "a")
    clock.advance(59)
    assert source() == ("fresh", "a")
    clock.advance("2s")
    crm.then(json={"status": "b"})
    assert source() == ("revalidating", "a")
    assert source() == ("fresh", "b")
    crm.then(status=503)
    clock.advance("10m")
    assert source() == ("stale", "b")
    assert source("s2") == ("user", "b")
    assert source("s3", "u2") == ("fallback", "unknown")
    clock.advance("1h")
    assert source() == ("fallback", "unknown")


@pytest.mark.parametrize(
    ("reply", "code", "status"),
    [
        (Reply(status=404, json={"error": "none"}), Code.OK, "none"),
        (Reply(body="<html>"), Code.BAD_BACKEND_REPLY, "unknown"),
        (Reply(fault="timeout"), Code.TIMEOUT, "unknown"),
        (Reply(fault="refused"), Code.BACKEND_UNAVAILABLE, "unknown"),
        (Reply(status=429, headers={"Retry-After": "5"}), Code.BACKEND_THROTTLED, "unknown"),
    ],
)
def test_replies_mean_what_they_mean_to_a_worker(reply: Reply, code: Code, status: str) -> None:
    """The rules are the real ones."""
    heard = desk(crm=ScriptedBackend(reply)).call(node="order", orderId="7")
    assert (heard.code, heard.variables["status"]) == (code, status)
    assert bool(heard.lookups["order"].reason) == bool(code)


def test_a_function_answers_by_the_request() -> None:
    """For a backend with more than one thing in it."""

    def answer(request: Request) -> Reply:
        assert request.method == "POST"
        return Reply(json={"status": f"{request.path} {request.json()}"})

    here = desk(crm=ScriptedBackend(by=answer))
    reply = here.call(node="order", orderId="7", fast="true")
    assert reply.variables == {"status": "/orders/7 {'fast': True}"}
    assert here.call(node="order").code == Code.MISSING_INPUT


async def test_a_python_lookup_runs_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And may find nothing."""
    (tmp_path / "kit_lookup.py").write_text(
        "from gateway.lookup import Ask, NotFound\n"
        "def risk(ask: Ask):\n"
        "    if ask.inputs['uid'] == 'x': raise NotFound\n"
        "    return {'level': len(ask.inputs['uid'])}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = (
        '[apps.1]\nsignature = "off"\n[[routes]]\nlookups = ["risk"]\n'
        '[lookups.risk]\npython = "kit_lookup:risk"\ninputs = ["uid"]\nvariables = { risk = "level" }\n'
        'not_found = { risk = "?" }\n'
    )
    here = Desk(config)
    assert (await here.answer(uid="abc")).variables == {"risk": "3"}
    assert (await here.answer(uid="x")).variables == {"risk": "?"}


def test_python_lookup_that_takes_its_time_renews_its_record_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call is a loop of its own, which must not end before."""
    (tmp_path / "kit_renewed.py").write_text(
        "from itertools import count\nnumbers = count(1)\ndef number(ask): return {'n': next(numbers)}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = (
        '[apps.1]\nsignature = "off"\n[[routes]]\nlookups = ["number"]\n'
        '[lookups.number]\npython = "kit_renewed:number"\ninputs = ["uid"]\nvariables = { n = "n" }\n'
        'fresh = "1m"\nstale_while_revalidate = "1h"\n'
    )
    here = Desk(config)
    given = [here.call(uid="a").variables["n"]]
    here.clock.advance("2m")
    given += [here.call(uid="a").variables["n"] for _ in range(2)]
    assert given == ["1", "1", "2"]


def test_refresh_that_fails_is_told_of_no_reply() -> None:
    """The record has answered, and answers on; but a backend that is not given is a slip."""
    crm = ScriptedBackend(Reply(json={"status": "a"}), Reply(status=503))
    here = desk(crm=crm)
    here.call(node="order", orderId="7")
    here.clock.advance("61s")
    for _ in range(2):
        order = here.call(node="order", orderId="7").lookups["order"]
        assert (order.source, order.reason) == ("revalidating", "")
    assert len(crm.requests) == 3


def test_values_of_a_database_are_those_that_a_worker_reads() -> None:
    """A driver gives decimals, dates and bytes."""
    config = (
        '[apps.1]\nsignature = "off"\n[[routes]]\nlookups = ["tier"]\n[backends.db]\nurl = "sqlite:///x"\n'
        '[lookups.tier]\nbackend = "db"\nsql = "select * from tiers where uid = :uid"\n'
        "variables = { since = \"date(since, '%Y')\", at = 'at', key = 'key', "
        "total = 'sum([total, total])' }\n"
    )
    row = {
        "since": date(2020, 1, 2),
        "at": datetime(2020, 1, 2, tzinfo=UTC),
        "total": Decimal("29.90"),
        "key": b"k",
    }
    assert Desk(config, db=ScriptedBackend(rows=[row])).call(uid="a").variables == {
        "since": "2020",
        "at": "2020-01-02T00:00:00+00:00",
        "total": "59.80",
        "key": "6b",
    }


_ORDERS = """
from gateway.lookup import Ask, BackendRejected, NotFound
async def orders(ask: Ask):
    crm = ask.backend("crm")
    found = await crm.get("/customers", query={"phone": ask.inputs["phone"]})
    if found.status == 404:
        raise NotFound
    customer = found.json()["id"]
    listed = await crm.post("/customers/{id}/orders", places={"id": customer}, json={"open": True})
    return {"open": len(listed.json())}
"""


def test_a_backend_that_a_python_lookup_asks_is_scripted_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the backend's rules, as in a worker."""
    (tmp_path / "kit_orders.py").write_text(_ORDERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = (
        '[apps.1]\nsignature = "off"\n[[routes]]\nlookups = ["orders"]\n'
        '[backends.crm]\nurl = "${CRM_URL}"\n'
        'answers = [{ when = "error", is = "unauthorized" }]\n'
        '[lookups.orders]\npython = "kit_orders:orders"\ninputs = ["phone"]\n'
        'variables = { orders = "open" }\n'
        'not_found = { orders = "none" }\nfresh = "0s"\n'
    )
    crm = ScriptedBackend(Reply(json={"id": "a 7"}), Reply(json=[1, 2]))
    assert Desk(config, crm=crm).call(phone="+1").variables == {"orders": "2"}
    assert [(one.lookup, one.method, one.path) for one in crm.requests] == [
        ("orders", "GET", "/customers"),
        ("orders", "POST", "/customers/a%207/orders"),
    ]
    assert (crm.requests[0].query, crm.requests[1].json()) == ({"phone": "+1"}, {"open": True})
    assert Desk(config, crm=ScriptedBackend(status=404)).call(phone="2").variables == {"orders": "none"}
    refused = Desk(config, crm=ScriptedBackend(json={"error": "expired"})).call(phone="3")
    assert (refused.code, refused.lookups["orders"].reason) == (
        Code.BACKEND_DENIED,
        "backends.crm.answers[0]: unauthorized (200)",
    )
    broken = Desk(config, crm=ScriptedBackend(fault="timeout")).call(phone="4")
    assert broken.code == Code.TIMEOUT
    with pytest.raises(NotScripted, match=r"orders asks the backend crm: give Desk one, by crm=Scripted"):
        Desk(config).call(phone="5")


def test_a_backend_that_is_not_given_or_not_there_is_named() -> None:
    """A slip in a test is said as one."""
    with pytest.raises(NotScripted, match="crm=ScriptedBackend"):
        desk().call(node="order", orderId="7")
    with pytest.raises(NotScripted, match="no backend cmr"):
        desk(cmr=ScriptedBackend())
    with pytest.raises(ValueError, match="or a function"):
        ScriptedBackend(Reply(), status=200)
