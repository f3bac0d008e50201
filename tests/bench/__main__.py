"""``python -m tests.bench``: measure, show, and keep the results of a whole run in ``docs``."""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.tools.processes import CannotStart
from tests.bench import (
    against,
    callbacks,
    console,
    fleet,
    hand_off,
    history,
    idle,
    installing,
    isolation,
    machine,
    metrics,
    policies,
    report,
    scaling,
)
from tests.bench.pace import QUICK, WHOLE, Pace, Step
from tests.bench.section import Section
from tests.bench.stage import ROOT

Installed = Mapping[str, Path | str]
Part = tuple[Callable[[Pace, Installed], int], Callable[[Pace, Installed, Step], Section]]

_INTRODUCTION = """\
# Benchmark

These are figures, not promises. They were taken in one run on one machine, which others may have used, \
too. Take the ratios, and run `make bench` on your machine. `make bench ARGS="--against DIR"` compares the \
hand-off of this checkout with that of another one, in interleaved turns.
"""

PARTS: Mapping[str, Part] = {
    "hand-off": (hand_off.steps, hand_off.measure),
    "callbacks": (lambda pace, _: callbacks.steps(pace), lambda pace, _, step: callbacks.measure(pace, step)),
    "metrics": (lambda pace, _: metrics.steps(pace), lambda pace, _, step: metrics.measure(pace, step)),
    "history": (lambda pace, _: history.steps(pace), lambda pace, _, step: history.measure(pace, step)),
    "console": (lambda pace, _: console.steps(pace), lambda pace, _, step: console.measure(pace, step)),
    "scaling": (lambda pace, _: scaling.steps(pace), lambda pace, _, step: scaling.measure(pace, step)),
    "policies": (lambda pace, _: policies.steps(pace), lambda pace, _, step: policies.measure(pace, step)),
    "fleet": (lambda pace, _: fleet.steps(pace), lambda pace, _, step: fleet.measure(pace, step)),
    "isolation": (lambda pace, _: isolation.steps(pace), lambda pace, _, step: isolation.measure(pace, step)),
    "idle": (lambda pace, _: idle.steps(pace), lambda pace, _, step: idle.measure(pace, step)),
}


def _has_interpreter(context: click.Context, _: click.Parameter, checkout: Path | None) -> Path | None:
    if checkout is not None and not against.python_of(checkout).exists():
        msg = f"{against.python_of(checkout)} is not there: run `make check` in that checkout"
        raise click.BadParameter(msg, context)
    return checkout


@click.command("python -m tests.bench")
@click.option("--quick", is_flag=True, help="Two minutes instead of ten; docs are left as they are.")
@click.option(
    "--part", "parts", multiple=True, type=click.Choice(list(PARTS)), help="Only this; may be repeated."
)
@click.option("--peers/--no-peers", default=True, help="Other queues than a raw list.")
@click.option(
    "--against",
    "checkout",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    callback=_has_interpreter,
    help="Only the hand-off, in turns with that of the checkout DIR, run by DIR/.venv/bin/python.",
    metavar="DIR",
)
def main(*, quick: bool, parts: tuple[str, ...], peers: bool, checkout: Path | None) -> None:
    """Measure the hand-off and callbacks, and print the results; a whole run writes docs/bench.md, too."""
    if checkout is not None and set(parts) - {"hand-off"}:
        msg = "--against measures the hand-off alone"
        raise click.UsageError(msg)
    console = Console()
    facts = machine.describe("tests.bench", sys.argv[1:])
    for name, value in facts.items():
        console.print(f"[dim]{name}: {value}", highlight=False)
    pace = QUICK if quick else WHOLE
    if checkout is not None:
        part = (
            lambda pace, _: against.steps(pace),
            lambda pace, _, step: against.measure(checkout, pace, step),
        )
        _measure(console, "hand-off", part, pace, {})
        return
    installed = _peers(console) if peers and (not parts or "hand-off" in parts) else {}
    begun = time.monotonic()
    sections = [_measure(console, name, PARTS[name], pace, installed) for name in parts or PARTS]
    report.show_targets(console, sections)
    console.print(f"[dim]{time.monotonic() - begun:.0f} s", highlight=False)
    if not quick and not parts and peers:
        report.write(ROOT / "docs" / "bench.md", _INTRODUCTION, facts, sections)
        console.print("written: docs/bench.md, docs/bench.svg")


def _peers(console: Console) -> Installed:
    with console.status("installing the peers below build/bench"):
        return installing.install()


def _measure(console: Console, name: str, part: Part, pace: Pace, installed: Installed) -> Section:
    """Measure one part, with its progress shown, and print its section."""
    steps, measure = part
    columns = (TextColumn(name), BarColumn(), TextColumn("{task.percentage:.0f} %"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=steps(pace, installed))
        try:
            section = measure(pace, installed, lambda: progress.advance(task))
        except CannotStart as error:
            msg = f"{name}: {error}"
            raise click.ClickException(msg) from None
    report.show(console, section)
    return section


if __name__ == "__main__":
    main()
