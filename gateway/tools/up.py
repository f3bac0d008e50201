"""``deskgate up``: gateway, worker and, if the configuration asks for it, a Valkey, as one process tree."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import click

from gateway.declared.environment import LOG_FORMAT_VARIABLE
from gateway.declared.redis_address import read_address
from gateway.declared.redis_server import EMBEDDED, REDIS_URL_VARIABLE
from gateway.telemetry.logs import Format
from gateway.tools.children import Child, ChildEnded, run_until_signal, run_watched, wait_for_valkey_end
from gateway.tools.processes import CannotStart, Valkey


def run(config: Path, redis_url: str, data: Path, form: Format | None) -> int:
    """Run everything until SIGINT or SIGTERM and return 0.

    Return 1 if one part ends by itself, 2 if it cannot start.

    The children write their logs to standard output. This process writes to standard error.
    """
    try:
        run_until_signal(_up(config, redis_url, data, form))
    except CannotStart as error:
        _say(str(error))
        return 2
    except ChildEnded as error:
        _say(f"{error}; everything has been stopped")
        return 1
    _say("stopped")
    return 0


async def _up(config: Path, redis_url: str, data: Path, form: Format | None) -> None:
    with ExitStack() as stack:
        environ: dict[str, str] = {} if form is None else {LOG_FORMAT_VARIABLE: form}
        valkey = None
        if redis_url == EMBEDDED:
            valkey = stack.enter_context(Valkey(data))
            environ[REDIS_URL_VARIABLE] = valkey.url
            _say(f"Valkey keeps its data in {data}")
        else:
            _say(f"no Valkey is started: redis.url names {read_address(redis_url)}")
        async with (
            Child("worker", "worker", "-c", str(config), environ=environ) as worker,
            Child("gateway", "gateway", "-c", str(config), environ=environ) as gateway,
        ):
            _say("gateway and worker started; Ctrl-C stops everything")
            forever = asyncio.Event().wait()
            ends = [] if valkey is None else [wait_for_valkey_end(valkey)]
            await run_watched(forever, *ends, worker.wait_for_end(), gateway.wait_for_end())


def _say(text: str) -> None:
    click.echo(f"deskgate up: {text}", err=True)
