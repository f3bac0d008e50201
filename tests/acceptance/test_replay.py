"""`deskgate replay` puts recorded callbacks to another configuration, and says what differs."""

import json
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.crm.server import Crm
from gateway.declared.catalog import compile_catalog, read
from gateway.front.app import gateway
from tests.asking import only
from tests.desk import APP, ROOT, Desk, Place
from tests.documents import blocks
from tests.processes import Process
from workers.main import workers

pytestmark = pytest.mark.timeout(120)
CHANGES: dict[str, object] = {"history.level": "values", f"apps.{APP}.mask": ["phone"]}
DOCUMENT = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")


async def live(place: Place, crm: Crm, desk: Desk, config: str) -> None:
    """Six callbacks: live, fresh, of two lookups, not found, failed with and without a last known answer."""
    catalog = compile_catalog(*read(config, place.environ))
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        at = desk.at(running.callbacks)
        await at.call(node="order", orderId="7")
        await at.call(node="order", orderId="7")
        await at.call(node="both", orderId="8")
        crm.put(only("error", "status = 404"))
        await at.call(node="order", orderId="9")
        crm.put(only("error", "status = 503"))
        await at.call("s2", node="order", orderId="10")
        await at.call("s2", node="profile")


async def replay(place: Place, config: str, tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """Run the command on a configuration; return its exit code and what it printed."""
    file = tmp_path / "other.toml"
    file.write_text(config)
    command = ("-m", "gateway", "replay", "--config", str(file), *arguments)
    async with Process(*command, environ=place.environ) as process:
        code = await process._process.wait()
        await process._reader
    return code, "\n".join(line["text"] if "text" in line else json.dumps(line) for line in process.lines)


async def differences(place: Place, changes: dict[str, object], tmp_path: Path) -> tuple[int, dict[str, Any]]:
    """Replay the last hour by a changed configuration; return the exit code, and what was printed."""
    config = place.config(CHANGES | changes)
    code, printed = await replay(place, config, tmp_path, "--since", "1h", "--json")
    found: dict[str, Any] = json.loads(printed)
    return code, found


async def test_the_same_configuration_changes_nothing(
    place: Place, crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """Whatever the callbacks met: exit 0, and nobody is asked."""
    config = place.config(CHANGES)
    await live(place, crm, desk, config)
    calls = crm.stats.calls
    code, found = await differences(place, {}, tmp_path)
    assert found == {"callbacks": 6, "left_out": {}, "differences": []}
    assert code == 0
    assert crm.stats.calls == calls


async def test_a_changed_mapping_is_seen_in_each_callback(
    place: Place, crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """Grouped, with exit code 3 for CI; a fallback is that of the new configuration."""
    await live(place, crm, desk, place.config(CHANGES))
    changes: dict[str, object] = {
        "lookups.order.variables": {"order_id": "id", "order_total": "total.currency", "more": "eta_days"},
        "lookups.order.fallback": {"order_id": "none known"},
    }
    code, found = await differences(place, changes, tmp_path)
    assert code == 3
    kinds = {(one["what"], one["before"], one["after"]): len(one["traces"]) for one in found["differences"]}
    assert kinds[("order_id", "'unknown'", "'none known'")] == 1
    assert sum(count for (what, _, _), count in kinds.items() if what == "order_total") == 3
    assert (
        sum(count for (what, before, _), count in kinds.items() if (what, before) == ("more", "absent")) == 4
    )


async def test_a_changed_rule_or_route_is_seen(place: Place, crm: Crm, desk: Desk, tmp_path: Path) -> None:
    """In codes, and in the name of the route."""
    await live(place, crm, desk, place.config(CHANGES))
    rule = [{"status": 200, "when": {"id": "7"}, "is": "rejected"}]
    code, found = await differences(place, {"lookups.order.answers": rule}, tmp_path)
    what = {(one["what"], one["before"], one["after"]) for one in found["differences"]}
    assert code == 3
    assert ("code", "OK", "BACKEND_REJECTED") in what
    _, found = await differences(place, {"routes": [{"lookups": ["order"]}]}, tmp_path)
    before = {one["before"] for one in found["differences"] if one["what"] == "route"}
    assert before == {"routes[1]", "routes[2]"}
    assert "MISSING_INPUT" in {one["after"] for one in found["differences"]}
    _, found = await differences(place, {"routes": [{"lookups": ["profile"]}]}, tmp_path)
    assert found["left_out"] == {"profile was not asked for then: try --live": 5}


async def test_an_input_that_fits_no_more_is_seen(place: Place, crm: Crm, desk: Desk, tmp_path: Path) -> None:
    """And what was never asked has no reply that could be judged."""
    narrow: dict[str, object] = {"lookups.order.accept": {"orderId": {"match": "[0-9]"}}}
    await live(place, crm, desk, place.config(CHANGES))
    code, found = await differences(place, narrow, tmp_path)
    (one,) = found["differences"]
    assert (code, found["callbacks"], found["left_out"]) == (3, 6, {})
    assert (one["what"], one["before"], one["after"]) == ("code", "BACKEND_UNAVAILABLE", "INVALID_INPUT")


async def test_what_was_refused_then_and_would_be_asked_now_is_left_out(
    place: Place, crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """There is no reply of it that could be judged."""
    narrow: dict[str, object] = {"lookups.order.accept": {"orderId": {"match": "[0-9]"}}}
    await live(place, crm, desk, place.config(CHANGES | narrow))
    assert (await differences(place, narrow, tmp_path))[1] == {
        "callbacks": 6,
        "left_out": {},
        "differences": [],
    }
    _, found = await differences(place, {}, tmp_path)
    assert (found["callbacks"], found["differences"]) == (5, [])
    assert list(found["left_out"]) == ["order was not asked for then: try --live"]


async def test_live_asks_the_backends_again(place: Place, crm: Crm, desk: Desk, tmp_path: Path) -> None:
    """And records nothing."""
    config = place.config(CHANGES)
    await live(place, crm, desk, config)
    crm.put("")
    async with Redis.from_url(place.redis_url) as redis:
        before = {key: await redis.dump(key) async for key in redis.scan_iter(f"{place.prefix}:*")}
        code, printed = await replay(place, config, tmp_path, "--session", "s2", "--live", "--json")
        after = {key: await redis.dump(key) async for key in redis.scan_iter(f"{place.prefix}:*")}
    found = json.loads(printed)
    assert code == 3
    assert ("code", "BACKEND_UNAVAILABLE", "OK") in {
        (one["what"], one["before"], one["after"]) for one in found["differences"]
    }
    assert {key: value for key, value in before.items() if key in after} == after


async def test_callbacks_without_values_are_left_out(
    place: Place, crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """With the reason."""
    config = place.config({"history.level": "base"})
    await live(place, crm, desk, config)
    code, printed = await replay(place, config, tmp_path, "--session", "s1")
    assert code == 1
    assert 'left out 4: its values were not kept: history.level must have been "values"' in printed
    assert "no callback could be replayed" in printed


@pytest.mark.parametrize("wrong", [(), ("--session", "s", "--since", "1h"), ("--since", "soon")])
async def test_a_wrong_command_says_what_to_write(
    place: Place, tmp_path: Path, wrong: tuple[str, ...]
) -> None:
    """Exit code 2."""
    code, _ = await replay(place, place.config(), tmp_path, *wrong)
    assert code == 2


async def test_people_get_a_table(place: Place, crm: Crm, desk: Desk, tmp_path: Path) -> None:
    """As the page shows it."""
    await live(place, crm, desk, place.config(CHANGES))
    config = place.config(CHANGES | {"lookups.order.fallback": {"order_id": "none known"}})
    code, printed = await replay(place, config, tmp_path, "--session", "s2")
    shown = blocks(DOCUMENT, "console")[1].splitlines()[1:]
    told = [line.split()[:5] for line in printed.splitlines() if line.strip()]
    assert told == [line.split()[:5] for line in shown if line.strip()]
    assert code == 3


async def test_a_backend_is_not_asked_for_what_was_hidden(
    place: Place, crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """Nobody knows the number any more; an order of the name ••• is no answer."""
    hiding = CHANGES | {f"apps.{APP}.mask": ["orderId"]}
    hiding["lookups.order.accept"] = {"orderId": {"match": "[0-9]+"}}  # which ••• does not fit
    catalog = place.catalog(hiding)
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        await desk.at(running.callbacks).call(node="order", orderId="4711")
        await desk.at(running.callbacks).call(node="profile")
    calls = crm.stats.calls
    code, printed = await replay(place, place.config(hiding), tmp_path, "--session", "s1", "--live", "--json")
    found = json.loads(printed)
    assert (code, found["callbacks"]) == (0, 1)
    assert list(found["left_out"].values()) == [1]
    assert crm.stats.calls["/profile/user517"] == 2
    assert {path: n for path, n in crm.stats.calls.items() if "order" in path} == {
        path: n for path, n in calls.items() if "order" in path
    }
