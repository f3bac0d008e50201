"""What is deployed exists: manifests and units against the product, and against their own tools."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from gateway.cli import main
from gateway.core.units import parse_duration
from gateway.declared.catalog import Catalog, compile_catalog, read
from gateway.wire.keys import Keys
from tests.desk import ROOT

KUBERNETES, SYSTEMD = ROOT / "ops" / "kubernetes", ROOT / "ops" / "systemd"
FILES = sorted(path for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml")
OTHERS = {"ScaledObject", "PodMonitor"}
"""Kinds of others, whose schemas Kubernetes does not have."""

_SECRETS = re.compile(r"\$\{(file:[^}]+)\}")


def documents(path: Path) -> list[dict[str, Any]]:
    """Return the resources of a file."""
    return [*yaml.safe_load_all(path.read_text(encoding="utf-8"))]


EVERY = [(path, document) for path in FILES for document in documents(path)]
DEPLOYMENTS = [document for _, document in EVERY if document["kind"] == "Deployment"]


def catalog() -> Catalog:
    """Return the configuration of the cluster."""
    text = (KUBERNETES / "deskgate.toml").read_text(encoding="utf-8")
    return compile_catalog(*read(text, dict.fromkeys(_SECRETS.findall(text), "secret")))


def parsed(words: list[str]) -> dict[str, Any]:
    """Return the parameters of a command line of deskgate; raise click.UsageError for one that is none."""
    program, name, *arguments = words
    assert Path(program).name == "deskgate"
    command = main.commands[name]
    with click.Context(command) as context:
        command.parse_args(context, arguments)
    return context.params


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    """Return the one container of a deployment."""
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(only)


@pytest.mark.parametrize(("path", "document"), EVERY, ids=lambda one: getattr(one, "name", None))
def test_manifest_is_what_kubernetes_takes(path: Path, document: dict[str, Any]) -> None:
    """By its own schema of today, without a key that it does not know."""
    if document["kind"] not in OTHERS:
        kubernetes_validate.validate(document, "1.37", strict=True)
    assert path.name.startswith(("gateway", "worker", "network", "secret", "hpa", "keda", "podmonitor"))


def test_configuration_of_the_cluster_is_sound() -> None:
    """And its secrets are files of the secret that is mounted."""
    assert catalog().warnings == ()
    text = (KUBERNETES / "deskgate.toml").read_text(encoding="utf-8")
    (secret,) = documents(KUBERNETES / "secret.example.yaml")
    for name in _SECRETS.findall(text):
        folder, _, file = name.removeprefix("file:").rpartition("/")
        assert file in secret["stringData"]
        assert {"name": "secrets", "mountPath": folder, "readOnly": True} in container(DEPLOYMENTS[0])[
            "volumeMounts"
        ]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["metadata"]["name"])
def test_pod_runs_a_command_of_ours_with_ports_and_probes_that_are_there(deployment: dict[str, Any]) -> None:
    """A probe of a path that is not there would kill every pod."""
    one, settings = container(deployment), catalog().settings
    asked = parsed(one["args"])
    ports = {port["name"]: port["containerPort"] for port in one["ports"]}
    if one["args"][1] == "gateway":
        assert ports == {"callbacks": settings.gateway.listen[1], "admin": settings.gateway.admin[1]}
    else:
        assert settings.worker.admin is not None
        assert ports == {"admin": settings.worker.admin[1]}
        assert set(asked["lanes"]) <= set(catalog().lanes)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert one[probe]["httpGet"]["port"] == "admin"
    assert [one[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")] == [
        "/live",
        "/ready",
    ]
    mounts = {mount["mountPath"] for mount in one["volumeMounts"]}
    assert str(asked["path"].parent) in mounts


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["metadata"]["name"])
def test_pod_has_no_privileges_and_time_to_drain(deployment: dict[str, Any]) -> None:
    """Kubernetes kills at the end of the grace period, also with work in hand."""
    pod, one = deployment["spec"]["template"]["spec"], container(deployment)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert one["securityContext"]["readOnlyRootFilesystem"] is True
    assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "cpu" not in one["resources"]["limits"]
    gateway = catalog().settings.gateway
    longest = gateway.drain + gateway.budget + 1 if one["name"] == "gateway" else parsed(one["args"])["grace"]
    assert pod["terminationGracePeriodSeconds"] > longest + 2
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_several_gateways_in_a_pod_have_where_to_count() -> None:
    """`--processes` write into /tmp what each has counted. The rest of the file system is read-only."""
    (pod,) = [one["spec"]["template"]["spec"] for one in DEPLOYMENTS if container(one)["name"] == "gateway"]
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert "emptyDir" in volumes[mounts["/tmp"]["name"]]  # noqa: S108 - in the container
    assert not mounts["/tmp"].get("readOnly")  # noqa: S108


def test_everything_that_selects_finds_its_pods() -> None:
    """A policy for labels that nobody has protects nothing."""
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in DEPLOYMENTS]
    for _, document in EVERY:
        selector = document.get("spec", {}).get("podSelector") or document.get("spec", {}).get("selector")
        wanted = (selector or {}).get("matchLabels", selector or {})
        if document["kind"] in {"Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"}:
            assert any(wanted.items() <= has.items() for has in labels), document["metadata"]["name"]
        if reference := document.get("spec", {}).get("scaleTargetRef"):
            assert reference["name"] in {one["metadata"]["name"] for one in DEPLOYMENTS}


def test_workers_scale_by_the_set_that_the_lane_is() -> None:
    """`ZCARD` counts jobs in hand, too: with more than `concurrency` there would never be another."""
    (scaled,) = documents(KUBERNETES / "scaling" / "keda.yaml")
    (trigger,) = scaled["spec"]["triggers"]
    lane = catalog().lanes[0]
    assert trigger["metadata"]["listName"] == Keys(catalog().settings.redis.prefix).lane(lane)
    assert 0 < int(trigger["metadata"]["listLength"]) < catalog().backend(lane).concurrency
    assert scaled["spec"]["pollingInterval"] == 5
    assert scaled["spec"]["minReplicaCount"] >= 2


def test_kustomization_names_every_file() -> None:
    """Those that need something of others are comments there."""
    text = (KUBERNETES / "kustomization.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"- ([\w/]+\.yaml)", text))
    assert named == {path.relative_to(KUBERNETES).as_posix() for path in FILES} - {"secret.example.yaml"}


UNITS = sorted([*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.socket")])


def lines(path: Path, key: str) -> Iterator[str]:
    """Yield the values of a key of a unit."""
    for line in path.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and name == key:
            yield value


@pytest.mark.parametrize("path", sorted(SYSTEMD.glob("*.service")), ids=lambda path: path.name)
def test_unit_starts_a_command_of_ours(path: Path) -> None:
    """And leaves it time to drain."""
    (start,) = lines(path, "ExecStart")
    asked = parsed(shlex.split(start.replace("%i", "crm")))
    assert str(asked["path"]) == "/etc/deskgate/deskgate.toml"
    (stop,) = lines(path, "TimeoutStopSec")
    assert parse_duration(f"{stop}s") > asked.get("grace", 8.0) + 5
    assert list(lines(path, "Type")) == ["notify"]


@pytest.mark.parametrize("path", sorted(SYSTEMD.glob("*.service")), ids=lambda path: path.name)
def test_journal_drops_no_line_of_a_busy_unit(path: Path) -> None:
    """333 callbacks a second are enough for journald's usual limit, and `log.dropped` knows nothing of it."""
    assert list(lines(path, "LogRateLimitIntervalSec")) == ["0"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="units: systemd-analyze is not installed")
def test_systemd_takes_the_units_and_finds_them_hardened(tmp_path: Path) -> None:
    """Its own checks, on this machine's version."""
    for path in UNITS:
        text = path.read_text(encoding="utf-8").replace("/opt/deskgate/bin/deskgate", "/bin/true")
        (tmp_path / path.name).write_text(
            text.replace("User=deskgate", "User=daemon").replace("Group=deskgate\n", "")
        )
    names = [str(tmp_path / path.name.replace("@.", "@crm.")) for path in UNITS]
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names],  # noqa: S607 - wherever it is
        capture_output=True,
        check=False,
    )
    assert (verified.returncode, verified.stderr.decode()) == (0, "")
    for path in SYSTEMD.glob("*.service"):
        told = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", str(tmp_path / path.name)],  # noqa: S607
            capture_output=True,
            check=True,
        )
        exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", told.stdout.decode())
        assert exposure is not None
        assert float(exposure[1]) < 2.0
