"""The commands that show how a deployment stands."""

import asyncio
import sys
import time
from pathlib import Path

import click
import msgspec
import uvloop

from gateway.cli.common import config_option, data_option, die_of_interrupts, load, redis_url
from gateway.declared.catalog import Catalog

# ruff: noqa: PLC0415 - imports inside the commands: see the package's docstring

NOT_FINE = 1
"""The exit code of ``status`` if somebody should look."""


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, once.")
@click.option("--once", is_flag=True, help="Print once; on a terminal it is refreshed each second.")
@data_option
def status(path: Path, as_json: bool, once: bool, data: Path) -> None:  # noqa: FBT001 - click passes them by name
    """Show lanes, workers, breakers, gateways and Redis; exit 1 if somebody should look."""
    die_of_interrupts()
    catalog = load(path, embedded=True)
    live = sys.stdout.isatty() and not (as_json or once)
    fine = uvloop.run(_show(catalog, redis_url(catalog, data), as_json=as_json, live=live))
    sys.exit(0 if fine else NOT_FINE)


async def _show(catalog: Catalog, url: str, *, as_json: bool, live: bool) -> bool:
    """Print the status, once or each second until Ctrl-C; return whether all is fine."""
    from rich.live import Live

    from gateway.tools.presentation import open_console
    from gateway.tools.status import show, watching

    async with watching(catalog, url) as watch:
        found = await watch.look()
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        elif not live:
            open_console().print(show(found, time.time()))
        else:
            with Live(show(found, time.time()), console=open_console(), auto_refresh=False) as shown:
                while True:
                    await asyncio.sleep(1)
                    shown.update(show(await watch.look(), time.time()), refresh=True)
        return found.fine
