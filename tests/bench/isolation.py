"""Whether a backend that is slow holds up another one in the same worker process."""

import sys
from collections.abc import Mapping

from gateway.tools.processes import deskgate
from tests.bench.configuration import configuration
from tests.bench.contestants import worker_command
from tests.bench.figures import Ratio, Target, Turn, brief, middle
from tests.bench.pace import Pace, Step
from tests.bench.section import Section, Table
from tests.bench.stage import Caller, Stage, free_port, wait_for_port

BLOCKS, TURNS, CALLERS, SLOW = 4, 6, 8, 20
_ABOUT = f"""\
One worker process with two lanes. {CALLERS} callers ask one of them, in turns of 0.6 s: {TURNS} turns \
with the other lane's {SLOW} slots all full of calls that take 5 s, and {TURNS} turns without."""

_SLOW = """
[backends.slow]
kind = "python"
concurrency = 20
attempt_timeout = "6s"

[lookups.slow]
backend = "slow"
python = "tests.bench.noop:five_seconds"
inputs = ["SystemSessionID"]
variables = { slow = "answer" }
fresh = "0s"

[[routes]]
when = { staticKey = "slow" }
lookups = ["slow"]
"""


def steps(_: Pace) -> int:
    """Return how many turns there will be."""
    return BLOCKS * TURNS * 2


def measure(_: Pace, step: Step) -> Section:
    """Run the turns; raise CannotStart."""
    alone: dict[int, Turn] = {}
    beside: dict[int, Turn] = {}
    with Stage() as stage:
        load = [sys.executable, "-m", "tests.bench.http_load"]
        generator, other = stage.caller(load), stage.caller(load)
        port = free_port()
        config = stage.write(f"{port}.toml", configuration(stage.url, "apart", listen=port) + _SLOW)
        front, worker = (
            stage.start(deskgate("gateway", "-c", str(config))),
            stage.start(worker_command(config)),
        )
        for process in (front, worker):
            stage.placement.keep_apart(process.pid)
        for pid in (generator.pid, other.pid, stage.valkey.pid):
            stage.placement.keep_together(pid)
        wait_for_port(port)
        generator.turn(seconds=1.0, callers=CALLERS, port=port, key="noop", sessions=None)
        for block in range(BLOCKS):
            other.tell(seconds=4.5, callers=SLOW, port=port, key="slow", sessions=None, only=SLOW)
            _turns(generator, port, beside, block, step)
            other.hear(30.0)
            generator.turn(
                seconds=5.0, callers=1, port=port, key="kept", sessions=1
            )  # until the last has ended
            _turns(generator, port, alone, block, step)
        placed = stage.placement.sentence("gateway and worker", "callers and Redis")
    return _section(alone, beside, placed)


def _turns(generator: Caller, port: int, into: dict[int, Turn], block: int, step: Step) -> None:
    for number in range(TURNS):
        order = {"callers": CALLERS, "port": port, "key": "noop", "sessions": None}
        into[block * TURNS + number] = generator.turn(seconds=0.6, **order)
        step()


def _section(alone: Mapping[int, Turn], beside: Mapping[int, Turn], placed: str) -> Section:
    rows, targets = [], []
    for name in ("p50", "p99"):
        quiet = {number: getattr(turn, name) for number, turn in alone.items()}
        busy = {number: getattr(turn, name) for number, turn in beside.items()}
        ratio = Ratio.of(busy, quiet)
        rows.append([name, brief(middle(quiet.values())), brief(middle(busy.values())), str(ratio)])
        if name == "p99":
            targets.append(Target("p99 beside calls of 5 s : alone", ratio.middle, 1.1))
    return Section(
        "A slow backend beside another",
        f"{_ABOUT}\n\n{placed}",
        [Table(("of the other lane, ms", "alone", "beside", "ratio"), rows)],
        targets,
    )
