"""``make fuzz``: a million random requests to a gateway of its own."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import click

from gateway.tools.processes import Valkey
from tests.desk import DESK_PATIENCE, Desk, Place
from tests.fuzz.run import Result, fuzz, troubles
from tests.fuzz.test_fuzz import BUDGET, SETTINGS
from tests.processes import GatewayProcess


@click.command()
@click.option("--count", type=click.IntRange(min=1), default=1_000_000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same requests.")
def main(count: int, seed: int) -> None:
    """Send random requests to a gateway; exit 1 if something else than envelopes and closes comes back."""
    sys.exit(asyncio.run(run(count, seed)))


async def run(count: int, seed: int) -> int:
    """Send so many, show the progress and a table; return the exit code."""
    begun = time.monotonic()

    def note(number: int) -> None:
        if number % 10_000 == 0:
            rate = number / max(0.001, time.monotonic() - begun)
            click.echo(f"\r{number:>9,} of {count:,}, {rate:,.0f} per second ", nl=False, err=True)

    with tempfile.TemporaryDirectory() as directory, Valkey() as valkey:
        place = Place(valkey.url, "fuzz", "http://127.0.0.1:1")
        config = Path(directory) / "deskgate.toml"
        config.write_text(place.config(SETTINGS, budget=f"{BUDGET}s", redis_timeout="300ms"))
        async with aiohttp.ClientSession() as http, GatewayProcess(config, place) as front:
            here = Desk(http).at(await front.address())
            result = await fuzz(here, front.pid, count, seed, note)
            code = await front.end()
    click.echo("\r", err=True)
    found = troubles(front.lines)
    show(result, len(found), code)
    return int(bool(found or code or max(result.honest) >= DESK_PATIENCE))


def show(result: Result, found: int, code: int) -> None:
    """Print what came back."""
    for status, number in sorted(result.answers.items()):
        click.echo(f"HTTP {status}                   {number:>10,}")
    click.echo(f"closed without an answer   {result.silent:>10,}")
    honest = sorted(result.honest)
    click.echo(f"honest callbacks           {len(honest):>10,}")
    click.echo(f"  p50, p99, worst          {_ms(honest, 0.5)}, {_ms(honest, 0.99)}, {_ms(honest, 1)} ms")
    first, last = (
        megabytes / 1e6 for megabytes in (result.memory[len(result.memory) // 10], result.memory[-1])
    )
    click.echo(f"memory, after a tenth      {first:>10.1f} MB, at the end {last:.1f} MB")
    click.echo(f"bugs in the log            {found:>10,}")
    click.echo(f"exit code of the gateway   {code:>10}")


def _ms(sorted_times: list[float], share: float) -> str:
    return f"{sorted_times[int((len(sorted_times) - 1) * share)] * 1000:.1f}"


main()
