"""What the history costs: gateways and workers that keep one against those that keep none."""

import sys
from collections import defaultdict
from collections.abc import Mapping

from gateway.tools.processes import deskgate
from tests.bench.callbacks import CONNECTIONS, LIVE, MEMORY, Server
from tests.bench.configuration import configuration
from tests.bench.contestants import worker_command
from tests.bench.figures import Ratio, Target, brief, middle
from tests.bench.meter import Heat, run_heat
from tests.bench.pace import Pace, Step
from tests.bench.section import Section, Table
from tests.bench.stage import Stage, free_port, wait_for_port

LEVELS = ("off", "base", "values")
_ABOUT = """\
Pairs of gateway and worker with `history.level` off, base and values, each pair with keys of its own on one \
Redis. Callbacks as above, in turns; CPU of gateway, worker and Redis for each callback."""
_WATCHED = ("gateway", "worker", "redis")


def steps(pace: Pace) -> int:
    """Return how many turns there will be."""
    return pace.callback_rounds * 2 * len(LEVELS)


def measure(pace: Pace, step: Step) -> Section:
    """Run the rounds; raise CannotStart."""
    heats: dict[tuple[str, str], dict[int, Heat]] = defaultdict(dict)
    with Stage() as stage:
        generator = stage.caller([sys.executable, "-m", "tests.bench.http_load"])
        for pid in (generator.pid, stage.valkey.pid):
            stage.placement.keep_together(pid)
        pairs = {level: _pair(stage, level) for level in LEVELS}
        for number in range(pace.callback_rounds):
            for what in (MEMORY, LIVE):
                for level in LEVELS if number % 2 else reversed(LEVELS):
                    server, worker = pairs[level]
                    key, sessions = ("kept", 1) if what == MEMORY else ("noop", None)
                    order = Server(what, server.pid, server.port, key, sessions).order()
                    watched = {"gateway": server.pid, "worker": worker, "redis": stage.valkey.pid}
                    seconds = pace.callback_turn
                    heats[what, level][number] = run_heat(
                        stage, generator, watched, seconds=seconds, callers=CONNECTIONS, **order
                    )
                    step()
    return _section(heats, stage.placement.sentence("the gateway", "all else"))


def _pair(stage: Stage, level: str) -> tuple[Server, int]:
    """Start a gateway and its worker under a prefix of their own; return it and the worker's pid."""
    port = free_port()
    text = configuration(stage.url, f"h{port}", listen=port) + f'\n[history]\nlevel = "{level}"\n'
    config = stage.write(f"{port}.toml", text)
    process, worker = stage.start(deskgate("gateway", "-c", str(config))), stage.start(worker_command(config))
    stage.placement.keep_apart(process.pid)
    stage.placement.keep_together(worker.pid)
    wait_for_port(port)
    return Server(level, process.pid, port), worker.pid


def _section(heats: Mapping[tuple[str, str], Mapping[int, Heat]], placed: str) -> Section:
    rows, targets = [], []
    parts = ((MEMORY, _WATCHED), (LIVE, _WATCHED), *((LIVE, (one,)) for one in _WATCHED))
    for what, watched in parts:
        cpu = {
            level: {number: heat.cpu(*watched) for number, heat in heats[what, level].items()}
            for level in LEVELS
        }
        ratios = {level: Ratio.of(cpu[level], cpu["off"]) for level in LEVELS[1:]}
        figures = [brief(middle(cpu[level].values())) for level in LEVELS]
        named = what if watched == _WATCHED else f"{what}: {watched[0]} alone"
        rows.append([named, *figures, *map(str, ratios.values())])
        if what == LIVE and watched == _WATCHED:
            targets.append(
                Target(f"{what}: CPU with the history (base) : without", ratios["base"].middle, 1.03)
            )
    heading = ("CPU a callback, µs", *LEVELS, *(f"{level} : off" for level in LEVELS[1:]))
    return Section("History", f"{_ABOUT}\n\n{placed}", [Table(heading, rows)], targets)
