"""The commands that do one thing and end."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import uvloop

from gateway.cli.common import (
    HAS_FAULTS,
    config_option,
    data_option,
    fail,
    load,
    pairs_of,
    progress,
    redis_url,
)
from gateway.declared.catalog import Catalog
from gateway.declared.reading import Fault
from gateway.telemetry.terminal import printable

# ruff: noqa: PLC0415 - imports inside the commands: see the package's docstring


@click.command()
@config_option
@click.option("--strict", is_flag=True, help="Take warnings as faults.")
@click.option("--connect", is_flag=True, help="Try Redis, backends and Python lookups, too.")
@data_option
def check(path: Path, strict: bool, connect: bool, data: Path) -> None:  # noqa: FBT001 - click passes it by name
    """Report every fault of a configuration, or what it will run."""
    from gateway.edge.certificate import find_fault
    from gateway.front.dialects import DIALECT
    from gateway.lookups.credentials import find_faults
    from gateway.lookups.reach import find_reach_fault

    catalog = load(path, embedded=True, code=HAS_FAULTS)
    settings = catalog.settings
    found = [*catalog.warnings]
    if settings.gateway.budget >= DIALECT.patience:
        message = f"nobody waits for a reply after {DIALECT.patience:g} s, the way there and back included"
        found.append(Fault("gateway.budget", message, warning=True))
    if settings.gateway.tls is not None and (fault := find_fault(settings.gateway.tls)):
        found.append(fault)
    for name, backend in settings.backends.items():
        found += find_faults(backend, name)
        if backend.tls is not None and (fault := find_reach_fault(backend, name)):
            found.append(fault)
    if any(strict or not one.warning for one in found):
        fail(path, found, HAS_FAULTS)
    for warning in found:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"ok: {path}")
    for line in _will_run(catalog):
        click.echo(f"  {line}")
    if connect and not uvloop.run(_look(catalog, redis_url(catalog, data), strict=strict)):
        sys.exit(HAS_FAULTS)


def _will_run(catalog: Catalog) -> Iterator[str]:
    """Yield what a configuration without faults will run, and what of it nobody asks for."""
    (host, port), budget = catalog.settings.gateway.listen, catalog.settings.gateway.budget
    yield f"callbacks   {host}:{port}, answered within {budget:g} s"
    yield f"apps        {', '.join(map(str, catalog.apps)) or 'none: every callback will be refused'}"
    for route in catalog.routes:
        yield f"{route.name:<11} {', '.join(lookup.name for lookup in route.lookups) or 'no lookups'}"
    if not catalog.routes:
        yield "routes      none: every callback will be refused with NO_ROUTE"
    if catalog.unasked:
        yield f"unasked     {', '.join(catalog.unasked)}: in no route, and in no `prefetch`"
    for lane in catalog.lanes:
        names = ", ".join(name for name, lookup in catalog.lookups.items() if lookup.lane == lane)
        yield f"lane        {lane}: {names}"


async def _look(catalog: Catalog, url: str, *, strict: bool) -> bool:
    """Try everything, print a line for each part, and return whether all works."""
    from gateway.tools.connections import look

    sys.path.append(str(Path.cwd()))  # as gateways and workers look for Python lookups
    works = True
    async for finding in look(catalog, url):
        fine = finding.works and not (strict and finding.warning)
        mark = "ok  " if fine and not finding.warning else "warn" if fine else "FAIL"
        click.echo(f"  {mark} {finding.what:<8} {printable(finding.said)}")
        works = works and fine
    return works


@click.command()
@config_option
@click.option("--lane", "lanes", multiple=True, metavar="BACKEND", help="Only this lane; may be repeated.")
@data_option
def health(path: Path, lanes: tuple[str, ...], data: Path) -> None:
    """Exit 0 if every lane has a worker, 1 if not: for the health checks of supervisors."""
    from gateway.tools.health import lanes_without_heartbeat
    from gateway.wire.connection import OUTAGE
    from gateway.wire.keys import Keys

    catalog = load(path, embedded=True)
    unknown = sorted(set(lanes) - set(catalog.lanes))
    if unknown:
        msg = f"no lookup uses the lane {', '.join(unknown)}; known lanes: {', '.join(catalog.lanes)}"
        raise click.UsageError(msg)
    keys = Keys(catalog.settings.redis.prefix)
    try:
        missing = uvloop.run(lanes_without_heartbeat(redis_url(catalog, data), keys, lanes or catalog.lanes))
    except OUTAGE as error:
        msg = f"Redis cannot be reached: {error}"
        raise click.ClickException(msg) from None
    if missing.lanes:
        why = f": {missing.refuses}" if missing.refuses else ""
        msg = f"no worker runs for {', '.join(missing.lanes)}{why}"
        raise click.ClickException(msg)
    click.echo("ok")


@click.command()
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

    callback = OutgoingCallback(url, app, token, session, user, pairs_of(variables))
    try:
        reply = uvloop.run(send(callback))
    except CallFailed as error:
        raise click.ClickException(str(error)) from None
    print_reply(reply, as_json=as_json)
    sys.exit(3 if reply.code else 0)


@click.command()
@config_option
@click.option("--session", help="SystemSessionID.")
@click.option("--user", help="SystemClientUserID: every session of this user, and what they share.")
@click.option("--app", type=int, help="In this SdkAppid alone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
def forget(  # noqa: PLR0913, PLR0917 - one parameter an option
    path: Path,
    session: str | None,
    user: str | None,
    app: int | None,
    as_json: bool,  # noqa: FBT001 - click passes it by name
    data: Path,
) -> None:
    """Erase the records of a session or a user, in Redis and in every gateway; exit 0 even for none."""
    from gateway.core.charsets import is_utf8
    from gateway.core.errors import QueueUnavailable
    from gateway.forgetting.erase import Whom, erase
    from gateway.wire.keys import Keys

    if (session is None) == (user is None):
        msg = "name either a --session or a --user"
        raise click.UsageError(msg)
    if not (session or user):
        msg = "the name is empty: no callback has such a one"
        raise click.UsageError(msg)
    if not is_utf8((session or user or "").encode(errors="surrogatepass")):
        msg = "the name is not UTF-8: no callback has such a one; set the terminal and LC_ALL to UTF-8"
        raise click.UsageError(msg)
    catalog = load(path, embedded=True)
    redis = catalog.settings.redis
    whom = Whom(tuple(catalog.apps), app, session, user)
    try:
        removed = uvloop.run(erase(redis_url(catalog, data), Keys(redis.prefix), whom, progress()))
    except QueueUnavailable as error:
        raise click.ClickException(str(error)) from None
    click.echo(json.dumps({"removed": removed}) if as_json else f"removed {removed}")


@click.command()
@click.argument("backend")
@config_option
@click.option("--for", "time", default="10m", show_default=True, metavar="TIME", help="So long, 1h at most.")
@click.option("--end", is_flag=True, help="Ask the backend again.")
@data_option
def hold(backend: str, path: Path, time: str, end: bool, data: Path) -> None:  # noqa: FBT001 - click passes it by name
    """Have nobody ask BACKEND for a while: the last known answers go out, with CIRCUIT_OPEN."""
    from gateway.core.errors import QueueUnavailable
    from gateway.core.units import brief_duration, parse_duration
    from gateway.declared.wording import unknown
    from gateway.resilience.operating import LONGEST_HOLD
    from gateway.tools.holding import hold as put

    catalog = load(path, embedded=True)
    if backend not in catalog.backends:
        raise click.UsageError(unknown(backend, "a backend", list(catalog.backends)))
    try:
        seconds = 0.0 if end else parse_duration(time)
    except ValueError as error:
        msg = f"--for: {error}"
        raise click.UsageError(msg) from None
    if not end and not 0 < seconds <= LONGEST_HOLD:
        msg = f"--for: a hold lasts more than 0 s, and {brief_duration(LONGEST_HOLD)} at most"
        raise click.UsageError(msg)
    try:
        uvloop.run(put(catalog, redis_url(catalog, data), backend, seconds))
    except QueueUnavailable as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{backend} is asked again" if end else f"{backend} is held for {brief_duration(seconds)}")


@click.command()
@click.option("--from", "example", help="The example to copy.")
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("deskgate.toml"),
    show_default=True,
    help="Where to write it.",
)
def init(example: str | None, path: Path) -> None:
    """Begin a configuration from an example; without --from, list the examples."""
    from gateway.tools.examples import find_examples, summary_of

    examples = find_examples()
    if example is None:
        for name, place in examples.items():
            click.echo(f"  {name:<16}{summary_of(place)}")
        return
    if example not in examples:
        msg = f"there is no example {example!r}; there are: {', '.join(examples)}"
        raise click.UsageError(msg)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(examples[example].read_text(encoding="utf-8"))
    except FileExistsError:
        msg = f"{path} is there already; name another file with --output"
        raise click.ClickException(msg) from None
    except OSError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"written: {path}. Set the variables that it names, and run: deskgate check -c {path}")


@click.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from gateway.tools.examples import find_schema

    click.echo(find_schema().read_text(encoding="utf-8"), nl=False)
