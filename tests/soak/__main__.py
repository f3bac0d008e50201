"""``python -m tests.soak``: jobs through workers that are killed at random, progress, and a verdict."""

import asyncio
import random
import sys
import time
from collections import Counter

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from gateway.core.errors import Code
from tests.soak.hour.run import run
from tests.soak.run import Plan, Progress, soak
from tests.soak.verdict import Seen


@click.command("python -m tests.soak")
@click.option("--jobs", default=100_000, show_default=True, help="At least so many.")
@click.option("--workers", default=4, show_default=True, help="Worker processes at a time.")
@click.option("--kill-every", default=2.0, show_default=True, help="Seconds, in the mean.")
@click.option("--in-flight", default=200, show_default=True, help="Jobs at a time.")
@click.option("--fault", "seconds", default=20.0, show_default=True, help="Seconds that each fault lasts.")
@click.option("--seed", type=int, help="The same moments and victims again; printed at the start.")
def main(  # noqa: PLR0913 - the options
    *, jobs: int, workers: int, kill_every: float, in_flight: int, seconds: float, seed: int | None
) -> None:
    """Push jobs through workers that are killed at random, then callbacks through every fault in turn.

    Exit 1 when a job is not accounted for, or when a callback is lost, late or wrong. 0 jobs, or faults of 0
    seconds, leave a part out.
    """
    console = Console()
    faults = [*(_push(console, jobs, workers, kill_every, in_flight, seed) if jobs else ())]
    faults += _play(console, seconds) if seconds else ()
    sys.exit(1 if faults else 0)


def _push(  # noqa: PLR0913, PLR0917 - the options
    console: Console, jobs: int, workers: int, kill_every: float, in_flight: int, seed: int | None
) -> list[str]:
    """Run the first part; return its faults."""
    plan = Plan(jobs, workers, kill_every, in_flight, random.randrange(10_000) if seed is None else seed)
    console.print(f"[dim]seed {plan.seed}", highlight=False)
    began = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=jobs)

        def tell(now: Progress) -> None:
            text = f"{now.doing}; {now.kills} killed, {now.failed} failed"
            bar.update(task, completed=now.ended, description=text)

        seen = asyncio.run(soak(plan, tell))
    _show(console, seen, time.monotonic() - began)
    return seen.faults()


def _play(console: Console, seconds: float) -> list[str]:
    """Run the second part; return its faults."""
    with console.status("an hour's callbacks") as status:
        hour = asyncio.run(run(seconds, tell=status.update))
    table = Table("fault", "sent", "in time", "lost", "wrong", "slowest", "codes", box=None)
    for name, tally in hour.tallies.items():
        codes = ", ".join(f"{Code(code).name} {count}" for code, count in tally.codes.most_common())
        counts = (tally.sent, tally.in_time, tally.lost, tally.wrong)
        table.add_row(name, *map(str, counts), f"{tally.slowest * 1000:.0f} ms", codes)
    console.print(table)
    for files, files_now, memory, memory_now in hour.kept:
        told = f"a process began with {files} files and {memory / 1e6:.0f} MB"
        console.print(f"{told}, and ended with {files_now} and {memory_now / 1e6:.0f}", highlight=False)
    for fault in hour.faults():
        console.print(f"[red]{escape(fault)}", highlight=False)
    return hour.faults()


def _show(console: Console, seen: Seen, took: float) -> None:
    failures = Counter(one.code for one in seen.failures)
    again = Counter(one.code for one in seen.again)
    rows = {
        "jobs": f"{seen.ended} in {took:.0f} s",
        "workers killed": f"{len(seen.deaths)}, with {seen.in_hand} lookups begun and not ended",
        "failed": f"{dict(failures)}, of them {seen.unread} that no killed worker had begun",
        "asked again": str(dict(again)),
        "run more than once": str(seen.reruns),
        "latest past a deadline": f"{seen.latest * 1000:.0f} ms",
        "logged by workers": str(dict(seen.events)),
    }
    for name, text in rows.items():
        console.print(f"[bold]{name}[/]: {text}", highlight=False)
    for fault in seen.faults():
        console.print(f"[red]{fault}", highlight=False)
    if not seen.faults():
        console.print("[green]every job is accounted for, and nothing is left behind", highlight=False)


if __name__ == "__main__":
    main()
