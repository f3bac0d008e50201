"""``python -m tests.storm``: play the scenarios, show, and keep the results of a whole run in ``docs``."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from gateway.tools.processes import CannotStart
from tests.bench import machine, report
from tests.bench.section import Section
from tests.bench.stage import ROOT
from tests.storm import results
from tests.storm.contestants import CONTESTANTS
from tests.storm.introduction import introduction
from tests.storm.pace import PACES
from tests.storm.run import run
from tests.storm.scenarios import SCENARIOS, Scenario
from tests.storm.tally import MOST_PLAYS, Tally


@click.command("python -m tests.storm")
@click.option(
    "--quick", is_flag=True, help="A tenth: six minutes instead of forty; docs are left as they are."
)
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    type=click.Choice([one.name for one in SCENARIOS]),
    help="Only this; may be repeated.",
)
@click.option(
    "--contestant",
    "contestants",
    multiple=True,
    type=click.Choice(CONTESTANTS),
    help="Only this; may be repeated.",
)
@click.option("--keep", is_flag=True, help="Write docs/storm.md from a quick run, too.")
@click.option(
    "--logs", type=click.Path(path_type=Path, file_okay=False), help="Keep what processes write here."
)
def main(
    *, quick: bool, keep: bool, scenarios: tuple[str, ...], contestants: tuple[str, ...], logs: Path | None
) -> None:
    """Play the scenarios and print the results; a whole run writes docs/storm.md, too."""
    pace = "quick" if quick else "whole"
    console = Console()
    facts = machine.describe("tests.storm", sys.argv[1:])
    for name, value in facts.items():
        console.print(f"[dim]{name}: {value}", highlight=False)
    begun = time.monotonic()
    chosen = [one for one in SCENARIOS if not scenarios or one.name in scenarios]
    names = [one for one in CONTESTANTS if not contestants or one in contestants]
    storm: dict[str, dict[str, Tally]] = {}
    for scenario in chosen:
        storm[scenario.name] = _play(console, scenario, names, pace, logs)
        report.show(console, results.section(scenario, storm[scenario.name]))
    for scenario in chosen * (MOST_PLAYS - 1):  # later on, the machine may be calmer
        tallies = storm[scenario.name]
        if disturbed := [name for name in names if tallies[name].disturbed]:
            for name, again in _play(console, scenario, disturbed, pace, logs).items():
                tallies[name] = tallies[name].or_calmer(again)
            report.show(console, results.section(scenario, tallies))
    sections = [results.section(scenario, storm[scenario.name]) for scenario in chosen]
    sections[0] = replace(sections[0], targets=results.targets(storm))
    report.show_targets(console, sections)
    console.print(f"[dim]{time.monotonic() - begun:.0f} s", highlight=False)
    if (keep or not quick) and not scenarios and not contestants:
        _write(pace, facts, sections, console)


def _play(
    console: Console, scenario: Scenario, contestants: list[str], pace: str, logs: Path | None
) -> dict[str, Tally]:
    """Play one scenario once with each contestant in turn, progress shown."""
    tallies = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        for contestant in contestants:
            task = progress.add_task(f"{scenario.name}: {contestant}", total=PACES[pace].length)
            place = logs / scenario.name / contestant if logs else None

            def elapsed(seconds: float, task: TaskID = task) -> None:
                progress.update(task, completed=seconds)

            try:
                tallies[contestant] = run(scenario, contestant, pace, elapsed, place)
            except CannotStart as error:
                msg = f"{contestant}: {error}"
                raise click.ClickException(msg) from None
    return tallies


def _write(pace: str, facts: machine.Machine, sections: list[Section], console: Console) -> None:
    report.write(ROOT / "docs" / "storm.md", introduction(PACES[pace]), facts, sections)
    console.print("written: docs/storm.md, docs/storm.svg")


if __name__ == "__main__":
    main()
