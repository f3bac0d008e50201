"""The hand-off of a no-op job: from the caller that enqueues to the answer in its hands."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from gateway.tools.processes import CannotStart
from tests.bench.contestants import FAST, OURS, PING, RAW, Contestant, slow_contestants
from tests.bench.figures import Ratio, Target, brief, middle, spread
from tests.bench.meter import Heat, run_heat
from tests.bench.pace import Pace, Step
from tests.bench.section import Chart, Section, Table
from tests.bench.stage import Caller, Stage

CROWD = 64
PROCESSES = ("caller", "worker", "Redis")
_ABOUT = f"""\
A hand-off lasts from the caller that enqueues a job to the answer in its hands. Worker and caller are \
processes of their own. Redis is reached by TCP on loopback and keeps nothing on disk. The contestants \
take turns, round by round. A ratio is of two turns of one round: the median of the rounds and, in \
brackets, the quartiles. *Alone* is one caller. *{CROWD}* are as many callers, each of which asks again \
when it is answered; they fill the machine. A wait of over 2 s is *lost*, if the queue lets its callers \
say so."""
METHOD = """\
CPU is µs per job. The CPU clocks of caller, worker and Redis, user and system time, are read at the begin \
and the end of a turn. The difference is divided by the jobs that were answered. *All* is the sum of the \
three: the median of the rounds and, in brackets, its quartiles."""
_COUNTS = f"""\
Redis commands at {CROWD} callers, with those inside scripts and transactions. A *read* is a network round \
trip: Redis takes the bytes that a client has sent. With many callers one read can bring several commands."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One contestant's two turns of a round: alone and in a crowd."""

    alone: Heat
    crowd: Heat


Pairs = Mapping[int, Pair]
"""By round."""

Contest = Mapping[str, Pairs]
"""By contestant."""


def steps(pace: Pace, installed: Mapping[str, Path | str]) -> int:
    """Return how many turns there will be."""
    slow = len(list(slow_contestants(installed)))
    return pace.hand_off_rounds * len(FAST) + slow * len(range(0, pace.hand_off_rounds, pace.slow_every))


def measure(pace: Pace, installed: Mapping[str, Path | str], step: Step) -> Section:
    """Run the rounds; a peer that cannot be installed, or does not work, is absent."""
    slow = list(slow_contestants(installed))
    absent = {name: why for name, why in installed.items() if isinstance(why, str)}
    contest: dict[str, dict[int, Pair]] = defaultdict(dict)
    with Stage() as stage, ExitStack() as running:
        stage.placement.keep_together(stage.valkey.pid)
        fast = [(one, *running.enter_context(one.start(stage))) for one in FAST]
        for number in range(pace.hand_off_rounds):
            for one, caller, pids in fast:
                contest[one.name][number] = run_pair(stage, caller, pids, pace.hand_off_turn)
                step()
            for one in slow if number % pace.slow_every == 0 else ():
                try:
                    with one.start(stage) as (caller, pids):
                        contest[one.name][number] = run_pair(stage, caller, pids, pace.slow_turn)
                except CannotStart as error:
                    absent[one.name] = str(error)
                step()
    present = [one for one in (*FAST, *slow) if contest[one.name]]
    notes = [f"{name} is absent: {why}" for name, why in absent.items()]
    return section(present, contest, placed(stage), notes)


def placed(stage: Stage) -> str:
    """Return the line that says where the processes of every contestant ran."""
    return stage.placement.sentence("the worker", "caller and Redis") + " The same for every contestant."


def run_pair(stage: Stage, caller: Caller, pids: Mapping[str, int], seconds: float) -> Pair:
    """Have a caller call alone, then in a crowd; raise CannotStart."""
    caller.turn(seconds=0.05, callers=CROWD)  # connections are made, code is warm
    alone = run_heat(stage, caller, pids, seconds=seconds, callers=1)
    return Pair(alone, run_heat(stage, caller, pids, seconds=seconds, callers=CROWD))


def section(present: Sequence[Contestant], contest: Contest, where: str, notes: Sequence[str]) -> Section:
    """Return the section of what was measured, and ``where``."""
    names = [one.name for one in present]
    ours, raw = contest[OURS.name], contest[RAW.name]
    own_p99 = middle(pair.alone.turn.p99 / pair.alone.turn.p50 for pair in ours.values())
    jobs = [name for name in names if name != PING.name]
    cpu = (*PROCESSES, "all", ": raw list")
    return Section(
        "The hand-off of a no-op job",
        f"{_ABOUT}\n\n{where}",
        [
            Table(
                ("alone", "p50, ms", ": raw list", "p99, ms", "lost"),
                [_alone(name, contest[name], raw) for name in names],
            ),
            Table(
                (f"{CROWD} callers", "jobs/s", ": raw list", "p50, ms", "p99, ms", "lost"),
                [_crowded(name, contest[name], raw) for name in names],
            ),
            Table(("CPU, alone", *cpu), [_cpu(name, contest[name], raw, alone) for name in names]),
            Table(
                (f"CPU, {CROWD} callers", *cpu),
                [_cpu(name, contest[name], raw, crowd) for name in names],
            ),
            Table(
                ("per job", "commands", "reads, alone", f"reads, {CROWD} callers"),
                [_counts(name, contest[name]) for name in names],
            ),
        ],
        [
            Target("alone: p50 : raw list's", Ratio.of(each(ours, p50), each(raw, p50)).middle, 1.25),
            Target(
                "64 callers: jobs/s : raw list's",
                Ratio.of(each(ours, rate), each(raw, rate)).middle,
                2.0,
                at_most=False,
            ),
            Target("alone: p99 : own p50", own_p99, 4.0),
        ],
        [
            Chart(
                "Hand-off of a no-op job, one caller: median",
                "ms, less is better",
                [(name, middle(each(contest[name], p50).values())) for name in jobs],
                logarithmic=True,
            ),
            Chart(
                "Hand-off of no-op jobs, 64 callers",
                "jobs/s, more is better",
                [(name, middle(each(contest[name], rate).values())) for name in jobs],
                logarithmic=True,
            ),
        ],
        [METHOD, _COUNTS, *notes],
    )


def _alone(name: str, pairs: Pairs, raw: Pairs) -> list[str]:
    turns = [pair.alone.turn for pair in pairs.values()]
    return [
        name,
        brief(middle(turn.p50 for turn in turns)),
        str(Ratio.of(each(pairs, p50), each(raw, p50))),
        brief(middle(turn.p99 for turn in turns)),
        str(sum(turn.lost for turn in turns)),
    ]


def _crowded(name: str, pairs: Pairs, raw: Pairs) -> list[str]:
    turns = [pair.crowd.turn for pair in pairs.values()]
    return [
        name,
        brief(middle(turn.rate for turn in turns)),
        str(Ratio.of(each(pairs, rate), each(raw, rate))),
        brief(middle(turn.p50 for turn in turns)),
        brief(middle(turn.p99 for turn in turns)),
        str(sum(turn.lost for turn in turns)),
    ]


def _cpu(name: str, pairs: Pairs, raw: Pairs, of: Callable[[Pair], Heat]) -> list[str]:
    heats = [of(pair) for pair in pairs.values()]

    def whole(pair: Pair) -> float:
        return of(pair).cpu()

    return [
        name,
        *(brief(middle(heat.cpu(process) for heat in heats)) for process in PROCESSES),
        spread(heat.cpu() for heat in heats),
        str(Ratio.of(each(pairs, whole), each(raw, whole))),
    ]


def _counts(name: str, pairs: Pairs) -> list[str]:
    return [
        name,
        brief(middle(pair.crowd.per_job(pair.crowd.spent.commands) for pair in pairs.values())),
        brief(middle(pair.alone.per_job(pair.alone.spent.reads) for pair in pairs.values())),
        brief(middle(pair.crowd.per_job(pair.crowd.spent.reads) for pair in pairs.values())),
    ]


def each(pairs: Pairs, figure: Callable[[Pair], float]) -> dict[int, float]:
    """Return a figure of every round."""
    return {number: figure(pair) for number, pair in pairs.items()}


def alone(pair: Pair) -> Heat:
    """Return the turn of the one caller."""
    return pair.alone


def crowd(pair: Pair) -> Heat:
    """Return the turn of the crowd."""
    return pair.crowd


def p50(pair: Pair) -> float:
    """Return the median of the one caller, in ms."""
    return pair.alone.turn.p50


def rate(pair: Pair) -> float:
    """Return the jobs per second of the crowd."""
    return pair.crowd.turn.rate
