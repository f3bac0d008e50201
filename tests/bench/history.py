"""What the history costs: gateways and workers that keep one against those that keep none."""

from tests.bench.callbacks import LIVE, MEMORY
from tests.bench.figures import Ratio, Target, brief, middle
from tests.bench.pace import Pace, Step
from tests.bench.pairs import Heats, open_generator, run_rounds, start_pair
from tests.bench.section import Section, Table
from tests.bench.stage import Stage

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
    with Stage() as stage:
        generator = open_generator(stage)
        pairs = {level: start_pair(stage, level, f'\n[history]\nlevel = "{level}"\n') for level in LEVELS}
        heats = run_rounds(stage, generator, pairs, pace.callback_rounds * 2, pace, step)
        return _section(heats, stage.placement.sentence("the gateway", "all else"))


def _section(heats: Heats, placed: str) -> Section:
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


def _row(heats: Heats, what: str, watched: tuple[str, ...]) -> list[str]:
    """Return the CPU of some processes for each callback, on each level."""
    cpu = {
        level: {number: heat.cpu(*watched) for number, heat in heats[what, level].items()} for level in LEVELS
    }
    ratios = [Ratio.of(cpu[level], cpu["off"]) for level in LEVELS[1:]]
    named = what if watched == _WATCHED else f"{what}: {watched[0]} alone"
    return [named, *(brief(middle(cpu[level].values())) for level in LEVELS), *map(str, ratios)]
