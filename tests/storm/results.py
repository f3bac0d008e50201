"""The tallies as tables, targets and bars."""

from collections.abc import Mapping, Sequence
from math import isnan, nan

from tests.bench.figures import Target, brief
from tests.bench.section import Chart, Section, Table
from tests.storm.contestants import OURS
from tests.storm.judging import PATIENCE
from tests.storm.scenarios import Scenario
from tests.storm.tally import Tally, percent

Tallies = Mapping[str, Tally]
"""What came of each contestant in one scenario."""

_WORTH = ("", "in time", "right", "asked before", "of them right", "code 0", "blank", "foreign")
_COSTS = ("", "p50, ms", "p99, ms", "worst, ms", "late, ms", "CRM calls", "restarts", "plays")


def section(scenario: Scenario, tallies: Tallies) -> Section:
    """Return a scenario's table and bars."""
    return Section(
        scenario.name,
        scenario.about,
        [
            Table(_WORTH, [_worth(name, tally) for name, tally in tallies.items()]),
            Table(_COSTS, [_costs(name, tally) for name, tally in tallies.items()]),
        ],
        charts=[
            Chart(
                scenario.name,
                "% of callbacks with every variable right",
                [(name, 100 * tally.share(tally.right)) for name, tally in tallies.items()],
            )
        ],
    )


def _worth(name: str, tally: Tally) -> Sequence[str]:
    return [
        name,
        *(percent(tally.share(count)) for count in (tally.answered, tally.right)),
        f"{tally.known:,}",
        percent(tally.known_share),
        percent(tally.share(tally.good)),
        str(tally.blank),
        str(tally.foreign),
    ]


def _costs(name: str, tally: Tally) -> Sequence[str]:
    worst = tally.ms(1.0)
    return [
        name,
        *(brief(tally.ms(share)) for share in (0.5, 0.99)),
        "gave up" if worst >= PATIENCE * 1000 else brief(worst),
        brief(tally.late * 1000),
        brief(tally.calls_each),
        str(tally.restarts),
        str(tally.plays),
    ]


def targets(storm: Mapping[str, Tallies]) -> list[Target]:
    """Return the promises, each with the scenario in which it was kept worst."""
    ours = {name: tallies[OURS] for name, tallies in storm.items() if OURS in tallies}
    silent = {name: len(tally.took) - tally.answered for name, tally in ours.items()}
    worst = {name: tally.ms(1.0) for name, tally in ours.items()}
    forgotten = {name: 100 * (1 - tally.known_share) for name, tally in ours.items()}
    calls = {name: _ratio(tallies) for name, tallies in storm.items() if OURS in tallies}
    false = {name: tally.foreign + tally.blank for name, tally in ours.items()}
    return [
        _most("callbacks not answered within 2 s", silent, 0),
        _most("worst reply, ms", worst, 1650),
        _most("asked before, yet not every variable right, %", forgotten, 0.1),
        _most("CRM calls : those of the thriftiest other", calls, 1),
        _most("callbacks with a foreign or a blank variable", false, 0),
    ]


def _ratio(tallies: Tallies) -> float:
    others = [tally.calls_each for name, tally in tallies.items() if name != OURS]
    return tallies[OURS].calls_each / min(others) if others else nan


def _most(promise: str, values: Mapping[str, float], limit: float) -> Target:
    where = max(values, key=lambda name: (isnan(values[name]), values[name]), default="nowhere")
    return Target(f"{promise} ({where})", values.get(where, nan), limit)
