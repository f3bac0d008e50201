"""The command line of a worker process."""

import sys
from pathlib import Path
from typing import NoReturn

import click
import uvloop

from gateway.declared.catalog import compile_content
from gateway.declared.environment import wish_for_colors
from gateway.declared.reading import ConfigFaults
from gateway.declared.values import Address
from gateway.process.config_file import ConfigFile
from gateway.process.tracing import send_traces
from gateway.process.vital import PartFailed
from gateway.telemetry.logs import Format, configure_logs
from workers.main import lanes_of, run

GRACE = 10.0


class _AddressType(click.ParamType[Address]):
    """``host:port``."""

    name = "address"

    def convert(
        self, value: str | Address, param: click.Parameter | None, ctx: click.Context | None
    ) -> Address:
        """Return the address; a text that says none is a fault of the command line."""
        try:
            return value if isinstance(value, Address) else Address.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


ADDRESS = _AddressType()


@click.command("deskgate worker")
@click.option("-c", "--config", "path", type=click.Path(path_type=Path), required=True)
@click.option("--lane", "lanes", multiple=True)
@click.option("--grace", type=click.FloatRange(min=0), default=GRACE)
@click.option("--admin", type=ADDRESS)
@click.option("--log-format", "form", type=click.Choice(["json", "text"]))
def main(
    path: Path, lanes: tuple[str, ...], grace: float, admin: Address | None, form: Format | None
) -> None:
    """Run a worker for all lanes or for the named ones until SIGTERM."""
    try:
        file = ConfigFile(path, compile_content)
        lanes_of(file.catalog, lanes)
    except ConfigFaults as faults:
        _fail(f"{path}:\n{faults}")
    sys.path.append(str(Path.cwd()))  # searched last, for Python lookups alone
    configure_logs("worker", form, colors=wish_for_colors())
    send_traces("worker")
    try:
        uvloop.run(run(file, lanes, grace, admin))
    except (ConfigFaults, ImportError, PartFailed) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"cannot listen: {error}")


def _fail(message: str) -> NoReturn:
    """Say why this process cannot go on, and end with exit code 2."""
    click.echo(message, err=True)
    sys.exit(2)
