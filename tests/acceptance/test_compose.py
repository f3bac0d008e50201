"""docker-compose.yml and its image, held true without Docker: the very commands, run on this machine.

Paths, hosts and ports are translated, nothing else is: a wrong flag, path, variable or port fails here.
"""

import asyncio
import json
import os
import random
import re
import shlex
import socket
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.core.units import parse_duration
from gateway.declared.catalog import read
from gateway.tools.processes import Valkey
from tests.desk import ROOT, Desk
from tests.processes import Process

SAMPLE = {
    "CallbackCommand": "Chatbot.InterfaceInvocation",
    "Body": {
        "SystemClientUserID": "user517",
        "SystemSessionID": "207cac25-f49e-4ada-9c9f-301cea31dcf2",
        "staticKey": "staticValue",
        "testKey3": "",
    },
    "EventTime": 1731488371784,
}
REPLY = {
    "ActionStatus": "OK",
    "ErrorInfo": "",
    "ErrorCode": 0,
    "Body": {"testKey1": "value1", "testKey3": "10"},
}
PROGRAMS = {"deskgate": ["-m", "gateway"], "arq": ["-m", "arq"], "python": []}
"""The image's programs, as arguments of this interpreter."""

OURS = ("crm", "worker", "gateway")


def read_compose() -> dict[str, Any]:
    """Return docker-compose.yml as Compose reads it in an empty environment."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    compose: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    return compose


COMPOSE = read_compose()
SERVICES: dict[str, Any] = COMPOSE["services"]


class ComposeValkey(Valkey):
    """The redis service: its flags, on a socket of this test."""

    def _options(self) -> list[str]:
        program, *flags = SERVICES["redis"]["command"]
        assert program == "valkey-server"
        place = self._socket
        return [*flags, "--port", "0", "--unixsocket", str(place), "--dir", str(place.parent)]


class Host:
    """This machine as the containers' network: what they name, and what stands for it here."""

    def __init__(self, redis_url: str) -> None:
        """Choose the ports."""
        self.ports = dict(zip(("8080", "8081", "8082", "9000"), _free_ports(), strict=False))
        self._names = {
            "redis://redis:6379/0": redis_url,
            "0.0.0.0": "127.0.0.1",  # noqa: S104 - what stands in the file
            "//crm:": "//127.0.0.1:",
            **self.ports,
        }

    def translate(self, service: str, text: str) -> str:
        """Return a text of a service with the names of this machine."""
        mounts = {mount["target"]: mount["source"] for mount in SERVICES[service]["configs"]}
        names = {path: str(ROOT / COMPOSE["configs"][name]["file"]) for path, name in mounts.items()}
        names |= self._names
        longest_first = sorted(map(re.escape, names), key=len, reverse=True)
        return re.sub("|".join(longest_first), lambda found: names[found[0]], text)

    def run(self, service: str, command: Sequence[str]) -> Process:
        """Return a command of a service as a process that sees the service's environment alone."""
        program, *arguments = command
        here = [self.translate(service, word) for word in arguments]
        process = Process(*PROGRAMS[program], *here, environ={})
        environ = SERVICES[service]["environment"]
        process._environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        process._environ |= {name: self.translate(service, value) for name, value in environ.items()}
        return process

    async def check(self, service: str) -> int:
        """Return the exit code of a service's health check."""
        kind, *command = SERVICES[service]["healthcheck"]["test"]
        assert kind == "CMD"
        async with self.run(service, command) as check:
            return await check._process.wait()

    async def healthy(self, service: str) -> bool:
        """True if a service's health check passes within the tries that Docker gives it."""
        for _ in range(3):
            if await self.check(service) == 0:
                return True
        return False


def _free_ports() -> Iterator[str]:
    """Yield ports below those that the kernel gives away: nobody takes one before its service does."""
    while True:
        port = random.randint(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield str(port)


@pytest.mark.timeout(120)
async def test_services_answer_the_documented_sample(desk: Desk) -> None:
    """`docker compose up` is how many will try this; a wrong flag must not wait for them to find it."""
    with ComposeValkey() as valkey:
        host = Host(valkey.url)
        assert 0 not in await asyncio.gather(*map(host.check, OURS)), "a check passes with nothing running"
        async with AsyncExitStack() as stack:
            running = {
                name: await stack.enter_async_context(host.run(name, SERVICES[name]["command"]))
                for name in OURS
            }
            await running["gateway"].event("gateway.started")
            await running["worker"].event("worker.started")
            await running["crm"].event("text")
            heard = await desk.at(("127.0.0.1", int(host.ports["8080"]))).send(json.dumps(SAMPLE).encode())
            assert heard.envelope == REPLY
            for name in OURS:
                assert await host.healthy(name), f"{name} is unhealthy"
            for port, metric in (("8081", "deskgate_callbacks_total"), ("8082", "deskgate_backend_seconds")):
                async with desk.http.get(f"http://127.0.0.1:{host.ports[port]}/metrics") as response:
                    assert metric in await response.text()
            assert [await process.end() for process in running.values()] == [0, 0, 0]


@pytest.mark.parametrize("service", ["gateway", "worker"])
def test_prometheus_scrapes_the_ports_that_the_services_have(service: str) -> None:
    """By the names of the services, each container of them."""
    text = (ROOT / COMPOSE["configs"]["prometheus.yml"]["file"]).read_text(encoding="utf-8")
    jobs = {job["job_name"]: job["dns_sd_configs"][0] for job in yaml.safe_load(text)["scrape_configs"]}
    job = jobs[f"deskgate-{service}"]
    assert job["names"] == [service]
    flags = SERVICES["worker"]["command"]
    listens = {
        "gateway": SERVICES["gateway"]["environment"]["DESKGATE_ADMIN"],
        "worker": flags[flags.index("--admin") + 1],
    }
    assert listens[service] == f"0.0.0.0:{job['port']}"


def test_every_file_that_is_mounted_exists() -> None:
    """And every one that is declared is mounted."""
    mounted = {mount["source"] for service in SERVICES.values() for mount in service.get("configs", ())}
    assert mounted == set(COMPOSE["configs"])
    for config in COMPOSE["configs"].values():
        assert (ROOT / config["file"]).exists()


def test_nothing_but_the_callback_port_is_published() -> None:
    """Redis and the admin port have no authentication: the world must not reach them."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    listen = SERVICES["gateway"]["environment"]["DESKGATE_LISTEN"].rpartition(":")[2]
    watching = {"prometheus": ["127.0.0.1:9090:9090"], "grafana": ["127.0.0.1:3000:3000"]}
    assert published == {"gateway": [f"127.0.0.1:8080:{listen}"], **watching}
    assert all(SERVICES[name]["profiles"] == ["monitoring"] for name in watching)
    assert not any("network_mode" in service for service in SERVICES.values())


def test_workers_can_be_scaled() -> None:
    """`--scale worker=4` fails on a name or a host port that only one container can have."""
    assert not {"container_name", "hostname", "ports"} & set(SERVICES["worker"])


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_supervised_and_has_no_privileges(name: str) -> None:
    """A service that dies comes back, and an intruder finds little."""
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["cap_drop"] == ["ALL"]
    assert service.get("user", "") not in {"root", "0"}
    assert "user" in service or service["build"]["dockerfile"] == "ops/Dockerfile", "runs as root"


def test_several_gateways_in_a_container_have_where_to_count() -> None:
    """`--processes` write into /tmp what each has counted. The rest of the file system is read-only."""
    gateway = COMPOSE["services"]["gateway"]
    assert gateway["read_only"] is True
    assert gateway["tmpfs"] == ["/tmp"]  # noqa: S108 - in the container


def test_stopping_leaves_time_to_drain() -> None:
    """Docker kills after stop_grace_period, even with work in hand."""
    gateway = read((ROOT / "ops/deskgate.toml").read_text(), {})[0].gateway
    worker = SERVICES["worker"]["command"]
    grace = float(worker[worker.index("--grace") + 1])
    assert parse_duration(SERVICES["gateway"]["stop_grace_period"]) > gateway.drain + gateway.budget + 1
    assert parse_duration(SERVICES["worker"]["stop_grace_period"]) > grace


def test_image_is_built_from_files_that_exist_and_are_let_in() -> None:
    """A build that fails on its first COPY is found here, not at a deployment."""
    assert {SERVICES[name]["build"]["dockerfile"] for name in OURS} == {"ops/Dockerfile"}
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    sources = [
        source for words in dockerfile("COPY") if not words[0].startswith("--from") for source in words[:-1]
    ]
    assert "gateway/" in sources
    for source in sources:
        assert (ROOT / source).exists()
        assert any(Path(source).match(name) for name in let_in), f"{source} is kept out by .dockerignore"


def test_image_runs_its_programs_without_root() -> None:
    """Every command that Compose and the image name is one that the installed package brings."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    ours = {script.name for script in entry_points(group="console_scripts") if script.value == "arq.cli:cli"}
    assert ours | set(scripts) | {"python"} == set(PROGRAMS)
    (command,) = dockerfile("CMD")
    assert json.loads(" ".join(command))[0] in scripts
    (user,) = dockerfile("USER")
    assert int(user[0]) > 0


def test_base_of_the_image_is_named_by_its_digest() -> None:
    """A tag may be another image tomorrow."""
    assert [argument[0] for argument in dockerfile("FROM")] == ["${BASE}", "${BASE}"]
    assert re.fullmatch(r"BASE=python:3\.\d+-slim@sha256:[0-9a-f]{64}", dockerfile("ARG")[0][0])


def dockerfile(instruction: str) -> list[list[str]]:
    """Return the arguments of each such instruction of the Dockerfile."""
    text = (ROOT / "ops/Dockerfile").read_text().replace("\\\n", "")
    lines = [line.partition(" ") for line in text.splitlines()]
    split = str.split if instruction == "CMD" else shlex.split
    return [split(rest) for name, _, rest in lines if name == instruction]
