"""A gateway and a worker around a real Valkey and a real CRM: what a callback gets."""

import asyncio
from signal import SIGCONT, SIGSTOP

import pytest
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.crm.data import customer, order
from gateway.crm.server import Crm
from gateway.front.app import gateway
from gateway.tools.processes import Valkey
from tests.desk import DESK_PATIENCE, Desk, Place, when
from workers.main import workers

FAILING = "seed = 1\n[[rules]]\nshares = { error = 1 }\nstatus = 500\n"
HANGING = "seed = 1\n[[rules]]\nshares = { hang = 1 }\n"


def slow(latency: str) -> str:
    """Return a script by which every call takes ``latency``."""
    return f'seed = 1\n[[rules]]\nlatency = {{ fixed = "{latency}" }}\nshares = {{ ok = 1 }}\n'


async def test_first_answer_is_live_and_the_next_is_served_from_its_record(
    place: Place, crm: Crm, desk: Desk
) -> None:
    """A session asks the same question again and again; the CRM should hear it once."""
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        with capture_logs() as lines:
            first = await desk.at(running.callbacks).call(node="profile")
            second = await desk.at(running.callbacks).call(node="profile")
    assert first.envelope == second.envelope
    assert first.envelope == {
        "ActionStatus": "OK",
        "ErrorInfo": "",
        "ErrorCode": 0,
        "Body": {"testKey1": "value1", "testKey3": "10"},
    }
    answered = [line for line in lines if line["event"] == "callback.answered"]
    assert [line["lookups"]["profile"]["source"] for line in answered] == ["live", "fresh"]
    assert crm.stats.report()["total"] == 1


async def test_other_inputs_in_the_same_session_never_get_the_first_inputs_variables(
    place: Place, crm: Crm, desk: Desk
) -> None:
    """Telling a user the state of another order is worse than telling nothing."""
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        one = await desk.at(running.callbacks).call(node="order", orderId="1")
        two = await desk.at(running.callbacks).call(node="order", orderId="2")
        crm.put(FAILING)
        three = await desk.at(running.callbacks).call(node="order", orderId="3")
    assert (one.variables["order_id"], two.variables["order_id"]) == ("1", "2")
    assert (three.code, three.variables) == (Code.BACKEND_UNAVAILABLE, {"order_id": "unknown"})


async def test_other_sessions_users_and_apps_never_share_a_record(place: Place, crm: Crm, desk: Desk) -> None:
    """Variables belong to one session."""
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        assert (await here.call("s1", node="order", orderId="1")).code == 0
        crm.put(FAILING)
        assert (await here.call("s1", node="order", orderId="1")).code == 0
        other_session = await here.call("s2", node="order", orderId="1")
        other_app = await Desk(here.http, here.url, {**here.query, "SdkAppid": "1400000002"}).call(
            "s1", node="order", orderId="1"
        )
    assert other_session.variables == other_app.variables == {"order_id": "unknown"}


async def test_hanging_crm_is_answered_before_the_budget_with_the_last_known_variables(
    place: Place, crm: Crm, desk: Desk
) -> None:
    """Desk gives up after two seconds; the user must not hear silence."""
    catalog = place.catalog(fresh="0s", budget="1s")
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        first = await desk.at(running.callbacks).call(node="order", orderId="1")
        crm.put(HANGING)
        second = await desk.at(running.callbacks).call(node="order", orderId="1")
    assert second.code == Code.TIMEOUT
    assert second.variables == first.variables
    assert second.took < DESK_PATIENCE
    assert second.envelope["ErrorInfo"] == "order: TIMEOUT, last known 0 s ago"


async def test_late_answer_serves_the_next_callback(place: Place, crm: Crm, desk: Desk) -> None:
    """A CRM slower than the budget still helps, one callback later."""
    catalog = place.catalog(budget="300ms", attempt_timeout="3s")
    crm.put(slow("400ms"))
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        with capture_logs() as lines:
            early = await desk.at(running.callbacks).call(node="order", orderId="1")
            await when(lambda: any(line["event"] == "answer.late" for line in lines))
        second = await desk.at(running.callbacks).call(node="order", orderId="1")
    assert (early.code, early.variables) == (Code.TIMEOUT, {"order_id": "unknown"})
    assert (second.code, second.variables["order_id"]) == (0, "1")
    assert crm.stats.report()["total"] == 1


async def test_two_gateways_and_one_session_make_one_backend_call(place: Place, crm: Crm, desk: Desk) -> None:
    """Single-flight holds for the whole fleet."""
    catalog = place.catalog()
    crm.put(slow("100ms"))
    async with (
        workers(catalog, catalog.lanes, grace=1),
        gateway(catalog) as first,
        gateway(catalog) as second,
    ):
        heard = await asyncio.gather(
            *(desk.at(g.callbacks).call(node="order", orderId="1") for g in (first, second, first, second))
        )
    assert {(h.code, h.variables["order_id"]) for h in heard} == {(0, "1")}
    assert crm.stats.report()["total"] == 1


async def test_lookups_of_one_callback_are_awaited_together(place: Place, crm: Crm, desk: Desk) -> None:
    """The second lookup does not begin when the first is answered: the CRM has both in hand at one time."""
    catalog = place.catalog()
    crm.put(slow("300ms"))
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        heard = await desk.at(running.callbacks).call(node="both", orderId="7")
    seventh, whose = order(crm.seed, "7"), customer(crm.seed, "user517")
    assert seventh is not None
    assert whose is not None
    assert heard.code == 0
    assert heard.variables == {
        "customer_id": "user517",
        "customer_tier": whose.tier,
        "order_id": "7",
        "order_total": str(seventh.total.amount),
    }
    assert crm.stats.report()["max_in_flight"] == 2


async def test_one_failing_lookup_leaves_the_other_live(place: Place, crm: Crm, desk: Desk) -> None:
    """Half an answer is better than none, and the code says which half is missing."""
    catalog = place.catalog()
    crm.put('seed = 1\n[[rules]]\npath = "/orders/*"\nshares = { garbage = 1 }\n')
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        heard = await desk.at(running.callbacks).call(node="both", orderId="7")
    assert heard.code == Code.BAD_BACKEND_REPLY
    assert heard.envelope["ErrorInfo"] == "order: BAD_BACKEND_REPLY, fallback"
    assert (heard.variables["customer_id"], heard.variables["order_id"]) == ("user517", "unknown")


async def test_bad_reply_never_replaces_a_good_record(place: Place, crm: Crm, desk: Desk) -> None:
    """A backend's garbage is not an answer."""
    catalog = place.catalog(fresh="0s")
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        good = await desk.at(running.callbacks).call(node="order", orderId="1")
        for kind in ("garbage", "error", "reset"):
            crm.put(f"seed = 1\n[[rules]]\nshares = {{ {kind} = 1 }}\n")
            bad = await desk.at(running.callbacks).call(node="order", orderId="1")
            assert bad.code != 0
            assert bad.variables == good.variables


async def test_missing_input_asks_nobody(place: Place, crm: Crm, desk: Desk) -> None:
    """An order lookup without an order number has no question to ask."""
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        heard = await desk.at(running.callbacks).call(node="order", orderId="")
    assert (heard.code, heard.variables) == (Code.MISSING_INPUT, {"order_id": "unknown"})
    assert crm.stats.report()["total"] == 0


async def test_not_found_is_an_answer_where_the_lookup_says_so(place: Place, desk: Desk) -> None:
    """An order that does not exist is news for the user, not a failure."""
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        heard = await desk.at(running.callbacks).call(node="order", orderId="missing-1")
    assert (heard.code, heard.variables) == (0, {"order_id": "none", "order_total": ""})


async def test_transient_failures_are_retried_within_the_budget(place: Place, crm: Crm, desk: Desk) -> None:
    """One hiccup of the CRM is nobody's business."""
    catalog = place.catalog({"backends.crm.retry_budget": "100%", "backends.crm.breaker": "off"})
    crm.put("seed = 4\n[[rules]]\nshares = { error = 0.5, ok = 0.5 }\n")
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        with capture_logs() as lines:
            codes = [
                (await desk.at(running.callbacks).call(node="order", orderId=str(n))).code for n in range(8)
            ]
    retried = [line for line in lines if line["event"] == "lookup.retried"]
    finished = [line for line in lines if line["event"] == "lookup.finished"]
    assert retried
    assert sum(line["attempts"] for line in finished) == len(finished) + len(retried)
    assert codes.count(0) >= 5


async def test_one_trace_id_joins_the_gateways_line_and_the_workers(place: Place, desk: Desk) -> None:
    """At three in the morning one identifier must find both halves of a story."""
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        with capture_logs() as lines:
            await desk.at(running.callbacks).call(node="both", orderId="secret-order-77")
    answered = [line for line in lines if line["event"] == "callback.answered"]
    finished = [line for line in lines if line["event"] == "lookup.finished"]
    assert len(answered) == 1
    assert {line["trace_id"] for line in finished} == {answered[0]["trace_id"]}
    assert {line["lookup"] for line in finished} == set(answered[0]["lookups"]) == {"customer", "order"}
    assert "secret-order-77" not in repr(lines)


async def test_an_expression_that_fails_is_named_in_the_log(place: Place, crm: Crm, desk: Desk) -> None:
    """The others are the backend's live values. Whoever wonders why one is empty finds the name, no value."""
    variables = {
        "order_status": "status",
        "vip": "contains(tags, 'vip')",
        "names": "join(', ', [id, total.amount])",
        "absent": "no.such.field",
    }
    changes = {f"lookups.order.{name}": None for name in ("required", "not_found", "fallback")}
    catalog = place.catalog({**changes, "lookups.order.variables": variables})
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        with capture_logs() as lines:
            heard = await desk.at(running.callbacks).call(node="order", orderId="77")
    assert heard.code == 0
    found = order(crm.seed, "77")
    assert found is not None
    assert heard.variables == {"order_status": found.status, "vip": "", "names": "", "absent": ""}
    (finished,) = [line for line in lines if line["event"] == "lookup.finished"]
    assert finished["unmapped"] == ["vip", "names"]
    assert "77" not in repr(finished["unmapped"])


@pytest.mark.parametrize("kind", ["listen", "admin"])
async def test_taken_port_is_an_error_at_start(place: Place, kind: str) -> None:
    """Two gateways on one port would each get half of the callbacks."""
    catalog = place.catalog()
    async with gateway(catalog) as running:
        taken = running.callbacks if kind == "listen" else running.admin
        other = place.catalog({f"gateway.{kind}": f"127.0.0.1:{taken[1]}"})
        with pytest.raises(OSError, match="in use"):
            async with gateway(other):
                pass


async def test_variables_of_another_configuration_are_no_answer(place: Place, desk: Desk) -> None:
    """While a new mapping is rolled out, an old worker must not set variables that the flow does not know."""
    catalog = place.catalog()
    old = place.catalog(
        {
            "lookups.order.variables": {"order_number": "id", "order_total": "total.amount"},
            "lookups.order.required": None,
            "lookups.order.not_found": None,
            "lookups.order.fallback": None,
        }
    )
    async with workers(old, old.lanes, grace=1), gateway(catalog) as running:
        for _ in ("live", "from its record"):
            heard = await desk.at(running.callbacks).call(node="order", orderId="1")
            assert (heard.code, heard.variables) == (Code.LOOKUP_FAILED, {"order_id": "unknown"})


async def test_silent_redis_costs_no_callback_its_reply_whatever_its_timeout(
    valkey: Valkey, crm: Crm, desk: Desk
) -> None:
    """A timeout as long as Desk's patience, or longer, is what somebody with a slow network writes."""
    catalog = Place(valkey.url, "silent", crm.url).catalog(redis_timeout="30s")
    async with gateway(catalog) as running:
        await desk.at(running.callbacks).call(node="order", orderId="1")
        valkey.signal(SIGSTOP)
        try:
            heard = await desk.at(running.callbacks).call(node="order", orderId="2")
        finally:
            valkey.signal(SIGCONT)
    assert heard.code == Code.QUEUE_UNAVAILABLE
    assert heard.took < 15  # seconds; the budget is 4
