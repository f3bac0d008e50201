"""Pairs of a gateway and its worker that differ in one thing, called in turns."""

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence

from gateway.tools.processes import deskgate
from tests.bench.callbacks import CONNECTIONS, LIVE, MEMORY, Server
from tests.bench.configuration import configuration
from tests.bench.contestants import worker_command
from tests.bench.meter import Heat, run_heat
from tests.bench.pace import Pace, Step
from tests.bench.stage import Caller, Stage, free_port, wait_for_port

Pair = tuple[Server, int]
"""A gateway, and the process id of its worker."""

Heats = Mapping[tuple[str, str], Mapping[int, Heat]]
"""By callbacks (from memory, live) and pair: a heat for each round."""


def open_generator(stage: Stage) -> Caller:
    """Return what sends callbacks, on the core that is not the gateways'."""
    generator = stage.caller([sys.executable, "-m", "tests.bench.http_load"])
    for pid in (generator.pid, stage.valkey.pid):
        stage.placement.keep_together(pid)
    return generator


def start_pair(stage: Stage, name: str, more: str = "", program: Sequence[str] = ()) -> Pair:
    """Start a gateway and its worker under a prefix of their own.

    ``more`` is added to their configuration; ``program`` runs in the place of deskgate.
    """
    port = free_port()
    text = configuration(stage.url, f"pair{port}", listen=port) + more
    config = stage.write(f"{port}.toml", text)
    front, back = deskgate("gateway", "-c", str(config)), worker_command(config)
    if program:
        front, back = [*program, "gateway", "-c", str(config)], [*program, "worker", "-c", str(config)]
    process, worker = stage.start(front), stage.start(back)
    stage.placement.keep_apart(process.pid)
    stage.placement.keep_together(worker.pid)
    wait_for_port(port)
    return Server(name, process.pid, port), worker.pid


def run_rounds(  # noqa: PLR0913, PLR0917 - what a turn needs, and how many there are
    stage: Stage, generator: Caller, pairs: Mapping[str, Pair], rounds: int, pace: Pace, step: Step
) -> Heats:
    """Call each pair in each round, for callbacks from memory and live ones, in changing order."""
    heats: dict[tuple[str, str], dict[int, Heat]] = defaultdict(dict)
    for number in range(rounds):
        for what in (MEMORY, LIVE):
            for name in pairs if number % 2 else reversed(list(pairs)):
                server, worker = pairs[name]
                key, sessions = ("kept", 1) if what == MEMORY else ("noop", None)
                order = Server(what, server.pid, server.port, key, sessions).order()
                watched = {"gateway": server.pid, "worker": worker}
                heats[what, name][number] = run_heat(
                    stage, generator, watched, seconds=pace.callback_turn, callers=CONNECTIONS, **order
                )
                step()
    return heats
