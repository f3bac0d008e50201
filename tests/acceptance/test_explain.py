"""`deskgate explain` tells from Redis alone why a session heard what it heard."""

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

from gateway.crm.server import Crm
from gateway.declared.catalog import compile_catalog, read
from gateway.declared.environment import child_environment
from gateway.front.app import gateway
from tests.asking import only
from tests.desk import APP, ROOT, Desk, Place
from tests.documents import blocks
from workers.main import workers

pytestmark = pytest.mark.timeout(120)
DOCUMENT = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")


def configured(place: Place, level: str = "values") -> str:
    """Return the configuration of the documented session."""
    changes = {
        "history.level": level,
        f"apps.{APP}.mask": ["phone"],
        "routes": [{"lookups": ["customer", "order"]}],
        "backends.crm.attempts": 2,
        "lookups.customer.request.path": "/customers/{customerId}",
        "lookups.customer.variables": {"customer_tier": "tier"},
        "lookups.customer.required": [],
        "lookups.customer.fallback": {},
        "lookups.order.variables": {"status": "status"},
        "lookups.order.required": [],
        "lookups.order.not_found": {},
        "lookups.order.fallback": {},
        "lookups.order.fresh": "0s",
        "lookups.profile": None,
    }
    return place.config(changes)


async def explain(
    place: Place, config: str, tmp_path: Path, *arguments: str, command: tuple[str, ...] = ("explain",)
) -> tuple[int, list[str]]:
    """Run the command; return its exit code and its lines."""
    file = tmp_path / "deskgate.toml"
    file.write_text(config)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *command, "--config", str(file), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=child_environment(place.environ),
        cwd=ROOT,
    )
    printed, _ = await child.communicate()
    return child.returncode or 0, printed.decode().splitlines()


async def live(place: Place, crm: Crm, desk: Desk, config: str) -> None:
    """Two callbacks of a session: one is answered, and one meets a CRM that fails."""
    catalog = compile_catalog(*read(config, place.environ))
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        at = desk.at(running.callbacks)
        await at.call("s1", "u1", customerId="3", orderId="7")
        crm.put(only("error", "status = 503"))
        await at.call("s1", "u1", customerId="3", orderId="7")


def normal(line: str) -> str:
    """Return a line without what differs from one run to the next."""
    line = re.sub(r"trace [0-9a-f]{32}", "trace T", line)
    line = re.sub(r"[░█·]{2,}", "█", line)
    line = re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", "NOW", line)
    return re.sub(r"\d+(?= (of|ms|s old|bytes))", "N", line).rstrip()


async def test_documented_session_is_what_the_command_prints(
    place: Place, crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """The page shows it."""
    config = configured(place)
    await live(place, crm, desk, config)
    code, printed = await explain(place, config, tmp_path, "--session", "s1")
    shown = blocks(DOCUMENT, "console")[0].partition("\n")[2].splitlines()
    assert [normal(line) for line in printed if line] == [normal(line) for line in shown if line]
    assert code == 0


async def test_without_values_names_are_told(place: Place, crm: Crm, desk: Desk, tmp_path: Path) -> None:
    """The default level."""
    config = configured(place, "base")
    await live(place, crm, desk, config)
    _, printed = await explain(place, config, tmp_path, "--session", "s1")
    told = "\n".join(printed)
    assert "customer_tier = •••" in told
    assert "bronze" not in told
    assert "2  BACKEND_UNAVAILABLE" in told


async def test_json_has_an_object_a_callback(place: Place, crm: Crm, desk: Desk, tmp_path: Path) -> None:
    """For programs."""
    config = configured(place)
    await live(place, crm, desk, config)
    arguments = ("--session", "s1", "--app", str(APP), "--json", "--last", "1")
    _, printed = await explain(place, config, tmp_path, *arguments)
    (told,) = map(json.loads, printed)
    assert told["code_name"] == "BACKEND_UNAVAILABLE"
    assert told["lookups"]["order"]["rungs"][1] == "the session's record: 0 s old, given"
    assert [one["status"] for one in told["lookups"]["order"]["asked"]["attempts"]] == [503, 503]


@pytest.mark.parametrize(
    ("level", "said"),
    [("off", 'history.level is "off"'), ("base", "nothing is kept of the session 'nobody'")],
)
async def test_a_session_of_which_nothing_is_kept_exits_1(
    place: Place, tmp_path: Path, level: str, said: str
) -> None:
    """And says why that may be."""
    code, printed = await explain(place, configured(place, level), tmp_path, "--session", "nobody")
    assert code == 1
    assert said in "\n".join(printed)


async def test_without_redis_the_command_says_so(place: Place, tmp_path: Path) -> None:
    """In one line."""
    nowhere = Place("redis://127.0.0.1:1", "x", place.crm_url)
    code, printed = await explain(nowhere, configured(place), tmp_path, "--session", "s1")
    assert code == 1
    assert "Redis cannot be reached" in printed[-1]


async def test_a_lookup_is_tried_on_what_the_session_was_told(
    place: Place, crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """By another mapping; nobody is asked."""
    config = configured(place)
    await live(place, crm, desk, config)
    calls = crm.stats.calls
    changed = config.replace('status = "status"', 'status = "staus"')
    assert changed != config
    code, printed = await explain(place, changed, tmp_path, "--session", "s1", command=("try", "customer"))
    assert (code, crm.stats.calls) == (0, calls)
    assert "customer_tier   tier         'bronze'" in "\n".join(printed)
    code, printed = await explain(place, changed, tmp_path, "--session", "s1", command=("try", "order"))
    assert code == 3
    assert "status 503" not in printed
    code, printed = await explain(place, changed, tmp_path, "--session", "no", command=("try", "order"))
    assert code == 1
    assert "the history has no reply to order in the session 'no'" in printed[-1]
