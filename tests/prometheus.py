"""A real Prometheus (Debian's), which scrapes what it is told and answers queries."""

import asyncio
import json
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from gateway.process.parent import die_with_parent

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
needs_prometheus = pytest.mark.skipif(
    PROMETHEUS is None or PROMTOOL is None, reason="metrics and alerts: Prometheus is not installed"
)


def promtool(*arguments: str, given: bytes = b"") -> str:
    """Run promtool; return what it says, and fail if it finds a fault."""
    assert PROMTOOL is not None
    told = subprocess.run(
        [PROMTOOL, *arguments], input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    assert told.returncode == 0, told.stdout.decode()
    return told.stdout.decode()


class Prometheus:
    """A Prometheus for the length of a block. It scrapes each second."""

    def __init__(
        self, folder: Path, targets: Mapping[str, Sequence[str]], rules: Sequence[Path] = ()
    ) -> None:
        """Take a folder of its own, the targets of each job, and files of rules."""
        self._folder, self._targets, self._rules = folder, targets, rules
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"

    async def __aenter__(self) -> Self:
        """Start it, and wait until it is ready."""
        assert PROMETHEUS is not None
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in self._rules],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": list(targets)}]}
                for job, targets in self._targets.items()
            ],
        }
        file = self._folder / "prometheus.yml"
        file.write_text(json.dumps(config))  # JSON is YAML
        self._log = (self._folder / "prometheus.log").open("wb")
        self._process = await asyncio.create_subprocess_exec(
            PROMETHEUS,
            f"--config.file={file}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            stdout=self._log,
            stderr=self._log,
            preexec_fn=die_with_parent(),
        )
        self._http = aiohttp.ClientSession(self.url)
        while not await self._ready():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.05)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        await self._http.close()
        self._process.terminate()
        await self._process.wait()
        self._log.close()

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that a query finds now, each with its labels and its value."""
        async with self._http.get("/api/v1/query", params={"query": expression}) as response:
            answer = await response.json()
            assert answer["status"] == "success", (expression, answer)
            return list(answer["data"]["result"])

    async def value(self, expression: str) -> float:
        """Return the one number that a query finds; not a number if it finds none."""
        found = await self.query(expression)
        return float(found[0]["value"][1]) if found else float("nan")

    async def until(self, expression: str) -> None:
        """Return as soon as a query finds anything; the test's time limit ends the wait."""
        while not await self.query(expression):  # noqa: ASYNC110 - it is scraped each second
            await asyncio.sleep(0.1)

    async def alerts(self) -> dict[str, list[dict[str, str]]]:
        """Return the labels of all alerts that fire, by name."""
        async with self._http.get("/api/v1/alerts") as response:
            found: dict[str, list[dict[str, str]]] = {}
            for alert in (await response.json())["data"]["alerts"]:
                if alert["state"] == "firing":
                    found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
            return found

    async def _ready(self) -> bool:
        try:
            async with self._http.get("/-/ready") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False
