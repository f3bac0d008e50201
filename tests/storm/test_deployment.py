"""The parts of a storm are sound before forty minutes are spent on it."""

import pytest

from gateway.core.messages import Callback
from gateway.crm.reading import read_script
from gateway.crm.script import decide
from gateway.declared.catalog import Catalog, compile_catalog, read
from gateway.front.dialects.desk import DESK
from tests.storm.contestants import CONFIG
from tests.storm.generator import APP, TOKEN, request, warm_up
from tests.storm.judging import PATIENCE, STALE_IF_ERROR, expected
from tests.storm.pace import PACES, WHOLE
from tests.storm.scenarios import SCENARIOS, Scenario
from tests.storm.workload import LOOKUPS, NODES, SEED


@pytest.fixture
def catalog() -> Catalog:
    """The configuration of deskgate in a storm."""
    environ = {"PORT": "0", "REDIS_URL": "redis://localhost", "CRM_URL": "http://crm", "DESK_TOKEN": TOKEN}
    text = CONFIG.read_text(encoding="utf-8")
    return compile_catalog(*read(text, {**environ, "ORDER_FRESH": f"{WHOLE.order_fresh:g}s"}))


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_scenario_can_be_played(scenario: Scenario, pace: str) -> None:
    """The CRM takes its script, and what is killed is killed while callbacks come."""
    chosen = PACES[pace]
    script = read_script(scenario.script(chosen))
    assert script.seed == SEED
    assert decide(script, "/orders/1", chosen.length, 1) == decide(script, "/orders/1", 0.0, 1)
    assert all(0 < at <= chosen.length for at, _ in scenario.deeds(chosen))


def test_configuration_keeps_records_as_long_as_the_judge_allows(catalog: Catalog) -> None:
    """Figures by other limits than those that were configured would mean nothing."""
    assert {name: lookup.fresh for name, lookup in catalog.lookups.items()} == WHOLE.fresh
    assert {lookup.stale_if_error for lookup in catalog.lookups.values()} == {STALE_IF_ERROR}
    assert catalog.settings.gateway.budget < PATIENCE
    assert not any(lookup.fallback for lookup in catalog.lookups.values())


def test_configuration_gives_the_variables_that_the_judge_wants(catalog: Catalog) -> None:
    """A variable by another name would count as foreign, or never as right."""
    for name, lookup in catalog.lookups.items():
        assert lookup.variables.keys() == {*expected(SEED, name, "1"), f"{name}_as_of"}
    assert {tuple(lookup.name for lookup in route.lookups) for route in catalog.routes} == set(NODES)


def test_generator_speaks_as_desk_does(catalog: Catalog) -> None:
    """A callback that the gateway refuses is no load."""
    callback = warm_up()[0]
    head, _, body = request(callback).partition(b"\r\n\r\n")
    target = head.split(b" ")[1].decode()
    verified = DESK.verify(target.partition("?")[2], catalog.apps, now_of(target))
    found = verified.decode(body, "/desk")
    assert isinstance(found, Callback)
    assert (found.app, found.user) == (APP, callback.user)
    assert [lookup.name for lookup in catalog.route(found).lookups] == list(LOOKUPS)
    assert all(found.variables[name] == asked for name, asked in callback.asks.items())


def now_of(target: str) -> float:
    """Return the time at which a callback was signed."""
    return float(target.partition("RequestTime=")[2].partition("&")[0])
