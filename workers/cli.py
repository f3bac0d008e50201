"""The command line of a worker process."""

import sys
from pathlib import Path

import click
import uvloop

from gateway.declared.catalog import load
from gateway.declared.reading import ConfigFaults
from gateway.telemetry.logs import configure_logs
from workers.main import run

GRACE = 10.0


@click.command("deskgate worker")
@click.option("-c", "--config", "path", type=click.Path(path_type=Path), required=True)
@click.option("--lane", "lanes", multiple=True)
@click.option("--grace", type=click.FloatRange(min=0), default=GRACE)
def main(path: Path, lanes: tuple[str, ...], grace: float) -> None:
    """Run a worker for all lanes or for the named ones until SIGTERM."""
    try:
        catalog = load(path)
    except ConfigFaults as faults:
        sys.exit(f"{path}:\n{faults}")
    unknown = sorted(set(lanes) - set(catalog.lanes))
    if unknown:
        sys.exit(f"no lookup uses the lane {', '.join(unknown)}; known lanes: {', '.join(catalog.lanes)}")
    sys.path.append(str(Path.cwd()))  # searched last, for Python lookups alone
    configure_logs("worker")
    try:
        uvloop.run(run(catalog, lanes or catalog.lanes, grace))
    except ImportError as error:
        sys.exit(str(error))
