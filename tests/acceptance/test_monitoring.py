"""A deployment under a real Prometheus with our rules: quiet while all is well, loud about a dead backend."""

import asyncio
import json
import math
import os
import re
import shlex
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.crm.server import Crm
from tests.acceptance.test_metrics import Watched, admin_of, free_port
from tests.acceptance.test_prefork import written
from tests.desk import ROOT, Desk, Place
from tests.processes import GatewayProcess
from tests.prometheus import Prometheus, needs_prometheus
from tests.unit.test_monitoring import RULES, RUNBOOK, panels

DEAD = "seed = 1\n[[rules]]\nshares = { error = 1 }\nstatus = 503\n"
EVERY = 0.05
"""Seconds between two callbacks of the traffic."""

_VARIABLES = {"$__rate_interval": "1m", "$backend": ".*", "$lookup": ".*"}


class Deployment(NamedTuple):
    """A gateway, two workers, their targets, and the log of all."""

    front: GatewayProcess
    workers: list[Watched]
    targets: dict[str, list[str]]
    desk: Desk
    config: Path


@asynccontextmanager
async def deployed(place: Place, folder: Path, desk: Desk) -> AsyncIterator[Deployment]:
    """Run it for the length of the block."""
    config = written(
        folder / "deskgate.toml", place.config(budget="1600ms", attempt_timeout="800ms", fresh="1s")
    )
    admins = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    async with (
        GatewayProcess(config, place) as front,
        Watched(config, place, admins[0]) as first,
        Watched(config, place, admins[1]) as second,
    ):
        targets = {"deskgate-gateway": [await admin_of(front)], "deskgate-worker": admins}
        yield Deployment(front, [first, second], targets, desk.at(await front.address()), config)


async def traffic(desk: Desk) -> None:
    """Call on and on, until cancelled: sessions that come again, and new ones."""
    async with asyncio.TaskGroup() as group:
        for number in range(1_000_000):
            group.create_task(desk.call(f"s{number % 400}", node="order", orderId=str(number % 400)))
            await asyncio.sleep(EVERY)


@needs_prometheus
@pytest.mark.timeout(240)
async def test_alert_names_a_backend_that_dies_within_a_minute_and_is_quiet_before(
    place: Place, crm: Crm, tmp_path: Path, desk: Desk
) -> None:
    """And each panel of the dashboard has something to show."""
    async with (
        deployed(place, tmp_path, desk) as running,
        Prometheus(tmp_path, running.targets, [RULES]) as prometheus,
    ):
        calling = asyncio.create_task(traffic(running.desk))
        await prometheus.until("sum(deskgate_callbacks_total) > 800")
        assert await prometheus.alerts() == {}
        crm.put(DEAD)
        died = time.monotonic()
        while "DeskgateBackendFailing" not in await prometheus.alerts():
            assert not calling.done()
            await asyncio.sleep(0.2)
        assert time.monotonic() - died < 60
        (labels,) = (await prometheus.alerts())["DeskgateBackendFailing"]
        assert labels["backend"] == "crm"
        shown = {title: False for title, _ in panels()}
        for title, query in panels():
            for variable, value in _VARIABLES.items():
                query = query.replace(variable, value)  # noqa: PLW2901 - step by step
            found = await prometheus.query(query)
            shown[title] |= any(math.isfinite(float(one["value"][1])) for one in found)
        assert [title for title, shows in shown.items() if not shows] == []
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)


def commands() -> list[str]:
    """Return each command of the runbook, once."""
    blocks = re.findall(r"^```sh\n(.*?)^```", RUNBOOK, re.DOTALL | re.MULTILINE)
    return list(dict.fromkeys(line for block in blocks for line in block.splitlines()))


@pytest.mark.timeout(240)
async def test_each_command_of_the_runbook_runs(place: Place, crm: Crm, tmp_path: Path, desk: Desk) -> None:
    """It is typed half asleep: it must work as it stands, or say that there is nothing to see."""
    async with deployed(place, tmp_path, desk) as running:
        await running.desk.call("s1", node="order", orderId="1")
        crm.put(DEAD)
        await running.desk.call("s2", node="order", orderId="2")
        await running.front.event("callback.answered", 2)
        lines = [line for process in (running.front, *running.workers) for line in process.lines]
        (tmp_path / "deskgate.log").write_text("".join(json.dumps(line) + "\n" for line in lines))
        admin = running.targets["deskgate-gateway"][0]
        assert len(commands()) > 20
        for command in commands():
            program, *words = shlex.split(command.replace("127.0.0.1:8081", admin))
            called = {"deskgate": [sys.executable, "-m", "gateway"], "curl": ["curl"]}[program]
            process = await asyncio.create_subprocess_exec(
                *called,
                *words,
                cwd=tmp_path,
                env={**os.environ, **place.environ, "PYTHONPATH": str(ROOT)},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            output = (await process.communicate())[0].decode()
            nothing = words[0] == "logs" and process.returncode == 1 and not output
            assert process.returncode == 0 or nothing, (command, output)
            assert "Traceback" not in output
