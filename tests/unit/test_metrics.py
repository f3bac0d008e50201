"""Metrics: what the events of a process come to, and the text that Prometheus reads of it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gateway.core.errors import Code
from gateway.edge.admin import Scraped, Status, admin_handler
from gateway.edge.response import JsonResponse
from gateway.process.siblings import SIBLINGS_VARIABLE, Siblings, file_for, fold
from gateway.telemetry import events, families
from gateway.telemetry.events import LookupAnswered
from gateway.telemetry.exposition import expose
from gateway.telemetry.families import BREAKER, COUNTED, LEAST, LOOKED_UP, SUMS, Family, Gauge
from gateway.telemetry.tally import Snapshot, Tally
from tests.desk import ROOT
from tests.documents import MANUAL

EVERY = (*COUNTED, *SUMS, *LEAST, *LOOKED_UP)


@pytest.fixture
def tally(monkeypatch: pytest.MonkeyPatch) -> Tally:
    """A tally that hears of every event, alone."""
    tally = Tally()
    monkeypatch.setattr(events, "instruments", [tally])
    return tally


def samples(page: bytes) -> dict[str, float]:
    """Return what a scrape reads: each sample's name with its labels, and its value."""
    found = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def scraped(tally: Tally, *gauges: Gauge) -> dict[str, float]:
    """Return what a scrape of this tally reads."""
    return samples(expose(tally.snapshot(), gauges, of_process=False)[1])


def answer(code: Code = Code.OK, took: float = 0.0123, **lookups: LookupAnswered) -> None:
    """Tell of a callback that was answered."""
    events.callback_answered(
        app=1400000001,
        session="s1",
        user="u1",
        route="profile",
        code=code,
        took=took,
        budget=1.6,
        lookups=lookups,
        trace_id="t1",
        new_connection=False,
    )


def test_callbacks_are_counted_by_code_and_time(tally: Tally) -> None:
    """On call one asks first what the customers hear, and how late."""
    answer()
    answer(Code.TIMEOUT, 1.59, profile=LookupAnswered("stale", 3.0, 1.5, Code.TIMEOUT))
    events.callback_refused(code=Code.UNAUTHENTICATED, reason="wrong")
    found = scraped(tally)
    assert found["deskgate_callbacks_total{app=1400000001,code=0,code_name=OK}"] == 1
    assert found["deskgate_callbacks_total{app=1400000001,code=120001,code_name=TIMEOUT}"] == 1
    assert found["deskgate_callback_seconds_bucket{le=0.01}"] == 0
    assert found["deskgate_callback_seconds_bucket{le=0.025}"] == 1
    assert found["deskgate_callback_seconds_bucket{le=1.5}"] == 1
    assert found["deskgate_callback_seconds_bucket{le=1.6}"] == 2
    assert found["deskgate_callback_seconds_count{}"] == 2
    assert found["deskgate_callback_seconds_sum{}"] == pytest.approx(1.6023)
    answers = "deskgate_lookup_answers_total{code=120001,code_name=TIMEOUT,lookup=profile,source=stale}"
    assert found[answers] == 1
    name = f"code={int(Code.UNAUTHENTICATED)},code_name=UNAUTHENTICATED"
    assert found[f"deskgate_callbacks_refused_total{{{name}}}"] == 1


def test_calls_to_backends_are_counted_by_outcome(tally: Tally) -> None:
    """A hedge that lost is no failure."""
    for outcome in ("OK", "TIMEOUT", "CANCELLED", "OK"):
        events.attempt_ended(
            lookup="order", backend="crm", attempt=1, outcome=outcome, took=0.25, trace_id="t1", span_id="s1"
        )
    found = scraped(tally)
    for outcome, count in (("OK", 2), ("TIMEOUT", 1), ("CANCELLED", 1)):
        assert found[f"deskgate_backend_attempts_total{{backend=crm,outcome={outcome}}}"] == count
    assert found["deskgate_backend_seconds_bucket{backend=crm,le=0.2}"] == 0
    assert found["deskgate_backend_seconds_bucket{backend=crm,le=0.3}"] == 4


def test_jobs_and_late_answers_are_counted(tally: Tally) -> None:
    """How long jobs wait says whether workers suffice."""
    events.lookup_finished(
        lookup="order",
        backend="crm",
        code=Code.OK,
        reason="",
        attempts=1,
        queued=0.3,
        took=0.1,
        left=1.0,
        session="s1",
        trace_id="t1",
    )
    events.answer_late(lookup="order", job="j1")
    found = scraped(tally)
    assert found["deskgate_lane_wait_seconds_bucket{lane=crm,le=0.25}"] == 0
    assert found["deskgate_lane_wait_seconds_bucket{lane=crm,le=0.5}"] == 1
    assert found["deskgate_late_answers_total{lookup=order}"] == 1


def test_a_refused_configuration_shows_until_one_is_used(tally: Tally) -> None:
    """The alert that an edit did not take."""
    reloaded = "deskgate_config_last_reload_successful{}"
    assert scraped(tally)[reloaded] == 1
    events.config_refused(file="f", faults=["x"], config="c")
    before = scraped(tally)
    assert before[reloaded] == 0
    events.config_reloaded(config="d", warnings=[])
    after = scraped(tally)
    at = "deskgate_config_last_reload_success_timestamp_seconds{}"
    assert (after[reloaded], after[at] > before[at]) == (1, True)


def test_what_is_expected_is_there_from_the_start(tally: Tally) -> None:
    """The first failure of a backend is a rise from 0, which `rate` sees."""
    tally.expect([1400000001], ["order"], ["crm"])
    found = scraped(tally)
    assert found["deskgate_callbacks_total{app=1400000001,code=0,code_name=OK}"] == 0
    assert found["deskgate_late_answers_total{lookup=order}"] == 0
    assert found["deskgate_backend_attempts_total{backend=crm,outcome=OK}"] == 0
    assert found["deskgate_backend_seconds_count{backend=crm}"] == 0
    assert found["deskgate_lane_wait_seconds_count{lane=crm}"] == 0


def test_a_single_bug_is_a_rise_from_0(tally: Tally) -> None:
    """An alert is about the first one. `increase` does not see a series that begins with 1."""
    tally.expect([1400000001], ["order"], ["crm"])
    found = scraped(tally)
    rules = (ROOT / "ops" / "prometheus" / "rules.yml").read_text(encoding="utf-8")
    counted = re.findall(r'increase\((\w+)(?:\{(\w+="\w+")\})?\[', rules)
    assert len(counted) == 3
    for name, label in counted:
        shown = [key for key in found if key.startswith(f"{name}{{") and label.replace('"', "") in key]
        assert [found[key] for key in shown] == [0], f"{name} {label}"


def test_what_is_looked_up_is_shown_with_what_was_counted(tally: Tally) -> None:
    """Connections and Redis are of the process, the gates of the fleet."""
    tally.connections, tally.redis_up, tally.dropped = (lambda: 7), (lambda: True), (lambda: 3)
    found = scraped(tally, Gauge(BREAKER, {("crm", "open"): 1.0}))
    assert found["deskgate_connections{}"] == 7
    assert found["deskgate_redis_up{}"] == 1
    assert found["deskgate_log_lines_dropped_total{}"] == 3
    assert found["deskgate_breaker_state{backend=crm,state=open}"] == 1


def test_names_are_as_prometheus_wants_them() -> None:
    """Counters end in _total, times are seconds, and every metric says what it is."""
    assert len({family.name for family in EVERY}) == len(EVERY)
    for family in EVERY:
        assert re.fullmatch(r"deskgate_[a-z_]+", family.name)
        assert family.says
        counter = family in COUNTED and not family.buckets
        assert family.name.endswith("_total") == counter
        assert not family.buckets or family.name.endswith("_seconds")
        assert family.buckets == tuple(sorted(family.buckets))


def test_every_metric_is_one_of_the_list() -> None:
    """Else it is never shown."""
    named = {value for value in vars(families).values() if isinstance(value, Family)}
    assert named == set(EVERY)


def test_scraper_that_speaks_openmetrics_gets_it(tally: Tally) -> None:
    """Prometheus asks for it by its Accept header."""
    answer()
    content_type, page = expose(tally.snapshot(), [], accept="application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")
    assert b"deskgate_callbacks_total{" in page


def test_process_has_its_cpu_and_memory(tally: Tally) -> None:
    """Unless it is one of several on an address."""
    assert b"process_resident_memory_bytes" in expose(tally.snapshot(), [])[1]
    assert b"process_" not in expose(tally.snapshot(), [], of_process=False)[1]


def test_metrics_load_the_library_at_a_scrape() -> None:
    """Commands and workers without a scrape do not pay for it."""
    code = "import sys, workers.main, gateway.front.app; print('prometheus_client' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert told.stdout.strip() == "False"


LABELS = st.sampled_from([("crm", "OK"), ("crm", "TIMEOUT"), ("erp", "OK")])
SNAPSHOTS = st.builds(
    Snapshot,
    st.dictionaries(st.sampled_from(["a", "b"]), st.dictionaries(LABELS, st.integers(0, 100).map(float))),
    st.dictionaries(
        st.just("c"), st.dictionaries(LABELS, st.lists(st.integers(0, 9).map(float), min_size=3, max_size=3))
    ),
    st.dictionaries(st.just("d"), st.integers(0, 9).map(float)),
    st.dictionaries(st.just("e"), st.sampled_from([0.0, 1.0])),
)


def test_what_another_release_has_counted_spoils_no_scrape() -> None:
    """After a change of release in place, the counts of those that ended are still there."""
    refused, seconds = families.REFUSED.name, families.CALLBACK_SECONDS.name
    counted = Snapshot(
        {refused: {(120100,): 1.0, (129999,): 2.0, (120100, "more"): 3.0}}, {seconds: {(): [1.0, 2.0, 3.0]}}
    )
    told = samples(expose(counted, (), of_process=False)[1])
    assert {name: value for name, value in told.items() if "refused_total" in name} == {
        f"{refused}{{code=120100,code_name=BAD_REQUEST}}": 1.0,
        f"{refused}{{code=129999,code_name=UNKNOWN}}": 2.0,
    }
    assert not any(seconds in name for name in told)


def flat(snapshot: Snapshot) -> Iterator[tuple[object, float]]:
    """Yield every number of what is added up."""
    for name, by_labels in snapshot.counts.items():
        yield from (((name, labels), count) for labels, count in by_labels.items())
    for name, spreads in snapshot.spreads.items():
        for labels, spread in spreads.items():
            yield from (((name, labels, place), count) for place, count in enumerate(spread))
    yield from snapshot.sums.items()


@given(st.lists(SNAPSHOTS, max_size=4))
def test_sum_of_processes_has_all_that_each_has_counted(snapshots: list[Snapshot]) -> None:
    """And what is least counts for all: one process without Redis is worth a look."""
    expected: dict[object, float] = {}
    for one in snapshots:
        for key, count in flat(one):
            expected[key] = expected.get(key, 0) + count
    total = Snapshot.sum_of(snapshots)
    assert dict(flat(total)) == expected
    least = [one.least["e"] for one in snapshots if "e" in one.least]
    assert total.least == ({"e": min(least)} if least else {})


def test_every_metric_is_documented_with_its_labels() -> None:
    """Alerts and dashboards are built on these."""
    rows = re.findall(r"^\| `(deskgate_\w+)` \| (`[\w ]*`)? ?\|", MANUAL, re.MULTILINE)
    documented = {name: tuple(labels.strip("`").split()) for name, labels in rows}
    labels = {
        family.name: tuple(
            name for one in family.labels for name in (("code", "code_name") if one == "code" else (one,))
        )
        for family in EVERY
    }
    assert documented == labels


def test_snapshots_can_be_written_and_read() -> None:
    """The processes of one address share them as files."""
    tally = Tally()
    tally.expect([1400000001], ["order"], ["crm"])
    snapshot = tally.snapshot()
    data = msgspec.msgpack.encode(snapshot)
    assert msgspec.msgpack.decode(data, type=Snapshot) == snapshot


async def test_files_of_siblings_that_cannot_be_written_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: a count that falls would be worse than none."""
    monkeypatch.setenv(SIBLINGS_VARIABLE, str(tmp_path / "gone" / "1.counted"))
    siblings = Siblings(Tally().snapshot)

    async def scrape(_: str) -> Scraped:
        await siblings.counted()
        pytest.fail("it was counted")

    async def status() -> Status:
        pytest.fail("nobody asked")

    response = await admin_handler(status, scrape)(make_mocked_request("GET", "/metrics"))
    assert isinstance(response, JsonResponse)
    assert (response.status, b"cannot be written or read" in response.encoded) == (503, True)


async def test_what_ended_processes_have_counted_stays_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the file of one is found after it was folded, and if another release wrote it."""
    monkeypatch.setenv(SIBLINGS_VARIABLE, str(file_for(tmp_path, "2")))
    mine = Siblings(lambda: Snapshot({"a": {("x",): 1.0}}, {"b": {("y",): [1.0, 2.0]}}, {"c": 5.0}))
    ended = msgspec.msgpack.encode(Snapshot({"a": {("x",): 2.0}}, {"b": {("y",): [1.0]}}, {"c": 7.0}))
    file_for(tmp_path, "1").write_bytes(ended)
    assert (await mine.counted()).counts["a"][("x",)] == 3.0
    fold(tmp_path, "1")
    fold(tmp_path, "1")
    file_for(tmp_path, "1").write_bytes(ended)  # as a scrape sees it that has listed the folder before
    found = await mine.counted()
    assert (found.counts["a"][("x",)], found.sums["c"]) == (3.0, 5.0)
    fold(tmp_path, "1")
    fold(tmp_path, "never written")
    assert (await mine.counted()).counts["a"][("x",)] == 3.0
