"""More workers, more callers: a lookup that waits 20 ms, with one worker process and with two."""

from collections import defaultdict
from collections.abc import Mapping

from tests.bench.configuration import configuration
from tests.bench.contestants import caller_command, worker_command
from tests.bench.figures import Ratio, Target, Turn, brief, middle
from tests.bench.pace import Pace, Step
from tests.bench.section import Section, Table
from tests.bench.stage import Caller, Stage

CALLERS = (1, 4, 16, 64)
WORKERS = (1, 2)
_ABOUT = """\
Each job's lookup waits 20 ms. Each caller asks again when it is answered. A worker process makes 20 \
lookups at a time, which is 1,000 jobs/s. All processes share the machine's cores. The table has the jobs \
per second, with one worker and with two."""

Key = tuple[int, int]
"""Worker processes and callers."""


def steps(pace: Pace) -> int:
    """Return how many turns there will be."""
    return pace.scaling_rounds * len(CALLERS) * len(WORKERS)


def measure(pace: Pace, step: Step) -> Section:
    """Run the rounds; raise CannotStart."""
    turns: dict[Key, dict[int, Turn]] = defaultdict(dict)
    with Stage() as stage:
        callers = {count: _deployment(stage, count) for count in WORKERS}
        for number in range(pace.scaling_rounds):
            for crowd in CALLERS:
                for count, caller in callers.items():
                    turns[count, crowd][number] = caller.turn(seconds=pace.scaling_turn, callers=crowd)
                    step()
    return _section(turns)


def _deployment(stage: Stage, workers: int) -> Caller:
    """Start so many workers under a prefix of their own, and a caller."""
    prefix = f"workers{workers}"
    config = stage.write(f"{prefix}.toml", configuration(stage.url, prefix))
    for _ in range(workers):
        stage.start(worker_command(config))
    caller = stage.caller(caller_command(config, "nap"))
    caller.warm_up()
    return caller


def _section(turns: Mapping[Key, Mapping[int, Turn]]) -> Section:
    most = max(CALLERS)
    rows = []
    for crowd in CALLERS:
        one, two = (turns[count, crowd] for count in WORKERS)
        row = [str(crowd)]
        for measured in (one, two):
            row += [brief(middle(_rates(measured).values())), brief(middle(t.p50 for t in measured.values()))]
        lost = sum(turn.lost for turn in (*one.values(), *two.values()))
        rows.append([*row, str(Ratio.of(_rates(two), _rates(one))), str(lost)])
    gain = Ratio.of(_rates(turns[2, most]), _rates(turns[1, most])).middle
    columns = ("callers", "1 worker", "p50, ms", "2 workers", "p50, ms", "2 : 1", "lost")
    return Section(
        "More workers, more callers",
        _ABOUT,
        [Table(columns, rows)],
        [Target(f"{most} callers: jobs/s of two workers : one's", gain, 0.9, at_most=False)],
    )


def _rates(turns: Mapping[int, Turn]) -> dict[int, float]:
    return {number: turn.rate for number, turn in turns.items()}
