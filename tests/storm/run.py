"""One contestant in one scenario: started, warmed up, sent the workload, hurt, and judged."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway.tools.processes import CannotStart
from tests.bench.stage import PATIENCE as START_PATIENCE
from tests.bench.stage import Caller, free_port
from tests.storm import contestants
from tests.storm.judging import Heard, judge
from tests.storm.pace import PACES
from tests.storm.place import Place
from tests.storm.scenarios import Deeds, Scenario
from tests.storm.tally import Tally
from tests.storm.workload import SEED, workload

_GENERATOR = [sys.executable, "-m", "tests.storm.generator"]
_LOOK_EVERY = 0.1
_WARM_UPS = 10

Elapsed = Callable[[float], None]
"""Told how many seconds of a run are over, so that progress can be shown."""


def run(scenario: Scenario, contestant: str, pace_name: str, elapsed: Elapsed, logs: Path | None) -> Tally:
    """Play a scenario once; return what came of it. Raise CannotStart."""
    pace = PACES[pace_name]
    callbacks = workload(pace)
    with Place(logs) as place, Caller(_GENERATOR, place.directory) as generator:
        port = free_port()
        contestants.start(contestant, place, port, pace)
        _warm_up(generator, pace_name, port)
        place.play(scenario.script(pace))
        generator.tell(pace=pace_name, port=port, warm_up=False)
        _weather(generator, place, scenario.deeds(pace), elapsed)
        heard = _heard(generator)
        calls, restarts = place.calls(), place.restarts
    if logs is not None:
        (logs / "heard.json").write_bytes(msgspec.json.encode(heard))
    verdicts = judge(callbacks, heard, SEED, pace.fresh)
    return Tally.of(verdicts, calls, max((one.late for one in heard), default=0.0), restarts)


def _warm_up(generator: Caller, pace: str, port: int) -> None:
    """Send callbacks to a prompt CRM until all of them are answered well; raise CannotStart."""
    for _ in range(_WARM_UPS):
        generator.tell(pace=pace, port=port, warm_up=True)
        if all('"ErrorCode":0' in one.body.replace(" ", "") for one in _heard(generator)):
            return
    msg = "it never answered well"
    raise CannotStart(msg)


def _heard(generator: Caller) -> list[Heard]:
    return msgspec.convert(generator.hear(START_PATIENCE)["heard"], list[Heard])


def _weather(generator: Caller, place: Place, deeds: Deeds, elapsed: Elapsed) -> None:
    """Until the generator is done, do each deed at its time, and keep everything up as a supervisor would."""
    begun = time.monotonic()
    due = iter(sorted(deeds, key=lambda deed: deed[0]))
    following = next(due, None)
    while not generator.has_answered(_LOOK_EVERY):
        now = time.monotonic() - begun
        elapsed(now)
        if following is not None and following[0] <= now:
            place.do(following[1])
            following = next(due, None)
        place.keep_up()
