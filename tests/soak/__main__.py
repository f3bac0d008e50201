"""``python -m tests.soak``: jobs through workers that are killed at random, progress, and a verdict."""

import asyncio
import random
import sys
import time
from collections import Counter

import click
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from tests.soak.run import Plan, Progress, soak
from tests.soak.verdict import Seen


@click.command("python -m tests.soak")
@click.option("--jobs", default=100_000, show_default=True, help="At least so many.")
@click.option("--workers", default=4, show_default=True, help="Worker processes at a time.")
@click.option("--kill-every", default=2.0, show_default=True, help="Seconds, in the mean.")
@click.option("--in-flight", default=200, show_default=True, help="Jobs at a time.")
@click.option("--seed", type=int, help="The same moments and victims again; printed at the start.")
def main(*, jobs: int, workers: int, kill_every: float, in_flight: int, seed: int | None) -> None:
    """Push jobs through workers that are killed at random; exit 1 when one of them is not accounted for."""
    console = Console()
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
    sys.exit(1 if seen.faults() else 0)


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
