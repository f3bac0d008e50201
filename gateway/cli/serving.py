"""The commands that serve, until they are told to stop."""

import os
import sys
from pathlib import Path

import click
import uvloop

from gateway.cli.common import (
    config_option,
    data_option,
    die_of_interrupts,
    end_with,
    follow,
    load,
    log_format_option,
    serve,
)
from gateway.declared.environment import wish_for_colors
from gateway.process.signals import keep_hangups
from gateway.telemetry.logs import Format, configure_logs

# ruff: noqa: PLC0415 - imports inside the commands: see the package's docstring


@click.command()
@config_option
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="So many on the same ports: one per core.",
)
@log_format_option
def gateway(path: Path, processes: int, form: Format | None) -> None:
    """Run a gateway until SIGTERM."""
    keep_hangups()
    from gateway.console.pages import console
    from gateway.front.app import run
    from gateway.process.tracing import send_traces
    from gateway.tools.gateways.run import run_several

    die_of_interrupts()
    file = follow(path)
    sys.path.append(str(Path.cwd()))  # searched last, for Python lookups alone; a worker does the same
    configure_logs("gateway", form, colors=wish_for_colors())
    if processes == 1:
        send_traces("gateway")
    if processes == 1:
        serve(lambda: uvloop.run(run(file, console)))
    else:
        serve(lambda: sys.exit(run_several(path, file.catalog.settings.gateway, processes, form)))


@click.command()
@config_option
@click.option("--lane", "lanes", multiple=True, metavar="BACKEND", help="Only this lane; may be repeated.")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Seconds to finish jobs on SIGTERM.",
)
@click.option(
    "--admin",
    metavar="HOST:PORT",
    help="Where it is watched, in place of worker.admin: several workers on one machine need one each.",
)
@log_format_option
def worker(path: Path, lanes: tuple[str, ...], grace: float, admin: str | None, form: Format | None) -> None:
    """Run a worker, for all lanes or for the named ones, until SIGTERM."""
    keep_hangups()
    die_of_interrupts()
    # The worker is a program of its own (python -m workers): it loads nothing of the gateway's side.
    # -P: Python does not import a workers.py or a redis.py of the working directory.
    arguments = [
        "-c",
        str(path),
        "--grace",
        str(grace),
        *(word for lane in lanes for word in ("--lane", lane)),
        *(() if admin is None else ("--admin", admin)),
        *(() if form is None else ("--log-format", form)),
    ]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "workers", *arguments])  # noqa: S606 - no shell is meant


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=9000, show_default=True, help="0 lets the kernel choose."
)
@click.option("--script", type=click.Path(path_type=Path), help="The fault script, a TOML file.")
def crm(host: str, port: int, script: Path | None) -> None:
    """Run the scripted flaky CRM."""
    die_of_interrupts()
    from gateway.crm.script import ScriptError
    from gateway.crm.server import run

    try:
        content = b"" if script is None else script.read_bytes()
        serve(lambda: run(host, port, content))
    except ScriptError as error:
        end_with(f"{script}: {'; '.join(error.faults)}")
    except OSError as error:
        end_with(f"the script cannot be read: {error}")


@click.command()
@click.option("--once", is_flag=True, help="End after the samples.")
def demo(once: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Run everything on this machine, send sample callbacks, and show what came back and why."""
    from gateway.tools.demo.run import run

    sys.exit(run(once=once))


@click.command()
@config_option
@data_option
@log_format_option
def up(path: Path, data: Path, form: Format | None) -> None:
    """Run gateway and worker, and a Valkey of our own with redis.url = "embedded", until Ctrl-C."""
    from gateway.tools.up import run

    catalog = load(path, embedded=True)
    sys.exit(run(path, catalog.settings.redis.url, data, form))
