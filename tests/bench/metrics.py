"""What metrics cost: gateways and workers that count against those that do not; and a scrape."""

import sys
import time
from collections import defaultdict
from urllib.request import urlopen

from gateway.telemetry.events import Event
from gateway.telemetry.tally import Tally
from gateway.tools.processes import deskgate
from tests.bench.callbacks import CONNECTIONS, LIVE, MEMORY
from tests.bench.configuration import APP, configuration
from tests.bench.contestants import worker_command
from tests.bench.figures import Ratio, Target, Turn, brief, middle, percentile, spread
from tests.bench.pace import Pace, Step
from tests.bench.pairs import Heats, open_generator, run_rounds, start_pair
from tests.bench.section import Section, Table
from tests.bench.stage import Caller, Stage, free_port, wait_for_port

LANES, LOOKUPS, SCRAPES = 10, 50, 40
TIMES = 4
"""So many times the rounds of other parts: three per cent are less than one turn differs from the next."""
_ABOUT = f"""\
Pairs of gateway and worker, one as users run them, one that counts nothing. Callbacks as above, in turns; \
CPU of gateway and, for live ones, worker for each callback. The scrape is of a gateway with \
{LOOKUPS} lookups on {LANES} lanes, all of them asked before, while callbacks from memory go on."""
WITH, WITHOUT = "with metrics", "without"

_MANY = """
[[routes]]
when = {{ staticKey = "many" }}
lookups = [{names}]
"""
_BACKEND = '\n[backends.lane{number}]\nurl = "http://127.0.0.1:9"\n'
_LOOKUP = """
[lookups.many{number}]
backend = "lane{lane}"
request = {{ path = "/{{SystemSessionID}}" }}
variables = {{ many{number} = "answer" }}
fallback = {{ many{number} = "-" }}
"""


def steps(pace: Pace) -> int:
    """Return how many turns there will be."""
    return pace.callback_rounds * TIMES * 4 + 1


def measure(pace: Pace, step: Step) -> Section:
    """Run the rounds; raise CannotStart."""
    with Stage() as stage:
        generator = open_generator(stage)
        unmetered = [sys.executable, "-m", "tests.bench.unmetered"]
        pairs = {WITH: start_pair(stage, WITH), WITHOUT: start_pair(stage, WITHOUT, program=unmetered)}
        heats = run_rounds(stage, generator, pairs, pace.callback_rounds * TIMES, pace, step)
        scrapes, beside, size = _scrape(stage, generator)
        step()
        return _section(heats, scrapes, beside, size, stage.placement.sentence("the gateway", "all else"))


def _scrape(stage: Stage, generator: Caller) -> tuple[list[float], Turn, int]:
    """Return the ms of scrapes, the callbacks beside them, and the number of samples of a scrape."""
    port, admin = free_port(), free_port()
    names = ", ".join(f'"many{number}"' for number in range(LOOKUPS))
    text = configuration(stage.url, "scraped", listen=port).replace(
        'admin = "127.0.0.1:0"', f'admin = "127.0.0.1:{admin}"'
    )
    text += _MANY.format(names=names)
    text += "".join(_BACKEND.format(number=number) for number in range(LANES))
    text += "".join(_LOOKUP.format(number=number, lane=number % LANES) for number in range(LOOKUPS))
    config = stage.write(f"{port}.toml", text)
    process, worker = stage.start(deskgate("gateway", "-c", str(config))), stage.start(worker_command(config))
    stage.placement.keep_apart(process.pid)
    stage.placement.keep_together(worker.pid)
    wait_for_port(port)
    order = {"port": port, "callers": CONNECTIONS, "sessions": 1}
    for key in ("many", "kept", "many"):  # each lookup answers; a memory is there
        generator.turn(seconds=1.0, key=key, **order)
    page = _get(admin)
    generator.tell(seconds=4.0, key="kept", **order)
    taken = []
    for _ in range(SCRAPES):
        begun = time.perf_counter()
        _get(admin)
        taken.append((time.perf_counter() - begun) * 1000)
        time.sleep(0.04)
    return (
        taken,
        Turn.read(generator.hear(30.0)),
        sum(not line.startswith(b"#") for line in page.splitlines()),
    )


_ANSWERED = {
    "app": APP,
    "code": 0,
    "took_ms": 3.4,
    "lookups": {"noop": {"source": "live", "code": 0}},
}
_KINDS = {
    "callback": [Event("callback.answered", "info", _ANSWERED)],
    "job": [
        Event("attempt.ended", "debug", {"backend": "crm", "outcome": "OK", "took_ms": 2.5}),
        Event("lookup.finished", "info", {"lane": "crm", "queue_ms": 0.5}),
    ],
}
_TIMES = 20_000


def _tallied() -> dict[str, list[float]]:
    """Return the µs that the tally itself takes of a callback and of a job, several times."""
    found: dict[str, list[float]] = defaultdict(list)
    tally = Tally()
    for _ in range(20):
        for kind, events in _KINDS.items():
            begun = time.process_time()
            for _ in range(_TIMES):
                for event in events:
                    tally(event)
            found[kind].append((time.process_time() - begun) / _TIMES * 1e6)
    return found


def _get(admin: int) -> bytes:
    with urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=5) as response:
        return bytes(response.read())


def _section(
    heats: Heats,
    scrapes: list[float],
    beside: Turn,
    size: int,
    placed: str,
) -> Section:
    rows, targets = [], []
    rows_of = (
        (MEMORY, MEMORY, ("gateway",)),
        (LIVE, LIVE, ("gateway", "worker")),
        ("hand-off: the worker of live ones", LIVE, ("worker",)),
    )
    for title, what, watched in rows_of:
        cpu = {
            name: {number: heat.cpu(*watched) for number, heat in heats[what, name].items()}
            for name in (WITH, WITHOUT)
        }
        ratio = Ratio.of(cpu[WITH], cpu[WITHOUT])
        rows.append([title, *(brief(middle(cpu[name].values())) for name in (WITH, WITHOUT)), str(ratio)])
        targets.append(Target(f"{title}: CPU with metrics : without", ratio.middle, 1.03))
    own = _tallied()
    for title, what, watched, parts in (
        (MEMORY, MEMORY, ("gateway",), ("callback",)),
        (LIVE, LIVE, ("gateway", "worker"), ("callback", "job")),
        ("hand-off", LIVE, ("worker",), ("job",)),
    ):
        whole = middle(heat.cpu(*watched) for heat in heats[what, WITHOUT].values())
        share = sum(middle(own[part]) for part in parts) / whole
        targets.append(Target(f"{title}: the tally's own time : all without it", share, 0.03))
    tallied = [[kind, spread(times)] for kind, times in own.items()]
    slowest = max(beside.ms, default=float("nan"))
    return Section(
        "Metrics",
        f"{_ABOUT}\n\n{placed}",
        [
            Table(("CPU a callback, µs", WITH, WITHOUT, "ratio"), rows),
            Table(("the tally's own time of a", "µs (quartiles)"), tallied),
            Table(
                ("a scrape", "samples", "ms (quartiles)", "p99, ms", "slowest callback beside, ms"),
                [["", str(size), spread(scrapes), brief(percentile(scrapes, 0.99)), brief(slowest)]],
            ),
        ],
        [
            *targets,
            Target("a scrape, ms", middle(scrapes), 20.0),
            Target("slowest callback beside scrapes, ms", slowest, 1600.0),
        ],
    )
