"""The cost of a worker that has nothing to do."""

import time

from tests.bench.configuration import configuration
from tests.bench.contestants import worker_command
from tests.bench.figures import Target, brief
from tests.bench.meter import Meter
from tests.bench.pace import Pace, Step
from tests.bench.section import Section, Table
from tests.bench.stage import Stage, wait_for

LANES = (1, 4)
_ABOUT = """\
A worker process without jobs: the Redis commands that it sends, those inside its scripts included, and \
its share of one core."""


def steps(_: Pace) -> int:
    """Return how many turns there will be."""
    return len(LANES)


def measure(pace: Pace, step: Step) -> Section:
    """Watch a worker with one lane, then one with several; raise CannotStart."""
    measured = {}
    for lanes in LANES:
        measured[lanes] = _watch(lanes, pace.idle)
        step()
    commands, cpu = measured[1]
    return Section(
        "An idle worker",
        _ABOUT,
        [
            Table(
                ("lanes", "Redis commands/s", "per lane", "CPU", "per lane"),
                [
                    [str(n), brief(commands), brief(commands / n), f"{cpu:.2%}", f"{cpu / n:.2%}"]
                    for n, (commands, cpu) in measured.items()
                ],
            )
        ],
        [
            Target("one lane: Redis commands/s", commands, 3.0),
            Target("one lane: % of a core", cpu * 100, 0.5),
        ],
    )


def _watch(lanes: int, seconds: float) -> tuple[float, float]:
    """Return an idle worker's commands per second and its share of a core."""
    with Stage() as stage:
        text = configuration(stage.url, "bench", more_lanes=lanes - 1)
        worker = stage.start(worker_command(stage.write("idle.toml", text)))
        wait_for(lambda: any(stage.redis.scan_iter("*:health-check")), "the worker")
        time.sleep(1)  # what happens once, at the start, is over
        meter, begun = Meter(stage, {"worker": worker.pid}), time.monotonic()
        time.sleep(seconds)
        used, took = meter.read(), time.monotonic() - begun
        return used.commands / took, used.cpu["worker"] / took
