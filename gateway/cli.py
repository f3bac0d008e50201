"""Every command of ``deskgate``. Each imports its own modules when it runs, so that ``--help`` is quick."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
import uvloop

from gateway.declared.catalog import Catalog, compile_content, read_content
from gateway.declared.reading import ConfigFaults, Fault
from gateway.process.config_file import ConfigFile
from gateway.process.supervisor import WrongSockets
from gateway.telemetry.logs import configure_logs

# ruff: noqa: PLC0415 - imports inside the commands: see the module's docstring

_HAS_FAULTS = 1
"""The exit code of ``check`` for a configuration that has faults."""

_CANNOT_RUN = 2
"""The exit code of a command that cannot do its work: a faulty configuration, a port in use."""

_config = click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path),
    required=True,
    envvar="DESKGATE_CONFIG",
    show_envvar=True,
    help="The configuration, a TOML file.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="deskgate")
def main() -> None:
    """Answer Tencent Cloud Desk's callbacks in time, whatever the CRM behind them does."""


@main.command()
@_config
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="So many on the same ports: one per core.",
)
def gateway(path: Path, processes: int) -> None:
    """Run a gateway until SIGTERM."""
    from gateway.front.app import run
    from gateway.tools.gateways.run import run_several

    _die_of_interrupts()
    file = _follow(path)
    sys.path.append(str(Path.cwd()))  # searched last, for Python lookups alone; a worker does the same
    configure_logs("gateway")
    if processes == 1:
        _serve(lambda: uvloop.run(run(file)))
    else:
        _serve(lambda: sys.exit(run_several(path, file.catalog.settings.gateway, processes)))


@main.command()
@_config
@click.option("--lane", "lanes", multiple=True, metavar="BACKEND", help="Only this lane; may be repeated.")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Seconds to finish jobs on SIGTERM.",
)
def worker(path: Path, lanes: tuple[str, ...], grace: float) -> None:
    """Run a worker, for all lanes or for the named ones, until SIGTERM."""
    _die_of_interrupts()
    # The worker is a program of its own (python -m workers): it loads nothing of the gateway's side.
    # -P: Python does not import a workers.py or a redis.py of the working directory.
    arguments = [
        "-c",
        str(path),
        "--grace",
        str(grace),
        *(word for lane in lanes for word in ("--lane", lane)),
    ]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "workers", *arguments])  # noqa: S606 - no shell is meant


@main.command()
@_config
@click.option("--strict", is_flag=True, help="Take warnings as faults.")
def check(path: Path, strict: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Report every fault of a configuration, or what it will run."""
    from gateway.front.edge.certificate import find_fault

    catalog = _load(path, embedded=True, code=_HAS_FAULTS)
    settings = catalog.settings
    found = [*catalog.warnings]
    if settings.gateway.tls is not None and (fault := find_fault(settings.gateway.tls)):
        found.append(fault)
    if any(strict or not one.warning for one in found):
        _fail(path, found, _HAS_FAULTS)
    for warning in found:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"ok: {path}")
    host, port = settings.gateway.listen
    click.echo(f"  callbacks   {host}:{port}, answered within {settings.gateway.budget:g} s")
    click.echo(f"  apps        {', '.join(map(str, catalog.apps)) or 'none: every callback will be refused'}")
    for route in catalog.routes:
        names = ", ".join(lookup.name for lookup in route.lookups)
        click.echo(f"  {route.name:<11} {names or 'no lookups'}")
    for lane in catalog.lanes:
        names = ", ".join(name for name, lookup in catalog.lookups.items() if lookup.lane == lane)
        click.echo(f"  lane        {lane}: {names}")


@main.command()
@click.argument("url")
@click.option("--app", type=int, required=True, help="The SdkAppid to call as.")
@click.option("--token", envvar="DESK_TOKEN", show_envvar=True, help="Sign the callback with this token.")
@click.option("--session", required=True, help="SystemSessionID.")
@click.option("--user", default="", help="SystemClientUserID.")
@click.option(
    "--set", "variables", multiple=True, metavar="NAME=VALUE", help="Another variable; may be repeated."
)
@click.option("--json", "as_json", is_flag=True, help="Print the reply as it came.")
def call(  # noqa: PLR0913, PLR0917 - one parameter an option
    url: str,
    app: int,
    token: str | None,
    session: str,
    user: str,
    variables: tuple[str, ...],
    as_json: bool,  # noqa: FBT001 - click passes it by name
) -> None:
    """Send one callback to URL as Desk does; exit 0 on code 0, 3 on another code, 1 without a reply."""
    from gateway.tools.call import CallFailed, OutgoingCallback, print_reply, send

    pairs = [text.partition("=") for text in variables]
    for name, equals, _ in pairs:
        if not name or not equals:
            msg = f"--set takes NAME=VALUE, not {name!r}"
            raise click.UsageError(msg)
    values = {name: value for name, _, value in pairs}
    callback = OutgoingCallback(url, app, token, session, user, values)
    try:
        reply = uvloop.run(send(callback))
    except CallFailed as error:
        raise click.ClickException(str(error)) from None
    print_reply(reply, as_json=as_json)
    sys.exit(3 if reply.code else 0)


@main.command()
@_config
@click.option("--session", help="SystemSessionID.")
@click.option("--user", help="SystemClientUserID: every session of this user, and what they share.")
@click.option("--app", type=int, help="In this SdkAppid alone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def forget(
    path: Path,
    session: str | None,
    user: str | None,
    app: int | None,
    as_json: bool,  # noqa: FBT001 - click passes it by name
) -> None:
    """Erase the records of a session or a user, in Redis and in every gateway; exit 0 even for none."""
    from gateway.core.errors import QueueUnavailable
    from gateway.forgetting.erase import Whom, erase
    from gateway.wire.keys import Keys

    if (session is None) == (user is None):
        msg = "name either a --session or a --user"
        raise click.UsageError(msg)
    if not (session or user):
        msg = "the name is empty: no callback has such a one"
        raise click.UsageError(msg)
    catalog = _load(path)
    redis = catalog.settings.redis
    whom = Whom(tuple(catalog.apps), app, session, user)
    try:
        removed = uvloop.run(erase(redis.url, Keys(redis.prefix), whom, _progress()))
    except QueueUnavailable as error:
        raise click.ClickException(str(error)) from None
    click.echo(json.dumps({"removed": removed}) if as_json else f"removed {removed}")


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=9000, show_default=True, help="0 lets the kernel choose."
)
@click.option("--script", type=click.Path(path_type=Path), help="The fault script, a TOML file.")
def crm(host: str, port: int, script: Path | None) -> None:
    """Run the scripted flaky CRM."""
    _die_of_interrupts()
    from gateway.crm.server import run

    _serve(lambda: run(host, port, script))


@main.command()
@click.option("--once", is_flag=True, help="End after the samples.")
def demo(once: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Run everything on this machine, send sample callbacks, and show what came back and why."""
    from gateway.tools.demo.run import run

    sys.exit(run(once=once))


@main.command()
@_config
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    show_default=True,
    help="Where last known answers are kept, with redis.url = 'embedded'.",
)
def up(path: Path, data: Path) -> None:
    """Run gateway and worker, and a Valkey of our own with redis.url = "embedded", until Ctrl-C."""
    from gateway.tools.up import run

    catalog = _load(path, embedded=True)
    sys.exit(run(path, catalog.settings.redis.url, data))


def _die_of_interrupts() -> None:
    """Let Ctrl-C end this process without a trace, until it listens to signals itself."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _load(path: Path, *, embedded: bool = False, code: int = _CANNOT_RUN) -> Catalog:
    """Return the catalog, or end with every fault of the configuration and the exit code."""
    try:
        return _compiler(embedded=embedded)(read_content(path))
    except ConfigFaults as error:
        _fail(path, error.faults, code)


def _follow(path: Path) -> ConfigFile:
    """Return the configuration file, for a process that reloads it; or end as :func:`_load` does."""
    try:
        return ConfigFile(path, _compiler())
    except ConfigFaults as error:
        _fail(path, error.faults, _CANNOT_RUN)


def _compiler(*, embedded: bool = False) -> Callable[[bytes], Catalog]:
    """Return the function that compiles a configuration for the dialect of our callers."""
    from gateway.front.dialects import DIALECT

    return partial(compile_content, embedded=embedded, event_variables=DIALECT.event_variables)


def _fail(path: Path, faults: Sequence[Fault], code: int) -> NoReturn:
    """Report faults, warnings among them, and end with the exit code."""
    warnings = sum(fault.warning for fault in faults)
    counts = [(len(faults) - warnings, "fault"), (warnings, "warning")]
    told = " and ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts if count)
    click.echo(f"{path}: {told}", err=True)
    for fault in faults:
        click.echo(f"  {'warning: ' if fault.warning else ''}{fault}", err=True)
    sys.exit(code)


def _progress() -> Callable[[float], None]:
    """Return a function that shows the progress of a long run, on a terminal alone."""
    begun = time.monotonic()

    def show(share: float) -> None:
        if sys.stderr.isatty() and time.monotonic() - begun > 1:
            click.echo(f"\r{share:.0%} looked at ", err=True, nl=False)

    return show


def _serve(serve: Callable[[], Any]) -> None:
    """Run a server. If it cannot run, end with one line that says why, and with the exit code for it."""
    try:
        serve()
    except (ImportError, WrongSockets) as error:
        message = str(error)
    except OSError as error:
        message = f"cannot listen: {error}"
    else:
        return
    click.echo(f"Error: {message}", err=True)
    sys.exit(_CANNOT_RUN)
