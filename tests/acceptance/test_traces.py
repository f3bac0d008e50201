"""Traces of real processes, received as a collector receives them: OTLP over HTTP, in protobuf."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.acceptance.test_prefork import written
from tests.asking import serving
from tests.desk import Desk, Place
from tests.processes import GatewayProcess, WorkerProcess

pytestmark = pytest.mark.timeout(120)


class Collector:
    """Receives spans; keeps each with the name of its service."""

    def __init__(self) -> None:
        """Begin empty."""
        self.spans: list[tuple[str, Span]] = []
        self.url = ""
        self._news = asyncio.Condition()

    async def __aenter__(self) -> Self:
        """Listen."""
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self._runner.cleanup()

    def named(self, name: str) -> list[tuple[str, Span]]:
        """Return the spans of this name."""
        return [one for one in self.spans if one[1].name == name]

    async def until(self, *names: str) -> None:
        """Return when there is a span of each name; the test's time limit ends the wait."""
        async with self._news:
            await self._news.wait_for(lambda: all(self.named(name) for name in names))

    async def until_same(self, *names: str) -> None:
        """Return when the spans of these names are of the same traces."""

        def same() -> bool:
            return len({frozenset(span.trace_id for _, span in self.named(name)) for name in names}) == 1

        async with self._news:
            await self._news.wait_for(same)

    async def _take(self, request: web.Request) -> web.Response:
        data = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        told = ExportTraceServiceRequest.FromString(data)
        for part in told.resource_spans:
            names = {one.key: one.value.string_value for one in part.resource.attributes}
            for scope in part.scope_spans:
                self.spans += [(names["service.name"], span) for span in scope.spans]
        async with self._news:
            self._news.notify_all()
        return web.Response(body=b"", content_type="application/x-protobuf")


@asynccontextmanager
async def traced(
    place: Place, config: Path, **environ: str
) -> AsyncIterator[tuple[GatewayProcess, Collector]]:
    """Run a gateway, a worker and a collector, of which the two know."""
    async with Collector() as collector:
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100", **environ}
        async with GatewayProcess(config, place, **told) as front, WorkerProcess(config, place, **told):
            yield front, collector


@dataclass
class Listening:
    """A CRM that answers each order, but for the first ``failing`` calls; it keeps what it was told."""

    failing: int = 0
    told: list[str] = field(default_factory=list)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer."""
        self.told.append(request.headers.get("traceparent", ""))
        if len(self.told) <= self.failing:
            return web.Response(status=503)
        return web.json_response({"id": request.path.rpartition("/")[2], "total": {"amount": 1}})


def attributes(span: Span) -> dict[str, str]:
    """Return a span's attributes as texts."""
    return {one.key: one.value.string_value or str(one.value.int_value) for one in span.attributes}


async def test_a_callback_is_one_trace_through_both_processes(
    place: Place, tmp_path: Path, desk: Desk
) -> None:
    """Its id is that of the log, and each call is named to the backend as it is in the trace."""
    config = written(tmp_path / "deskgate.toml", place.config())
    crm = Listening(failing=1)
    async with (
        serving(crm.handle) as url,
        traced(replace(place, crm_url=url), config) as (front, collector),
    ):
        heard = await desk.at(await front.address()).call(node="order", orderId="1")
        assert heard.code == 0
        await collector.until("callback", "wait crm", "lookup order", "attempt crm")
        answered = await front.event("callback.answered")
    spans = {name: collector.named(name)[0][1] for name in ("callback", "wait crm", "lookup order")}
    attempts = sorted(
        (span for _, span in collector.named("attempt crm")), key=lambda one: one.start_time_unix_nano
    )
    trace_id = bytes.fromhex(answered["trace_id"])
    assert {span.trace_id for _, span in collector.spans} == {trace_id}
    assert not spans["callback"].parent_span_id
    assert spans["wait crm"].parent_span_id == spans["callback"].span_id
    assert spans["lookup order"].parent_span_id == spans["callback"].span_id
    assert {one.parent_span_id for one in attempts} == {spans["lookup order"].span_id}
    assert [attributes(one)["deskgate.outcome"] for one in attempts] == ["BACKEND_UNAVAILABLE", "OK"]
    assert [one.status.message for one in attempts] == ["BACKEND_UNAVAILABLE", ""]
    assert attributes(spans["callback"])["deskgate.lookup.order.source"] == "live"
    assert collector.named("callback")[0][0] == "deskgate-gateway"
    assert collector.named("lookup order")[0][0] == "deskgate-worker"
    told = [f"00-{answered['trace_id']}-{one.span_id.hex()}-01" for one in attempts]
    assert crm.told == told
    slack = 50_000_000
    for inner in (spans["wait crm"], spans["lookup order"]):
        assert spans["callback"].start_time_unix_nano - slack <= inner.start_time_unix_nano
        assert inner.end_time_unix_nano <= spans["callback"].end_time_unix_nano + slack
    assert spans["wait crm"].end_time_unix_nano <= spans["lookup order"].start_time_unix_nano + slack


async def test_sampled_traces_are_whole(place: Place, tmp_path: Path, desk: Desk) -> None:
    """Gateway and worker leave out the same ones, by the standard sampler."""
    config = written(tmp_path / "deskgate.toml", place.config())
    sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    async with traced(place, config, **sampler) as (front, collector):
        desk = desk.at(await front.address())
        await asyncio.gather(*(desk.call(f"s{n}", node="order", orderId=str(n)) for n in range(40)))
        await front.event("callback.answered", 40)
        assert await front.end() == 0  # which sends what is left
        await collector.until_same("callback", "lookup order", "attempt crm")
    assert 5 < len(collector.named("callback")) < 35


async def test_collector_that_is_away_costs_nothing(place: Place, tmp_path: Path, desk: Desk) -> None:
    """Neither a callback nor the end of the process."""
    config = written(tmp_path / "deskgate.toml", place.config())
    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    async with GatewayProcess(config, place, **away) as front, WorkerProcess(config, place):
        heard = await desk.at(await front.address()).call(node="order", orderId="1")
        assert heard.code == 0
        assert heard.took < 1.0
        async with asyncio.timeout(10):
            assert await front.end() == 0


async def test_without_the_variable_there_are_none_and_backends_are_told_the_trace(
    place: Place, tmp_path: Path, desk: Desk
) -> None:
    """Their logs can be joined with ours in any case."""
    config = written(tmp_path / "deskgate.toml", place.config())
    crm = Listening()
    async with serving(crm.handle) as url:
        place = replace(place, crm_url=url)
        async with GatewayProcess(config, place) as front, WorkerProcess(config, place):
            await desk.at(await front.address()).call(node="order", orderId="1")
            answered = await front.event("callback.answered")
    (told,) = crm.told
    version, trace_id, span_id, flags = told.split("-")
    assert (version, trace_id, len(span_id), flags) == ("00", answered["trace_id"], 16, "01")
