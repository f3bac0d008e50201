"""The hand-off of a no-op job: from the caller that enqueues to the answer in its hands."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from gateway.tools.processes import CannotStart
from tests.bench.contestants import FAST, OURS, PING, RAW, Contestant, slow_contestants
from tests.bench.figures import Ratio, Target, Turn, brief, middle
from tests.bench.pace import Pace, Step
from tests.bench.section import Chart, Section, Table
from tests.bench.stage import Caller, Spent, Stage, spent

CROWD = 64
_ABOUT = f"""\
From the caller that enqueues to the answer in its hands; worker and caller are processes of their own, \
Redis is reached by TCP on loopback and keeps nothing on disk. The contestants take turns, round by round; \
a ratio is of two turns of one round, given as its median and, in brackets, its quartiles. *Alone* is one \
caller, *{CROWD}* are so many closed-loop callers, which fill the machine. A wait of over 2 s is *lost*, \
where the queue lets its callers say so."""
_COSTS = """\
CPU of caller, worker and Redis in µs at 64 callers; Redis commands, those inside scripts and transactions \
included. A *read* is Redis taking what a client has sent: a network round trip. With many callers one \
read can bring the commands of several."""


@dataclass(frozen=True, slots=True)
class Heat:
    """One contestant's turn of a round: alone and in a crowd, each with what it has spent."""

    alone: Turn
    alone_spent: Spent
    crowd: Turn
    crowd_spent: Spent


Heats = Mapping[str, Mapping[int, Heat]]
"""By contestant, then by round."""


def steps(pace: Pace, installed: Mapping[str, Path | str]) -> int:
    """Return how many turns there will be."""
    slow = len(list(slow_contestants(installed)))
    return pace.hand_off_rounds * len(FAST) + slow * len(range(0, pace.hand_off_rounds, pace.slow_every))


def measure(pace: Pace, installed: Mapping[str, Path | str], step: Step) -> Section:
    """Run the rounds; a peer that cannot be installed, or does not work, is absent."""
    slow = list(slow_contestants(installed))
    absent = {name: why for name, why in installed.items() if isinstance(why, str)}
    heats: dict[str, dict[int, Heat]] = defaultdict(dict)
    with Stage() as stage, ExitStack() as running:
        fast = [(one, *running.enter_context(one.start(stage))) for one in FAST]
        for number in range(pace.hand_off_rounds):
            for one, caller, pids in fast:
                heats[one.name][number] = _heat(stage, caller, pids, pace.hand_off_turn)
                step()
            for one in slow if number % pace.slow_every == 0 else ():
                try:
                    with one.start(stage) as (caller, pids):
                        heats[one.name][number] = _heat(stage, caller, pids, pace.slow_turn)
                except CannotStart as error:
                    absent[one.name] = str(error)
                step()
    present = [one for one in (*FAST, *slow) if heats[one.name]]
    return _section(present, heats, [f"{name} is absent: {why}" for name, why in absent.items()])


def _heat(stage: Stage, caller: Caller, pids: Mapping[str, int], seconds: float) -> Heat:
    watched = {**pids, "Redis": stage.valkey.pid}
    caller.turn(seconds=0.05, callers=CROWD)  # connections are made, code is warm
    before = spent(stage, watched)
    alone = caller.turn(seconds=seconds, callers=1)
    between = spent(stage, watched)
    crowd = caller.turn(seconds=seconds, callers=CROWD)
    after = spent(stage, watched)
    return Heat(alone, between - before, crowd, after - between)


def _section(present: Sequence[Contestant], heats: Heats, notes: Sequence[str]) -> Section:
    names = [one.name for one in present]
    ours, raw = heats[OURS.name], heats[RAW.name]
    own_p99 = middle(heat.alone.p99 / heat.alone.p50 for heat in ours.values())
    jobs = [name for name in names if name != PING.name]
    return Section(
        "The hand-off of a no-op job",
        _ABOUT,
        [
            Table(
                ("alone", "p50, ms", ": raw list", "p99, ms", "lost"),
                [_alone(name, heats[name], raw) for name in names],
            ),
            Table(
                (f"{CROWD} callers", "jobs/s", ": raw list", "p50, ms", "p99, ms", "lost"),
                [_crowded(name, heats[name], raw) for name in names],
            ),
            Table(
                ("per job", "commands", "reads", f"at {CROWD}", "caller", "worker", "Redis", "all"),
                [_costs(name, heats[name]) for name in names],
            ),
        ],
        [
            Target("alone: p50 : raw list's", Ratio.of(_each(ours, _p50), _each(raw, _p50)).middle, 1.25),
            Target(
                "64 callers: jobs/s : raw list's",
                Ratio.of(_each(ours, _rate), _each(raw, _rate)).middle,
                2.0,
                at_most=False,
            ),
            Target("alone: p99 : own p50", own_p99, 4.0),
        ],
        [
            Chart(
                "Hand-off of a no-op job, one caller: median",
                "ms, less is better",
                [(name, middle(_each(heats[name], _p50).values())) for name in jobs],
                logarithmic=True,
            ),
            Chart(
                "Hand-off of no-op jobs, 64 callers",
                "jobs/s, more is better",
                [(name, middle(_each(heats[name], _rate).values())) for name in jobs],
                logarithmic=True,
            ),
        ],
        [_COSTS, *notes],
    )


def _alone(name: str, heats: Mapping[int, Heat], raw: Mapping[int, Heat]) -> list[str]:
    return [
        name,
        brief(middle(_each(heats, _p50).values())),
        str(Ratio.of(_each(heats, _p50), _each(raw, _p50))),
        brief(middle(heat.alone.p99 for heat in heats.values())),
        str(sum(heat.alone.lost for heat in heats.values())),
    ]


def _crowded(name: str, heats: Mapping[int, Heat], raw: Mapping[int, Heat]) -> list[str]:
    return [
        name,
        brief(middle(_each(heats, _rate).values())),
        str(Ratio.of(_each(heats, _rate), _each(raw, _rate))),
        brief(middle(heat.crowd.p50 for heat in heats.values())),
        brief(middle(heat.crowd.p99 for heat in heats.values())),
        str(sum(heat.crowd.lost for heat in heats.values())),
    ]


def _costs(name: str, heats: Mapping[int, Heat]) -> list[str]:
    def per_job(part: Callable[[Heat], float], turn: Callable[[Heat], Turn]) -> str:
        return brief(middle(part(heat) / turn(heat).ended for heat in heats.values() if turn(heat).ended))

    def cpu(*processes: str) -> str:
        return per_job(lambda heat: sum(heat.crowd_spent.cpu[one] for one in processes) * 1e6, _crowd)

    return [
        name,
        per_job(lambda heat: heat.crowd_spent.commands, _crowd),
        per_job(lambda heat: heat.alone_spent.reads, lambda heat: heat.alone),
        per_job(lambda heat: heat.crowd_spent.reads, _crowd),
        cpu("caller"),
        cpu("worker"),
        cpu("Redis"),
        cpu("caller", "worker", "Redis"),
    ]


def _each(heats: Mapping[int, Heat], figure: Callable[[Heat], float]) -> dict[int, float]:
    return {number: figure(heat) for number, heat in heats.items()}


def _crowd(heat: Heat) -> Turn:
    return heat.crowd


def _p50(heat: Heat) -> float:
    return heat.alone.p50


def _rate(heat: Heat) -> float:
    return heat.crowd.rate
