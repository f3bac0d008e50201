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
_WATCHED = ("gateway", "worker", "Redis")


def steps(pace: Pace) -> int:
    """Return how many turns there will be."""
    return pace.callback_rounds * 2 * 2 * len(LEVELS)


def measure(pace: Pace, step: Step) -> Section:
    """Run the rounds; raise CannotStart."""
    heats: dict[tuple[str, str], dict[int, Heat]] = defaultdict(dict)
    with Stage() as stage:
        generator = stage.caller([sys.executable, "-m", "tests.bench.http_load"])
        for pid in (generator.pid, stage.valkey.pid):
            stage.placement.keep_together(pid)
        pairs = {level: _pair(stage, level) for level in LEVELS}
        for number in range(pace.callback_rounds * 2):
            for what in (MEMORY, LIVE):
                for level in LEVELS if number % 2 else reversed(LEVELS):
                    server, worker = pairs[level]
                    key, sessions = ("kept", 1) if what == MEMORY else ("noop", None)
                    order = Server(what, server.pid, server.port, key, sessions).order()
                    watched = {"gateway": server.pid, "worker": worker}
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
    spent = [_row(heats, MEMORY, _WATCHED), _row(heats, LIVE, _WATCHED)]
    spent += [_row(heats, LIVE, (one,)) for one in _WATCHED]
    rates = {
        level: {number: heat.turn.rate for number, heat in heats[LIVE, level].items()} for level in LEVELS
    }
    ratios = [Ratio.of(rates[level], rates["off"]) for level in LEVELS[1:]]
    rated = [LIVE, *(brief(middle(rates[level].values())) for level in LEVELS), *map(str, ratios)]
    compared = [f"{level} : off" for level in LEVELS[1:]]
    return Section(
        "History",
        f"{_ABOUT}\n\n{placed}",
        [
            Table(("CPU a callback, µs", *LEVELS, *compared), spent),
            Table(("callbacks per second", *LEVELS, *compared), [rated]),
        ],
        [
            Target(
                f"{LIVE}: callbacks per second with the history (base) : without",
                *(ratios[0].middle, 0.97),
                at_most=False,
            )
        ],
    )


def _row(
    heats: Mapping[tuple[str, str], Mapping[int, Heat]], what: str, watched: tuple[str, ...]
) -> list[str]:
    """Return the CPU of some processes for each callback, on each level."""
    cpu = {
        level: {number: heat.cpu(*watched) for number, heat in heats[what, level].items()} for level in LEVELS
    }
    ratios = [Ratio.of(cpu[level], cpu["off"]) for level in LEVELS[1:]]
    named = what if watched == _WATCHED else f"{what}: {watched[0]} alone"
    return [named, *(brief(middle(cpu[level].values())) for level in LEVELS), *map(str, ratios)]
