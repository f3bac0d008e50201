"""The commands that show how a deployment stands."""

import asyncio
import signal
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
"""The exit code of ``status`` if somebody should look, and of ``logs`` if no line fits."""


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
    from gateway.tools.status.look import watching
    from gateway.tools.status.show import show

    async with watching(catalog, url) as watch:
        found = await watch.look()
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(found)))
        elif not live:
            open_console().print(show(found, time.time()))
        else:
            with Live(show(found, time.time()), console=open_console(), auto_refresh=False) as shown:
                while True:
                    await asyncio.sleep(1)
                    shown.update(show(await watch.look(), time.time()), refresh=True)
        return found.fine


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with what is added to FILE.")
@click.option("--session", help="Only this SystemSessionID.")
@click.option("--user", help="Only this SystemClientUserID.")
@click.option("--trace", metavar="ID", help="Only this trace_id: a callback, and the calls made for it.")
@click.option("--code", metavar="CODE", help="Only this code, a number or a name: of a reply or a lookup.")
@click.option("--lookup", metavar="NAME", help="Only this lookup.")
@click.option("--event", metavar="NAME", help="Only this event.")
@click.option(
    "--level", type=click.Choice(["debug", "info", "warning", "error"]), help="This level or above."
)
@click.option("--slow", metavar="TIME", help="Only what took so long, such as 1s or 800ms.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines as they are.")
def logs(  # noqa: PLR0913, PLR0917 - one parameter an option
    file: Path | None,
    following: bool,  # noqa: FBT001 - click passes it by name
    session: str | None,
    user: str | None,
    trace: str | None,
    code: str | None,
    lookup: str | None,
    event: str | None,
    level: str | None,
    slow: str | None,
    as_json: bool,  # noqa: FBT001 - click passes it by name
) -> None:
    """Read log lines for people: of FILE, or of standard input; exit 1 if no line fits."""
    from gateway.core.units import parse_duration
    from gateway.tools.presentation import open_console
    from gateway.tools.reading import Wanted, choose, doubts, follow, show

    if following and file is None:
        msg = "--follow needs a FILE; a pipe goes on by itself"
        raise click.UsageError(msg)
    try:
        slowest = None if slow is None else parse_duration(slow)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    die_of_interrupts()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # "| head" ends it
    wanted = Wanted(session, user, trace, code, lookup, event, slowest, level)
    try:
        read = sys.stdin.buffer if file is None else follow(file) if following else file.open("rb")
    except OSError as error:
        raise click.ClickException(str(error)) from None
    console, found = open_console(), False
    for chosen in choose(iter(read), wanted):
        found = True
        if as_json:
            sys.stdout.buffer.write(chosen.raw)
            sys.stdout.flush()
        else:
            console.print(show(chosen), soft_wrap=True)
    if not found:
        for doubt in doubts(wanted):
            click.echo(f"note: {doubt}", err=True)
    sys.exit(0 if found else NOT_FINE)
