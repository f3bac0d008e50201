"""The results, for the terminal and as Markdown."""

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table as Grid

from tests.bench.figures import Target, brief
from tests.bench.machine import Machine
from tests.bench.picture import draw
from tests.bench.section import Section, Table


def show(console: Console, section: Section) -> None:
    """Print a section."""
    console.rule(section.title)
    console.print(Markdown(section.about))
    for table in section.tables:
        grid = Grid(box=SIMPLE, padding=(0, 1, 0, 0))
        for number, column in enumerate(table.columns):
            grid.add_column(column, justify="right" if number else "left")
        for row in table.rows:
            grid.add_row(*row)
        console.print(grid)
    for note in section.notes:
        console.print(Markdown(note))


def show_targets(console: Console, sections: Sequence[Section]) -> None:
    """Print every target and whether it was reached."""
    console.rule("Targets")
    grid = Grid("target", "limit", "here", "", box=SIMPLE)
    for target in _targets(sections):
        style = "green" if target.reached else "yellow"
        grid.add_row(*_target(target), style=style)
    console.print(grid)


def write(document: Path, introduction: str, machine: Machine, sections: Sequence[Section]) -> None:
    """Write a Markdown document, and its picture beside it."""
    picture = document.with_suffix(".svg")
    document.parent.mkdir(parents=True, exist_ok=True)
    head = f"{introduction}\n![Bar charts of the tables below]({picture.name})\n"
    document.write_text(_markdown(head, machine, sections), encoding="utf-8")
    charts = [chart for section in sections for chart in section.charts]
    picture.write_text(draw(charts), encoding="utf-8")


def _markdown(head: str, machine: Machine, sections: Sequence[Section]) -> str:
    parts = [head, _lines(machine)]
    rows = [_target(target) for target in _targets(sections)]
    parts += ["## Targets\n", _table(Table(("target", "limit", "here", ""), rows))]
    for section in sections:
        parts += [f"## {section.title}\n", section.about + "\n"]
        parts += [_table(table) for table in section.tables]
        parts += [note + "\n" for note in section.notes]
    return "\n".join(parts)


def _lines(machine: Machine) -> str:
    return "".join(f"- {name}: {value}\n" for name, value in machine.items())


def _table(table: Table) -> str:
    lines = [table.columns, ["---", *("---:" for _ in table.columns[1:])], *table.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _targets(sections: Sequence[Section]) -> list[Target]:
    return [target for section in sections for target in section.targets]


def _target(target: Target) -> tuple[str, str, str, str]:
    sign = "≤" if target.at_most else "≥"
    verdict = "reached" if target.reached else "not reached"
    return target.promise, f"{sign} {target.limit:g}", brief(target.value), verdict
