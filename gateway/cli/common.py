"""What the commands share: options, the configuration, and how a command ends that cannot go on."""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import click

from gateway.core.errors import DeskgateError
from gateway.declared.catalog import Catalog, compile_content, read_content
from gateway.declared.environment import LOG_FORMAT_VARIABLE
from gateway.declared.reading import ConfigFaults, Fault
from gateway.declared.redis_server import EMBEDDED
from gateway.process.config_file import ConfigFile
from gateway.telemetry.logs import silence

# ruff: noqa: PLC0415 - imports inside the commands: see the package's docstring

HAS_FAULTS = 1
"""The exit code of ``check`` for a configuration that has faults."""

CANNOT_RUN = 2
"""The exit code of a command that cannot do its work: a faulty configuration, a port in use."""

config_option = click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path),
    required=True,
    envvar="DESKGATE_CONFIG",
    show_envvar=True,
    help="The configuration, a TOML file.",
)


data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    show_default=True,
    help="Where deskgate up keeps its data, with redis.url = 'embedded'.",
)

log_format_option = click.option(
    "--log-format",
    "form",
    type=click.Choice(["json", "text"]),
    envvar=LOG_FORMAT_VARIABLE,
    show_envvar=True,
    help="By default text on a terminal, else JSON.",
)


def redis_url(catalog: Catalog, data: Path) -> str:
    """Return the address of Redis; with "embedded" that of the server which ``deskgate up`` runs on ``data``.

    End with one line if it runs none.
    """
    from gateway.tools.processes import ADDRESS

    url = catalog.settings.redis.url
    if url != EMBEDDED:
        return url
    try:
        return (data / ADDRESS).read_text()
    except OSError:
        msg = f'redis.url is "embedded", and no "deskgate up --data {data}" runs: name its folder with --data'
        raise click.ClickException(msg) from None


def open_streams() -> None:
    """Have standard streams that take whatever there is.

    One that is closed, as by ``>&-``, is empty. A character that the terminal's encoding does not have is
    escaped.
    """
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - open to the end
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def let_go_of_output() -> None:
    """Drop what standard output does not take: Python tries again at its end, and has the last word then."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def die_of_interrupts() -> None:
    """Let Ctrl-C end this process without a trace, until it listens to signals itself."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def load(path: Path, *, embedded: bool = False, code: int = CANNOT_RUN) -> Catalog:
    """Return the catalog, or end with every fault of the configuration and the exit code.

    For commands that end: they say by themselves what goes wrong, and write no log.
    """
    silence()
    click.get_current_context().call_on_close(partial(silence, silent=False))
    try:
        return compiler(embedded=embedded)(read_content(path))
    except ConfigFaults as error:
        fail(path, error.faults, code)


def follow(path: Path) -> ConfigFile:
    """Return the configuration file, for a process that reloads it; or end as :func:`_load` does."""
    try:
        return ConfigFile(path, compiler())
    except ConfigFaults as error:
        fail(path, error.faults, CANNOT_RUN)


def compiler(*, embedded: bool = False) -> Callable[[bytes], Catalog]:
    """Return the function that compiles a configuration for the dialect of our callers."""
    from gateway.front.dialects import DIALECT

    return partial(compile_content, embedded=embedded, event_variables=DIALECT.event_variables)


def fail(path: Path, faults: Sequence[Fault], code: int) -> NoReturn:
    """Report faults, warnings among them, and end with the exit code."""
    warnings = sum(fault.warning for fault in faults)
    counts = [(len(faults) - warnings, "fault"), (warnings, "warning")]
    told = " and ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts if count)
    click.echo(f"{path}: {told}", err=True)
    for fault in faults:
        click.echo(f"  {'warning: ' if fault.warning else ''}{fault}", err=True)
    sys.exit(code)


def pairs_of(texts: Sequence[str]) -> dict[str, str]:
    """Return what ``--set NAME=VALUE`` says, each time that it is given."""
    pairs = [text.partition("=") for text in texts]
    for name, equals, _ in pairs:
        if not name or not equals:
            msg = f"--set takes NAME=VALUE, not {name!r}"
            raise click.UsageError(msg)
    return {name: value for name, _, value in pairs}


def progress() -> Callable[[float], None]:
    """Return a function that shows the progress of a long run, on a terminal alone."""
    begun = time.monotonic()

    def show(share: float) -> None:
        if sys.stderr.isatty() and time.monotonic() - begun > 1:
            click.echo(f"\r{share:.0%} looked at ", err=True, nl=False)

    return show


def serve(serve: Callable[[], Any]) -> None:
    """Run a server. If it cannot run, end with one line that says why, and with the exit code for it."""
    try:
        serve()
    except (DeskgateError, ImportError) as error:
        message = str(error)
    except OSError as error:
        message = f"cannot listen: {error}"
    else:
        return
    end_with(message)


def end_with(message: str) -> NoReturn:
    """Say why a command cannot do its work, and end with the exit code for that."""
    click.echo(f"Error: {message}", err=True)
    sys.exit(CANNOT_RUN)
