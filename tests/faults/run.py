"""Play every fault to one real worker, and note what came of it."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from gateway.core.packing import pack
from gateway.core.records import Record, record_name
from gateway.declared.catalog import Catalog, compile_catalog, read
from gateway.front.app import gateway
from gateway.wire.keys import Keys
from tests.desk import Desk, Heard, Place
from tests.faults.cases import CASES, NONE, Case
from tests.faults.server import Backend
from tests.processes import WorkerProcess
from tests.tls import self_signed
from tests.variants import written

BUDGET = 2.0
AT_ONCE = 16
"""Faults that are played side by side: with all of them a busy machine has no time for last attempts."""

APP = 1400000001
LIN = {"name": "Lin Xia", "tier": "gold"}
GUEST = {"name": "guest", "tier": "none"}


@dataclass(frozen=True)
class Observed:
    """What came of a fault: the reply, the calls that the backend heard, the worker's line, a later reply."""

    case: Case
    heard: Heard
    calls: int
    line: dict[str, Any]
    later: Heard


def configuration(place: Place, urls: list[str], ca: Path) -> str:
    """Return a configuration with a backend, a lookup and a route for each case."""
    tables: dict[str, Any] = {
        "gateway": {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "budget": f"{BUDGET}s", "drain": "0s"},
        "redis": {"url": place.redis_url, "prefix": place.prefix},
        "apps": {str(APP): {"signature": "off"}},
        "routes": [],
        "backends": {},
        "lookups": {},
    }
    for number, (case, url) in enumerate(zip(CASES, urls, strict=True)):
        backend: dict[str, Any] = {"url": url, "attempt_timeout": "300ms", "idle_before_reuse": "0s"}
        if not case.keep_alive:
            backend["keep_alive"] = "0s"
        if case.tls:
            backend["tls"] = {"ca": str(ca)}
        tables["backends"][f"b{number}"] = backend | case.backend
        tables["lookups"][f"l{number}"] = {
            "backend": f"b{number}",
            "request": {"path": "/customers/{SystemClientUserID}"},
            "variables": {"name": "data.name", "tier": "data.tier"},
            "fresh": "0s",
        } | case.lookup
        tables["routes"].append({"when": {"case": str(number)}, "lookups": [f"l{number}"]})
    return written(tables)


@asynccontextmanager
async def stage(
    place: Place, folder: Path, desk: Desk
) -> AsyncIterator[tuple[Desk, WorkerProcess, list[Backend], Catalog]]:
    """Start a backend for each case, a gateway, and a worker process."""
    cert, key = await self_signed(folder)
    async with AsyncExitStack() as stack:
        backends = [
            await stack.enter_async_context(Backend().serve((cert, key) if case.tls else None))
            for case in CASES
        ]
        text = configuration(place, [one.url for one in backends], cert)
        config = folder / "deskgate.toml"
        config.write_text(text)
        catalog = compile_catalog(*read(text, {}))
        worker = await stack.enter_async_context(WorkerProcess(config, place))
        running = await stack.enter_async_context(gateway(catalog))
        yield desk.at(running.callbacks), worker, backends, catalog


async def observe(place: Place, folder: Path, desk: Desk) -> list[Observed]:
    """Play all faults; return what came of each."""
    other = folder / "other"
    other.mkdir()
    cert, key = await self_signed(other)
    async with stage(place, folder, desk) as (here, worker, backends, catalog):
        for number, case in enumerate(CASES):  # one after the other, so that each has the time it needs
            if case.backend:
                await plant(place, catalog, number)
            else:
                first = await here.call(f"s{number}", case=str(number))
                assert (first.code, first.variables) == (0, LIN), (case.name, first)
        some = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> Observed:
            async with some:
                return await play(number, here, worker, backends[number], other=(cert, key))

        return await asyncio.gather(*(one(number) for number in range(len(CASES))))


async def play(
    number: int, here: Desk, worker: WorkerProcess, backend: Backend, other: tuple[Path, Path]
) -> Observed:
    """Play one fault in the next callback of its session; then let the backend be down."""
    case = CASES[number]
    if case.name.startswith("a certificate"):
        backend.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        backend.context.load_cert_chain(*other)
    before = backend.calls
    case.begin(backend)
    heard = await here.call(f"s{number}", case=str(number))
    calls = backend.calls - before
    count = 1 if case.backend else 2
    line = await finished(worker, f"l{number}", count)
    backend.close()
    backend.silent = True
    later = await here.call(f"s{number}", case=str(number))
    return Observed(case, heard, calls, line, later)


async def finished(worker: WorkerProcess, lookup: str, count: int) -> dict[str, Any]:
    """Return the worker's line about a lookup."""
    while True:
        lines = [line for line in worker.events("lookup.finished") if line["lookup"] == lookup]
        if len(lines) >= count:
            return lines[count - 1]
        await asyncio.sleep(0.01)


async def plant(place: Place, catalog: Catalog, number: int) -> None:
    """Write the good record of a backend that cannot be reached at all."""
    lookup = catalog.lookups[f"l{number}"]
    name = record_name(APP, f"s{number}", lookup.name, lookup.version, {"SystemClientUserID": "user517"})
    async with Redis.from_url(place.redis_url) as redis:
        record = Record((time.time() - 1) * 1000, LIN, "user517", True)  # noqa: FBT003
        await redis.set(Keys(place.prefix).record(name), pack(record))


def variables_of(case: Case) -> dict[str, str]:
    """Return the variables that are right for a case."""
    return GUEST if case.heard == NONE else LIN


SLACK = 1.0
"""Seconds that a busy machine may add."""


def judged(one: Observed) -> list[str]:
    """Return what is not right about a fault's end."""
    case, heard, line = one.case, one.heard, one.line
    wrong = []
    if heard.code != case.code or line["code"] != case.code:
        wrong.append(f"code {heard.code}, worker's {line['code']}, not {int(case.code)}")
    if heard.variables != variables_of(case):
        wrong.append(f"variables {heard.variables}")
    if case.calls is not None and one.calls != case.calls:
        wrong.append(f"{one.calls} calls, not {case.calls}")
    if case.reason not in line["reason"] or "s3cret" in str(line):
        wrong.append(f"reason {line['reason']!r}")
    if heard.took > BUDGET + SLACK:
        wrong.append(f"took {heard.took:.2f} s")
    if one.later.code == 0 or one.later.variables != variables_of(case):
        wrong.append(f"later {one.later.code} {one.later.variables}")
    return [f"{case.name}: {what}" for what in wrong]


_INTRODUCTION = (
    "`make faults` plays each fault to a real worker and writes this page; a test compares. Each lookup has "
    "a last known answer, `attempts = 3`, and retries in its budget. *Calls* are those that the backend got."
)


def table(observed: list[Observed]) -> str:
    """Return what came of all faults as a page."""
    lines = [
        *("# What your flow hears when a backend fails", "", _INTRODUCTION, ""),
        *("| the backend | `ErrorCode` | calls | what goes out |", "|---|---|---:|---|"),
    ]
    for one in observed:
        code = one.heard.code
        name = one.line["outcome"]
        calls = "-" if one.case.calls is None else str(one.calls)
        lines.append(f"| {one.case.name} | {code} `{name}` | {calls} | {one.case.heard} |")
    return "\n".join(lines) + "\n"
