"""The hand-off of this checkout and of another one, as before a change, in interleaved turns."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests.bench.contestants import OURS, RAW, Contestant
from tests.bench.figures import Ratio, spread
from tests.bench.hand_off import CROWD, METHOD, Pair, each, p50, placed, rate, run_pair
from tests.bench.machine import commit
from tests.bench.pace import Pace, Step
from tests.bench.section import Section, Table
from tests.bench.stage import ROOT, Stage

_ABOUT = """\
*This* is {this}; *other* is {other} in {place}, run by {python}. Both share one Redis. In every round \
each of them has a turn, one right after the other; each round changes who is first. A figure is the \
median of the rounds and, in brackets, the quartiles; so is the ratio of two turns of one round. The raw \
list has the same code in both. So the distance of its ratios from 1 is the noise of this run, or the \
difference between the packages of the two checkouts."""

_DATABASES = 8
"""From here on, the databases of the other checkout's contestants: they share no key with these."""

_FIGURES: tuple[tuple[str, Callable[[Pair], float]], ...] = (
    ("alone: p50, ms", p50),
    ("alone: CPU, µs", lambda pair: pair.alone.cpu()),
    (f"{CROWD} callers: jobs/s", rate),
    (f"{CROWD} callers: CPU, µs", lambda pair: pair.crowd.cpu()),
)


def python_of(checkout: Path) -> Path:
    """Return the interpreter of a checkout, as ``make`` makes it."""
    return checkout / ".venv" / "bin" / "python"


def steps(pace: Pace) -> int:
    """Return how many turns there will be."""
    return pace.hand_off_rounds * 4


def measure(checkout: Path, pace: Pace, step: Step) -> Section:
    """Run the rounds; raise CannotStart."""
    this = (RAW, OURS)
    other = [_elsewhere(one, checkout) for one in this]
    measured: dict[Contestant, dict[int, Pair]] = defaultdict(dict)
    with Stage() as stage, ExitStack() as running:
        stage.placement.keep_together(stage.valkey.pid)
        started = [
            (one, *running.enter_context(one.start(stage)))
            for pair in zip(this, other, strict=True)
            for one in pair
        ]
        for number in range(pace.hand_off_rounds):
            for one, caller, pids in reversed(started) if number % 2 else started:
                measured[one][number] = run_pair(stage, caller, pids, pace.hand_off_turn)
                step()
    tables = [
        Table(
            (name, "this", "other", "this : other"),
            [
                _row(ours.name, each(measured[ours], figure), each(measured[theirs], figure))
                for ours, theirs in zip(this, other, strict=True)
            ],
        )
        for name, figure in _FIGURES
    ]
    about = _ABOUT.format(
        this=commit(ROOT), other=commit(checkout), place=checkout, python=python_of(checkout)
    )
    return Section(
        "The hand-off, this checkout and another one",
        f"{about}\n\n{placed(stage)}",
        tables,
        notes=[METHOD],
    )


def _row(name: str, ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[str]:
    return [name, spread(ours.values()), spread(theirs.values()), str(Ratio.of(ours, theirs))]


def _elsewhere(one: Contestant, checkout: Path) -> Contestant:
    """Return the same contestant, run from another checkout by the interpreter of that one."""
    return replace(one, database=one.database + _DATABASES, python=str(python_of(checkout)), root=checkout)
