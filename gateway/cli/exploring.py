"""The commands that show why a lookup gives what it gives."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
import uvloop

from gateway.cli.common import config_option, data_option, end_with, load, pairs_of, redis_url
from gateway.core.units import brief_duration
from gateway.declared.catalog import Catalog
from gateway.declared.reading import ConfigFaults, encode_json

if TYPE_CHECKING:
    from gateway.tools.replaying.run import Replayed
    from gateway.tools.trial.steps import Given

# ruff: noqa: PLC0415 - imports inside the commands: see the package's docstring

NOT_FINE = 3
"""The exit code of a lookup whose code is not 0, as that of ``call``."""


@click.command("try")
@click.argument("lookup")
@config_option
@click.option(
    "--set",
    "variables",
    multiple=True,
    metavar="NAME=VALUE",
    help="A variable of the session; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Show the question, and send nothing.")
@click.option(
    "--reply",
    "file",
    type=click.File("rb"),
    help="Take the backend's reply from this file, - for standard input, and ask nobody.",
)
@click.option(
    "--status", type=click.IntRange(200, 599), default=200, show_default=True, help="The status of --reply."
)
@click.option("--session", help="Take inputs and reply of this session's latest question, from the history.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
def try_(  # noqa: PLR0913, PLR0917 - one parameter an option
    lookup: str,
    path: Path,
    variables: tuple[str, ...],
    dry_run: bool,  # noqa: FBT001 - click passes it by name
    file: BinaryIO | None,
    status: int,
    session: str | None,
    as_json: bool,  # noqa: FBT001 - click passes it by name
    data: Path,
) -> None:
    """Ask one LOOKUP once, and show each step: the question, the reply, the rule, what each expression gave.

    It needs no gateway, no worker and no Redis. Secrets are not shown. Exit 0 on code 0, 3 on another code.
    """
    import msgspec

    from gateway.core.variables import as_json as encode
    from gateway.declared.wording import unknown
    from gateway.tools.presentation import open_console
    from gateway.tools.trial.run import try_lookup
    from gateway.tools.trial.show import as_dict, show
    from gateway.tools.trial.steps import Given

    if sum((dry_run, file is not None, session is not None)) > 1:
        msg = "--dry-run sends nothing, --reply and --session ask nobody: use one of them"
        raise click.UsageError(msg)
    catalog = load(path, embedded=True)
    if lookup not in catalog.lookups:
        raise click.UsageError(unknown(lookup, "a lookup of this configuration", catalog.lookups))
    given = None if file is None else Given(file.read(), status)
    pairs = pairs_of(variables)
    if session is not None:
        inputs, given = _recorded(catalog, redis_url(catalog, data), session, lookup)
        pairs = {**inputs, **pairs}
    sys.path.append(str(Path.cwd()))  # as gateways and workers look for Python lookups
    try:
        trial = uvloop.run(try_lookup(catalog, lookup, pairs, given=given, dry_run=dry_run))
    except (ConfigFaults, ImportError) as error:
        end_with(str(error))
    if as_json:
        click.echo(msgspec.json.format(encode(as_dict(trial)).encode()))
    else:
        show(trial, open_console())
    sys.exit(NOT_FINE if trial.code else 0)


def _recorded(catalog: Catalog, url: str, session: str, lookup: str) -> "tuple[dict[str, str], Given]":
    """Return the inputs and the reply of the latest question of a session, or end with one line."""
    from gateway.core.errors import QueueUnavailable
    from gateway.tools.explaining.run import read_questions
    from gateway.tools.trial.steps import Given

    try:
        found = uvloop.run(read_questions(catalog, url, session, lookup))
    except QueueUnavailable as error:
        raise click.ClickException(str(error)) from None
    for entry in reversed(found):
        if (said := entry.reply) is not None:
            return dict(entry.inputs or {}), Given((said.body or "").encode(), said.status or 200)
    msg = (
        f"the history has no reply to {lookup} in the session {session!r}: it needs history.level = "
        '"values", a backend over HTTP, and a reply of at most 8 KiB'
    )
    raise click.ClickException(msg)


@click.command()
@config_option
@click.option("--session", required=True, help="SystemSessionID.")
@click.option("--app", type=int, help="In this SdkAppid alone.")
@click.option("--last", type=click.IntRange(1), default=5, show_default=True, help="Callbacks, the latest.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
@data_option
def explain(path: Path, session: str, app: int | None, last: int, as_json: bool, data: Path) -> None:  # noqa: FBT001, PLR0913, PLR0917 - one parameter an option
    """Tell why each variable of a session had its value; exit 1 if nothing is kept of the session."""
    from gateway.core.errors import QueueUnavailable
    from gateway.tools.explaining.run import read_story
    from gateway.tools.explaining.show import show
    from gateway.tools.explaining.story import as_dict
    from gateway.tools.presentation import open_console

    catalog = load(path, embedded=True)
    apps = list(catalog.apps) if app is None else [app]
    try:
        story = uvloop.run(read_story(catalog, redis_url(catalog, data), apps, session))
    except QueueUnavailable as error:
        raise click.ClickException(str(error)) from None
    if not story:
        raise click.ClickException(_nothing(catalog, session))
    if as_json:
        for told in story[-last:]:
            click.echo(encode_json(as_dict(told)))
    else:
        show(story[-last:], open_console())


@click.command()
@config_option
@click.option("--session", help="The callbacks of this SystemSessionID.")
@click.option("--since", metavar="TIME", help="All callbacks of the last so long, such as 1h.")
@click.option(
    "--recorded/--live",
    "by_record",
    default=True,
    show_default=True,
    help="Judge and map the backends' recorded replies anew, or ask the backends again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
def replay(  # noqa: PLR0913, PLR0917 - one parameter an option
    path: Path,
    session: str | None,
    since: str | None,
    by_record: bool,  # noqa: FBT001 - click passes it by name
    as_json: bool,  # noqa: FBT001 - click passes it by name
    data: Path,
) -> None:
    """Put recorded callbacks to this configuration; exit 3 if a variable or a code differs.

    It needs history.level = "values". Nothing is recorded of it. Exit 1 if no callback could be replayed.
    """
    from gateway.core.errors import QueueUnavailable
    from gateway.core.units import parse_duration
    from gateway.tools.presentation import open_console
    from gateway.tools.replaying.show import as_dict, show

    if (session is None) == (since is None):
        msg = "name either a --session, or a time with --since"
        raise click.UsageError(msg)
    try:
        seconds = None if since is None else parse_duration(since)
    except ValueError as error:
        msg = f"--since: {error}"
        raise click.UsageError(msg) from None
    catalog = load(path, embedded=True)
    sys.path.append(str(Path.cwd()))  # as gateways and workers look for Python lookups
    try:
        url = redis_url(catalog, data)
        replayed = uvloop.run(_replay(catalog, url, session, seconds, by_record=by_record))
    except QueueUnavailable as error:
        raise click.ClickException(str(error)) from None
    except (ConfigFaults, ImportError) as error:
        end_with(str(error))
    if as_json:
        click.echo(encode_json(as_dict(replayed)))
    else:
        show(replayed, open_console())
    if not replayed.callbacks:
        msg = "no callback could be replayed"
        raise click.ClickException(msg)
    sys.exit(NOT_FINE if replayed.differences else 0)


async def _replay(
    catalog: Catalog, url: str, session: str | None, seconds: float | None, *, by_record: bool
) -> "Replayed":
    from gateway.tools.explaining.run import read_stories, read_story
    from gateway.tools.replaying.run import Live, recorded
    from gateway.tools.replaying.run import replay as put

    if session is not None:
        story = await read_story(catalog, url, list(catalog.apps), session)
    else:
        story = await read_stories(catalog, url, seconds or 0.0)
    if by_record:
        return await put(catalog, story, recorded)
    live = Live(catalog)
    try:
        return await put(catalog, story, live)
    finally:
        await live.close()


def _nothing(catalog: Catalog, session: str) -> str:
    kept = catalog.settings.history
    if kept.level == "off":
        return 'history.level is "off": nothing is kept of any session'
    return (
        f"nothing is kept of the session {session!r}: it has had no callback for {brief_duration(kept.kept)} "
        "(history.kept), or was forgotten, or its app is another one"
    )
