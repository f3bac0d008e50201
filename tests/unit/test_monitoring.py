"""Alerts, dashboard and runbook name what there is: rules by promtool, the rest against the code."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.core.errors import Code
from gateway.declared.lookup import LookupTable
from gateway.front.ladder import Source
from gateway.resilience.attempt_timeout import CANCELLED
from gateway.resilience.shut import BREAKER_STATES
from gateway.telemetry.families import COUNTED, LEAST, LOOKED_UP, SUMS, Family
from tests.prometheus import needs_prometheus, promtool

OPS = Path(__file__).parents[2] / "ops"
RULES = OPS / "prometheus" / "rules.yml"
RUNBOOK = (OPS / "RUNBOOK.md").read_text(encoding="utf-8")
DASHBOARD: dict[str, Any] = json.loads((OPS / "grafana" / "deskgate.json").read_text(encoding="utf-8"))
GROUPS = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
ALERTS = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
RECORDED = [rule for group in GROUPS for rule in group["rules"] if "record" in rule]
EVERY: tuple[Family, ...] = (*COUNTED, *SUMS, *LEAST, *LOOKED_UP)

OTHERS = {
    "up": {"job", "instance"},
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
}
"""Metrics that are not ours: Prometheus' own, and its library's."""

TARGET = {"job", "instance"}
VALUES: dict[str, set[str]] = {
    "code": {str(int(code)) for code in Code},
    "code_name": {code.name for code in Code},
    "outcome": {code.name for code in Code} | {CANCELLED},
    "source": {source.value for source in Source} | {"skipped"},
    "state": {*BREAKER_STATES, "waiting", "refresh", "claimed"},
    "job": {"deskgate-gateway", "deskgate-worker"},
    "alertstate": {"firing"},
}
_KEPT = {"backend", "lookup", "lane", "instance", "alertname", "severity", "le"}


def samples(family: Family) -> Iterator[str]:
    """Yield the names under which Prometheus has a family."""
    if family.buckets:
        yield from (f"{family.name}_{end}" for end in ("bucket", "sum", "count"))
    else:
        yield family.name


LABELS: dict[str, set[str]] = {
    name: {
        *family.labels,
        *(("code_name",) if "code" in family.labels else ()),
        *(("le",) if family.buckets else ()),
    }
    | TARGET
    for family in EVERY
    for name in samples(family)
}


def panels() -> Iterator[tuple[str, str]]:
    """Yield title and query of each panel of the dashboard."""
    for panel in DASHBOARD["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel.get("targets", ()))


QUERIES = [
    *((rule["record"], rule["expr"]) for rule in RECORDED),
    *((rule["alert"], rule["expr"]) for rule in ALERTS),
    *panels(),
]


@pytest.mark.parametrize(("where", "query"), QUERIES)
def test_queries_name_metrics_labels_and_values_that_are_there(where: str, query: str) -> None:
    """One that names another is silent for ever."""
    known = {*LABELS, *OTHERS, "ALERTS", *(rule["record"] for rule in RECORDED)}
    text = re.sub(r'"[^"]*"', '""', query)
    for name in re.findall(r"\b((?:deskgate|process)[a-z_:0-9]+|up\b|ALERTS)", text):
        assert name in known, f"{where}: {name}"
    for name, matchers in re.findall(r"\b([a-zA-Z_:0-9]+){([^}]*)}", query):
        for label, operator, value in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers):
            if name in LABELS:
                assert label in LABELS[name], f"{where}: {name} has no label {label}"
            if label in VALUES and value != "deskgate-.*":
                wanted = set(value.split("|")) if operator in {"=~", "!~"} else {value}
                assert wanted <= VALUES[label], f"{where}: {label} is never {wanted - VALUES[label]}"
            assert label in {*VALUES, *_KEPT}
    for grouping in re.findall(r"\bby \(([^)]*)\)", query):
        for label in filter(None, map(str.strip, grouping.split(","))):
            assert any(label in labels for labels in LABELS.values()), f"{where}: {label}"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_and_leads_to_its_section(alert: dict[str, Any]) -> None:
    """At three in the morning nobody searches."""
    name = alert["alert"]
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["runbook"] == f"RUNBOOK.md#{name.lower()}"
    section = RUNBOOK.partition(f"## {name}\n")[2].partition("\n## ")[0]
    for part in ("**It means**", "**Do**", "```sh"):
        assert part in section


def test_runbook_has_no_section_of_an_alert_that_is_gone() -> None:
    """It would send somebody the wrong way."""
    sections = re.findall(r"^## (Deskgate\w+)$", RUNBOOK, re.MULTILINE)
    assert sections == [rule["alert"] for rule in ALERTS]


def test_names_in_the_runbook_are_those_of_the_product() -> None:
    """Codes, events, metrics and settings."""
    events = set(
        re.findall(r'"([a-z_]+\.[a-z_]+)"', (OPS.parent / "gateway/telemetry/events.py").read_text())
    )
    settings = set(LookupTable.__struct_fields__)
    for word in re.findall(r"`([a-z_]+\.[a-z_]+)`", RUNBOOK):
        assert word in {*events, "redis.timeout", "logs.sample_ok", "logs.level", "deskgate.log"}, word
    for word in re.findall(r"--event ([\w.]+)", RUNBOOK):
        assert word in events, word
    for word in re.findall(r"`([A-Z][A-Z_]{4,})`", RUNBOOK) + re.findall(r"--code (\w+)", RUNBOOK):
        assert word in Code.__members__, word
    for word in re.findall(r"`(deskgate_\w+)`", RUNBOOK):
        assert word in LABELS, word
    assert {"stale_if_error", "stale_while_revalidate", "share", "hedge", "fallback", "fresh"} <= settings


@needs_prometheus
def test_prometheus_takes_the_rules_and_they_do_what_is_expected() -> None:
    """Its own checks: each alert fires for what it is about, in time, and a healthy deployment is quiet."""
    promtool("check", "rules", str(RULES))
    promtool("check", "config", "--syntax-only", str(OPS / "prometheus" / "prometheus.yml"))
    promtool("test", "rules", str(OPS / "prometheus" / "rules_test.yml"))


def test_every_alert_is_tried() -> None:
    """Each is seen to fire."""
    tried = set(re.findall(r'alertname="(\w+)"', (OPS / "prometheus" / "rules_test.yml").read_text()))
    assert tried == {rule["alert"] for rule in ALERTS}


def test_panels_lie_beside_each_other() -> None:
    """None hides another, and each has a title."""
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert panel["title"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken.get((x, y))}"
                taken[x, y] = panel["title"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
