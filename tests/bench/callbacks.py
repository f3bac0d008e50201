"""Callbacks over HTTP: a real gateway process against handlers that do nothing, on the same core."""

import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.tools.processes import deskgate
from tests.bench.configuration import configuration
from tests.bench.contestants import worker_command
from tests.bench.figures import Ratio, Target, brief, middle
from tests.bench.meter import Heat, run_heat
from tests.bench.pace import Pace, Step
from tests.bench.section import Chart, Section, Table
from tests.bench.stage import Caller, Stage, free_port, wait_for, wait_for_port

CONNECTIONS = 32
RECORDS = 4_000
HELD = 256
"""Records that the gateway of the second row holds in memory: too few for its sessions to be among them."""

_ABOUT = f"""\
Signed callbacks on {CONNECTIONS} keep-alive connections, one lookup each. A generator of its own sends them \
on bare sockets. The gateway logs as in production, to a file. The bare handlers read the body and answer \
fixed bytes; they log nothing. Ratios are to aiohttp's `web.Application`, turn by turn within a round: the \
median and, in brackets, the quartiles.

- *Memory*: the same session again and again.
- *Record*: {RECORDS:,} sessions in turn. The gateway has to get their records from Redis.
- *Live*: each callback has a session of its own, and its lookup is a no-op in a worker."""
_NOTE = """\
CPU in µs. The generator is not the limit while it is well under 100 % busy. The bare socket is no HTTP \
server at all, and shows the most that the generator can do."""


@dataclass(frozen=True, slots=True)
class Server:
    """A row: a server's process and port, and the callbacks that it gets."""

    name: str
    pid: int
    port: int
    key: str = "kept"
    sessions: int | None = 1

    def order(self) -> dict[str, object]:
        """Return what to tell the generator."""
        return {"port": self.port, "key": self.key, "sessions": self.sessions}


APPLICATION, SERVER, SOCKET = "aiohttp Application", "aiohttp Server", "bare socket"
MEMORY, RECORD, LIVE = "deskgate, memory", "deskgate, record", "deskgate, live"
ROWS = (APPLICATION, SERVER, MEMORY, RECORD, LIVE, SOCKET)


def steps(pace: Pace) -> int:
    """Return how many turns there will be."""
    return pace.callback_rounds * len(ROWS)


def measure(pace: Pace, step: Step) -> Section:
    """Run the rounds; raise CannotStart."""
    heats: dict[str, dict[int, Heat]] = defaultdict(dict)
    with Stage() as stage:
        generator = stage.caller([sys.executable, "-m", "tests.bench.http_load"])
        for pid in (generator.pid, stage.valkey.pid):
            stage.placement.keep_together(pid)
        servers = _start(stage, generator)
        for number in range(pace.callback_rounds):
            for server in servers:
                heats[server.name][number] = _heat(stage, generator, server, pace.callback_turn)
                step()
    return _section(heats, stage.placement.sentence("the server", "generator, Redis and worker"))


def _start(stage: Stage, generator: Caller) -> list[Server]:
    """Start every server, the worker, and fill Redis through one gateway with records for another."""
    application, server = _bare(stage, APPLICATION, "application"), _bare(stage, SERVER, "server")
    memory = _gateway(stage, MEMORY, 50_000)
    worker = stage.start(worker_command(stage.directory / f"{memory.port}.toml"))
    stage.placement.keep_together(worker.pid)
    fill = {"port": memory.port, "key": "kept", "sessions": RECORDS, "only": RECORDS}
    wait_for(lambda: generator.turn(seconds=5, callers=CONNECTIONS, **fill).ended == RECORDS, "the worker")
    record = _gateway(stage, RECORD, HELD, sessions=RECORDS)
    live = Server(LIVE, memory.pid, memory.port, "noop", None)
    return [application, server, memory, record, live, _bare(stage, SOCKET, "socket")]


def _bare(stage: Stage, name: str, kind: str) -> Server:
    port = free_port()
    return _server(stage, name, port, [sys.executable, "-m", "tests.bench.http_servers", kind, str(port)])


def _gateway(stage: Stage, name: str, local_records: int, sessions: int = 1) -> Server:
    port = free_port()
    config = stage.write(
        f"{port}.toml", configuration(stage.url, "bench", listen=port, local_records=local_records)
    )
    return _server(stage, name, port, deskgate("gateway", "-c", str(config)), sessions)


def _server(stage: Stage, name: str, port: int, command: list[str], sessions: int = 1) -> Server:
    process = stage.start(command)
    stage.placement.keep_apart(process.pid)
    wait_for_port(port)
    return Server(name, process.pid, port, sessions=sessions)


def _heat(stage: Stage, generator: Caller, server: Server, seconds: float) -> Heat:
    generator.turn(seconds=0.05, callers=CONNECTIONS, **server.order())
    watched = {"server": server.pid, "generator": generator.pid}
    return run_heat(stage, generator, watched, seconds=seconds, callers=CONNECTIONS, **server.order())


def _section(heats: Mapping[str, Mapping[int, Heat]], placed: str) -> Section:
    bare = _rates(heats[APPLICATION])

    def target(name: str, limit: float) -> Target:
        value = Ratio.of(_rates(heats[name]), bare).middle
        return Target(f"{name}: callbacks/s : Application's", value, limit, at_most=False)

    return Section(
        "Callbacks over HTTP",
        f"{_ABOUT}\n\n{placed}",
        [
            Table(
                (f"{CONNECTIONS} connections", "per s", ": Application", "p50, ms", "p99, ms", "failed"),
                [_speed(name, heats[name], bare) for name in ROWS],
            ),
            Table(
                ("per callback", "server", "Redis", "Redis commands", "generator busy"),
                [_costs(name, heats[name]) for name in ROWS],
            ),
        ],
        [target(MEMORY, 0.55), target(RECORD, 0.5), target(LIVE, 0.3)],
        [
            Chart(
                "Callbacks on one core",
                "callbacks/s, more is better",
                [(name, middle(_rates(heats[name]).values())) for name in ROWS if name != SOCKET],
            )
        ],
        [_NOTE],
    )


def _speed(name: str, heats: Mapping[int, Heat], bare: Mapping[int, float]) -> list[str]:
    turns = [heat.turn for heat in heats.values()]
    return [
        name,
        brief(middle(turn.rate for turn in turns)),
        str(Ratio.of(_rates(heats), bare)),
        brief(middle(turn.p50 for turn in turns)),
        brief(middle(turn.p99 for turn in turns)),
        str(sum(turn.lost for turn in turns)),
    ]


def _costs(name: str, heats: Mapping[int, Heat]) -> list[str]:
    turns = heats.values()
    busy = middle(heat.spent.cpu["generator"] / heat.turn.seconds for heat in turns)
    return [
        name,
        *(brief(middle(heat.cpu(process) for heat in turns)) for process in ("server", "Redis")),
        brief(middle(heat.per_job(heat.spent.commands) for heat in turns)),
        f"{busy:.0%}",
    ]


def _rates(heats: Mapping[int, Heat]) -> dict[int, float]:
    return {number: heat.turn.rate for number, heat in heats.items()}
